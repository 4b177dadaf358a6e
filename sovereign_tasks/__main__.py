"""The command line: `python -m sovereign_tasks up | run MODEL | status MODEL | ask MODEL "question" | schema`."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack

from rich.console import Console
from rich.markup import escape

from sovereign_tasks.config import json_schema, load_model
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.platform import Interrupted
from sovereign_tasks.platform.offline import OFFLINE


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it did its work, 2 for what the owner can mend, 130 when interrupted."""
    arguments = _parser().parse_args(argv)
    os.environ.update(OFFLINE)
    console = Console(highlight=False)
    try:
        return arguments.command(arguments, console)
    except (UserError, TransientError) as e:
        console.print(f"[red]Error:[/] {escape(str(e))}", soft_wrap=True)
        return 2
    except (KeyboardInterrupt, Interrupted):
        console.print("Stopped.")
        return 130


def _up(arguments: argparse.Namespace, console: Console) -> int:
    from sovereign_tasks.terminal import run

    with ExitStack() as stack:
        session = run.start_platform(stack, console, arguments.port, arguments.mlflow_port, arguments.day)
        run.print_addresses(console, session)
        _stay(console, session)
    return 0


def _run(arguments: argparse.Namespace, console: Console) -> int:
    from sovereign_tasks.terminal import run

    config = load_model(arguments.model)
    with ExitStack() as stack:
        if arguments.up:
            session = run.start_platform(stack, console, arguments.port, arguments.mlflow_port, arguments.day)
        else:
            session = run.find_platform()
        code = run.run_loop(console, session, config)
        if arguments.up and not arguments.once and code == 0:
            _stay(console, session)
    return code


def _stay(console: Console, session) -> None:
    console.print("\nUp until Ctrl-C.")
    session.platform.watch()


def _status(arguments: argparse.Namespace, console: Console) -> int:
    from sovereign_tasks.terminal.run import open_installation
    from sovereign_tasks.terminal.status import print_status

    print_status(console, open_installation(), load_model(arguments.model))
    return 0


def _ask(arguments: argparse.Namespace, console: Console) -> int:
    from sovereign_tasks.terminal.run import open_installation
    from sovereign_tasks.terminal.status import print_answers

    config = load_model(arguments.model)
    print_answers(console, open_installation(), config, arguments.question, beside_base=arguments.base)
    return 0


def _schema(arguments: argparse.Namespace, console: Console) -> int:
    sys.stdout.write(json_schema())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sovereign_tasks", description="Own the data, the model, the machines."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = _add(commands, "up", _up, "Start Airflow and MLflow on this machine, and stay up until Ctrl-C.")
    run = _add(commands, "run", _run, "Run one night of a model, and the training that it makes due.")
    run.add_argument("model", help="name of a model in config/")
    run.add_argument("--up", action="store_true", help="start the platform first, and stay up afterwards")
    run.add_argument("--once", action="store_true", help="with --up: stop the platform when the run is done")
    for command in (up, run):
        command.add_argument("--port", type=int, help="port of Airflow (default: 8080, or the next free one)")
        command.add_argument("--mlflow-port", type=int, help="port of MLflow (default: 5000, or the next free one)")
        command.add_argument(
            "--day", type=int, choices=(1, 2), default=1, help="day of the bundled demonstration site (default: 1)"
        )
    status = _add(commands, "status", _status, "Show a model's last night, last training and champion.")
    status.add_argument("model", help="name of a model in config/")
    ask = _add(commands, "ask", _ask, "Ask a model's champion.")
    ask.add_argument("model", help="name of a model in config/")
    ask.add_argument("question", help="the question, in quotes")
    ask.add_argument("--base", action="store_true", help="show the base model's answer beside it")
    _add(commands, "schema", _schema, "Print the JSON Schema of a model file, for editors.")
    return parser


def _add(commands, name: str, command, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
