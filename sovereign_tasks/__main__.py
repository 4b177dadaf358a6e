"""The command line: `python -m sovereign_tasks COMMAND`, where `--help` tells the commands.

What takes time to import is imported by the commands, so that Ctrl-C is met calmly from the first moment on.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NoReturn

from sovereign_tasks.errors import TransientError, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from sovereign_tasks.terminal.run import Session


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it did its work, 2 for what the owner can mend, 128 + signal when interrupted.

    Ctrl-C at "Up until Ctrl-C" is how its work ends, and so a 0.
    """
    os.umask(0o077)  # whatever is written from here on is its owner's alone
    try:
        arguments = _parser().parse_args(argv)
        from rich.console import Console

        from sovereign_tasks.platform import OFFLINE

        os.environ.update(OFFLINE)
        arguments.command(arguments, Console(highlight=False))
        return 0
    except (UserError, TransientError) as e:
        print(f"Error: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as e:
        print("Stopped.", file=sys.stderr)
        return 128 + getattr(e, "signum", signal.SIGINT)


def _up(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.terminal import run

    with ExitStack() as stack:
        session = run.start_platform(stack, console, arguments.port, arguments.mlflow_port, arguments.day or 1)
        _stay(console, session)


def _run(arguments: argparse.Namespace, console: Console) -> None:
    for option in () if arguments.up else ("once", "port", "mlflow_port", "day"):
        if getattr(arguments, option):
            raise UserError(f"--{option.replace('_', '-')} is for the platform that --up starts; add --up.")
    from sovereign_tasks.config import load_model
    from sovereign_tasks.stages.base import check_base
    from sovereign_tasks.terminal import run
    from sovereign_tasks.terminal.loop import Loop

    config = load_model(arguments.model)
    check_base(config)
    with ExitStack() as stack:
        if arguments.up:
            session = run.start_platform(stack, console, arguments.port, arguments.mlflow_port, arguments.day or 1)
        else:
            session = run.find_platform(console)
        Loop(console, session, run.open_installation(), config.model).run()
        if not arguments.once:
            run.print_addresses(console, session)
        if arguments.up and not arguments.once:
            _stay(console, session)


def _stay(console: Console, session: Session) -> None:
    console.print("\nUp until Ctrl-C.")
    with suppress(KeyboardInterrupt):
        session.platform.watch()
    console.print("Stopping.")


def _status(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model, load_platform
    from sovereign_tasks.terminal.run import open_installation
    from sovereign_tasks.terminal.status import print_status

    config = load_model(arguments.model)
    load_platform()  # a mistake there is said here too
    print_status(console, open_installation(), config)


def _quarantine_list(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.quarantine import print_quarantine
    from sovereign_tasks.terminal.run import open_installation

    config, wanted = load_model(arguments.model), {"reason": arguments.reason, "source": arguments.source}
    print_quarantine(console, open_installation(), config, **wanted, limit=arguments.limit)


def _quarantine_release(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.quarantine import release
    from sovereign_tasks.terminal.run import open_installation

    config, why = load_model(arguments.model), {"reason": arguments.reason, "source": arguments.source}
    release(console, open_installation(), config, arguments.ids, all_of=arguments.all_of, **why)


def _accept(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.terminal.run import open_installation
    from sovereign_tasks.terminal.status import accept_night

    accept_night(console, open_installation(), arguments.night, arguments.reason)


def _snapshots(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.run import open_installation
    from sovereign_tasks.terminal.snapshots import print_snapshots

    print_snapshots(console, open_installation(), load_model(arguments.model))


def _diff(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.run import open_installation
    from sovereign_tasks.terminal.snapshots import print_diff

    config, between = load_model(arguments.model), (arguments.before, arguments.after)
    print_diff(console, open_installation(), config, *between, limit=arguments.limit)


def _verify(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.run import open_installation
    from sovereign_tasks.terminal.snapshots import print_verified

    print_verified(console, open_installation(), load_model(arguments.model))


def _plan(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.plan import print_plan
    from sovereign_tasks.terminal.run import open_installation

    print_plan(console, open_installation(), load_model(arguments.model), arguments.snapshot)


def _lineage(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.lineage import print_lineage
    from sovereign_tasks.terminal.run import open_installation

    asked = ("version", "snapshot", "source", "document", "licence", "consent")
    by = next((name for name in asked if getattr(arguments, name) is not None), "version")
    config, value = load_model(arguments.model), getattr(arguments, by)
    print_lineage(console, open_installation(), config, by, value, as_json=arguments.json)


def _export(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.export import export_snapshot
    from sovereign_tasks.terminal.run import open_installation

    config, where = load_model(arguments.model), (arguments.snapshot, arguments.folder)
    export_snapshot(console, open_installation(), config, *where, sealed=arguments.sealed)


def _retrain(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.stages.base import check_base
    from sovereign_tasks.stages.context import look_into
    from sovereign_tasks.stages.retrain import snapshot_to_train
    from sovereign_tasks.terminal import run
    from sovereign_tasks.terminal.loop import Loop

    config = load_model(arguments.model)
    check_base(config)
    ledger = run.open_installation()
    snapshot_to_train(look_into(ledger, config), arguments.snapshot)
    Loop(console, run.find_platform(console), ledger, config.model).retrain(arguments.snapshot)


def _rollback(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.rollback import go_back
    from sovereign_tasks.terminal.run import open_installation

    config = load_model(arguments.model)
    open_installation()
    go_back(console, config, arguments.to, arguments.reason)


def _promote(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.rollback import make_first
    from sovereign_tasks.terminal.run import open_installation

    config = load_model(arguments.model)
    open_installation()
    make_first(console, config, arguments.version, arguments.reason)


def _find(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.erasure import print_found
    from sovereign_tasks.terminal.run import open_installation

    print_found(console, open_installation(), load_model(arguments.model), sys.stdin)


def _erase(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.erasure import request_erasure
    from sovereign_tasks.terminal.run import open_installation

    request_erasure(console, open_installation(), load_model(arguments.model), sys.stdin, sure=arguments.yes)


def _ask(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.run import open_installation
    from sovereign_tasks.terminal.status import print_answers

    config = load_model(arguments.model)
    print_answers(console, open_installation(), config, arguments.question, beside_base=arguments.base)


def _rate(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.terminal.rate import rate_answers
    from sovereign_tasks.terminal.run import open_installation

    rate_answers(console, open_installation(), load_model(arguments.model), sys.stdin, rows=arguments.rows)


def _schema(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import json_schema

    sys.stdout.write(json_schema())


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, as everything else here does."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`.")


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; name one from 1 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 10**6):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows; name one from 1 on")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m sovereign_tasks",
        description="Own the data, the model, the machines.",
        epilog="COMMAND --help tells more of each. Models are the YAML files in config/, or in the folder that "
        "SOVEREIGN_CONFIG names; data, models and secrets lie in state/, or where SOVEREIGN_STATE says.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = _add(
        commands,
        "up",
        _up,
        "Start Airflow and MLflow on this machine, and stay up until Ctrl-C.",
        "up",
        "up --port 8090 --mlflow-port 5090",
    )
    run = _add(
        commands,
        "run",
        _run,
        "Run one night of a model, and the training that it makes due.",
        "run roofing --up          start the platform, run, stay up",
        "run roofing --up --once   start the platform, run, stop it",
        "run roofing               on the platform that `up` started",
    )
    run.add_argument("model", help="name of a model in config/")
    run.add_argument("--up", action="store_true", help="start the platform first, and stay up afterwards")
    run.add_argument("--once", action="store_true", help="with --up: stop the platform when the run is done")
    for command, when in ((up, ""), (run, "with --up: ")):
        command.add_argument(
            "--port", type=_port, help=f"{when}port of Airflow (default: the last used, 8080, or the next free one)"
        )
        command.add_argument(
            "--mlflow-port",
            type=_port,
            metavar="PORT",
            help=f"{when}port of MLflow (default: the last used, 5000, or the next free one)",
        )
        command.add_argument(
            "--day", type=int, choices=(1, 2), help=f"{when}day of the bundled demonstration site (default: 1)"
        )
    status = _add(
        commands, "status", _status, "Show a model's last night, last training and champion.", "status roofing"
    )
    status.add_argument("model", help="name of a model in config/")
    _add_quarantine(commands)
    accept = _add(
        commands,
        "accept",
        _accept,
        "Let a night that its validation stopped go on, with a reason; holds for that night alone.",
        'accept 4f1c22ab90de7710 --reason "the shop was moved, so all pages are new"',
    )
    accept.add_argument("night", help="the night's id, as its error and `status` name it")
    accept.add_argument("--reason", required=True, help="why what failed is right; kept with the night")
    _add_snapshots(commands)
    _add_erasure(commands)
    ask = _add(
        commands,
        "ask",
        _ask,
        "Ask a model's champion; needs no running platform.",
        'ask roofing "How long does a slate roof last?"',
        'ask roofing --base "How long does a slate roof last?"',
    )
    ask.add_argument("model", help="name of a model in config/")
    ask.add_argument("question", help="the question, in quotes")
    ask.add_argument("--base", action="store_true", help="show the base model's answer beside it")
    rate = _add(
        commands,
        "rate",
        _rate,
        "Say which of two answers is better, the newest candidate's or the champion's, without knowing whose is whose.",
        "rate roofing",
        "rate roofing --rows 50",
    )
    rate.add_argument("model", help="name of a model in config/")
    rate.add_argument("--rows", type=_count, default=20, help="pairs to show (default: 20)")
    _add(
        commands,
        "schema",
        _schema,
        "Print the JSON Schema of a model file, for editors.",
        "schema > config/model.schema.json",
    )
    return parser


def _add_snapshots(commands: argparse._SubParsersAction) -> None:
    listing = _add(
        commands,
        "snapshots",
        _snapshots,
        "List the versions of a model's dataset, and what joined and left with each.",
        "snapshots roofing",
    )
    diff = _add(
        commands,
        "diff",
        _diff,
        "Show what changed between two snapshots: counts, and the words.",
        "diff roofing 3 4",
        "diff roofing 1 4 --limit 100",
    )
    verify = _add(
        commands,
        "verify",
        _verify,
        "Hash files, snapshots and weights again, and hold them against what was published.",
        "verify roofing",
    )
    plan = _add(
        commands,
        "plan",
        _plan,
        "Reckon what a training needs here: memory, time, energy and money; loads no weights, starts nothing.",
        "plan roofing                on the newest snapshot",
        "plan roofing --snapshot 2   on an older one",
    )
    retrain = _add(
        commands,
        "retrain",
        _retrain,
        "Train on a snapshot now, on the platform that `up` started, due or not.",
        "retrain roofing                on the newest snapshot",
        "retrain roofing --snapshot 2   on an older one",
    )
    back = _add(
        commands,
        "rollback",
        _rollback,
        "Make an earlier version the champion again, with a reason.",
        'rollback roofing --reason "it states last year\'s prices"   the one before the champion',
        'rollback roofing --to 3 --reason "…"                        any that was champion once',
    )
    back.add_argument("--to", metavar="VERSION", default="", help="version (default: the one before the champion)")
    back.add_argument("--reason", required=True, help="why; kept with the rollback")
    first = _add(
        commands,
        "promote",
        _promote,
        "Make a version the first champion, provisionally, where only evidence is wanting; never over a champion.",
        'promote roofing 1 --reason "40 answers read, none wrong"',
    )
    first.add_argument("model", help="name of a model in config/")
    first.add_argument("version", help="the version, as `status` names it")
    first.add_argument("--reason", required=True, help="why; kept with the promotion")
    lineage = _add(
        commands,
        "lineage",
        _lineage,
        "Show what a model learned from and on what terms, or all that a source reached.",
        "lineage roofing                    the champion, down to its sources",
        "lineage roofing --version 7        another version",
        "lineage roofing --snapshot 3       a snapshot",
        "lineage roofing --source forum     all that a source reached",
        "lineage roofing --licence CC-BY-4.0 --json",
    )
    asked = lineage.add_mutually_exclusive_group()
    asked.add_argument("--version", metavar="V", help="a version (default: the champion)")
    asked.add_argument("--snapshot", type=int, metavar="N", help="a snapshot")
    asked.add_argument("--source", metavar="NAME", help="what a source reached")
    asked.add_argument("--document", metavar="ID", help="what a document reached")
    asked.add_argument("--licence", metavar="X", help="what everything under a licence reached")
    asked.add_argument("--consent", metavar="X", help="what everything on a basis of consent reached")
    lineage.add_argument("--json", action="store_true", help="print one JSON object")
    export = _add(
        commands,
        "export",
        _export,
        "Write a snapshot as a Hugging Face dataset folder, with its card.",
        "export roofing exports/roofing                the newest snapshot",
        "export roofing --snapshot 2 exports/second    an older one",
    )
    for command in (listing, diff, verify, lineage, export, plan, retrain, back):
        command.add_argument("model", help="name of a model in config/")
    export.add_argument("folder", help="folder to make; it must not be there, or be empty")
    export.add_argument("--snapshot", type=int, metavar="N", help="number of the snapshot (default: the newest)")
    export.add_argument("--sealed", action="store_true", help="also the rows that are kept for promotions alone")
    diff.add_argument("before", type=int, help="number of a snapshot, as `snapshots` lists them")
    diff.add_argument("after", type=int, help="number of the other")
    diff.add_argument("--limit", type=int, default=10, help="changes to show in words (default: 10)")
    for command in (plan, retrain):
        command.add_argument("--snapshot", type=int, metavar="N", help="number of the snapshot (default: the newest)")


def _add_erasure(commands: argparse._SubParsersAction) -> None:
    lines = "a request has a line for each: author, name, email, phone, address, text, url, document, source"
    find = _add(
        commands,
        "find",
        _find,
        f"Show what a model holds of a person, a page or a source; {lines}.",
        "find roofing < request.txt",
    )
    erase = _add(
        commands,
        "erase",
        _erase,
        f"Show what erasing it would touch, and with --yes erase it for good; {lines}.",
        "erase roofing < request.txt         shows what it would touch",
        "erase roofing --yes < request.txt   erases it",
    )
    for command in (find, erase):
        command.add_argument("model", help="name of a model in config/")
    erase.add_argument("--yes", action="store_true", help="erase what was shown; it can't be brought back")


def _add_quarantine(commands: argparse._SubParsersAction) -> None:
    quarantine = commands.add_parser(
        "quarantine", help="Show what was left out of a model's data, and release what waits for you."
    )
    actions = quarantine.add_subparsers(required=True, metavar="ACTION")
    listing = _add(
        actions,
        "list",
        _quarantine_list,
        "Count what was left out, by reason, and show what waits for a person.",
        "quarantine list roofing",
        "quarantine list roofing --reason too_short --limit 5",
    )
    release = _add(
        actions,
        "release",
        _quarantine_release,
        "Let held rows go on: the next night takes them up.",
        'quarantine release roofing 3f9a1c0b… --reason "read; no names"',
        'quarantine release roofing --all-of held_mail --source inbox --reason "all fifty read"',
    )
    for action in (listing, release):
        action.add_argument("model", help="name of a model in config/")
        action.add_argument("--source", default="", help="only rows of this source")
    listing.add_argument("--reason", default="", help="show the rows rejected for this reason")
    listing.add_argument("--limit", type=int, default=20, help="rows to show (default: 20)")
    release.add_argument("ids", nargs="*", metavar="ID", help="ids of rows, as `quarantine list` shows them")
    release.add_argument("--all-of", default="", metavar="REASON", help="all rows that wait for this reason")
    release.add_argument("--reason", required=True, help="why they may be learned from; kept with them")


def _add(
    commands: argparse._SubParsersAction,
    name: str,
    command: Callable[[argparse.Namespace, Console], None],
    text: str,
    *examples: str,
) -> argparse.ArgumentParser:
    epilog = "\n".join(["examples:", *(f"  python -m sovereign_tasks {example}" for example in examples)])
    form = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(name, help=text, description=text, epilog=epilog, formatter_class=form)
    parser.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
