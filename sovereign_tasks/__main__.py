"""The command line: `python -m sovereign_tasks up | run MODEL | status MODEL | ask MODEL "question" | schema`.

What takes time to import is imported by the commands, so that Ctrl-C is met calmly from the first moment on.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from sovereign_tasks.errors import TransientError, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from sovereign_tasks.terminal.run import Session


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it did its work, 2 for what the owner can mend, 128 + signal when interrupted.

    Ctrl-C at "Up until Ctrl-C" is how its work ends, and so a 0.
    """
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
    from sovereign_tasks.terminal.run import print_addresses

    with _platform(arguments, console) as session:
        print_addresses(console, session)
        _stay(console, session)


def _run(arguments: argparse.Namespace, console: Console) -> None:
    from sovereign_tasks.config import load_model
    from sovereign_tasks.stages.retrain import check_base
    from sovereign_tasks.terminal.run import find_platform, open_installation, print_addresses

    if not arguments.up:
        for option in ("once", "port", "mlflow_port", "day"):
            if getattr(arguments, option):
                raise UserError(f"--{option.replace('_', '-')} is about the platform that --up starts; add --up.")
    config = load_model(arguments.model)
    check_base(config)
    with _platform(arguments, console) if arguments.up else _found(find_platform(console)) as session:
        from sovereign_tasks.terminal.loop import Loop

        Loop(console, session, open_installation(), config.model).run()
        print_addresses(console, session)
        if arguments.up and not arguments.once:
            _stay(console, session)
