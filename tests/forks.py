"""Processes of their own, which may be killed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
# A process has one server that forks, whoever asks for it, so what it loads beforehand is said here for all tests.
_FORKS.set_forkserver_preload(["tests.warm"])


def start(target: Callable[..., None], *arguments: Any, kill_after: int | None = None) -> Any:
    """A process of its own that runs `target` with this environment; it kills itself after so many durable writes."""
    environment = dict(os.environ)  # the server that forks has that of the first test
    if kill_after is not None:
        environment["SOVEREIGN_KILL_AFTER_WRITE"] = str(kill_after)
    process = _FORKS.Process(target=_work, args=(environment, target, *arguments))
    process.start()
    return process


def _work(environment: dict[str, str], target: Callable[..., None], *arguments: Any) -> None:
    os.environ.update(environment)
    target(*arguments)


def run(
    target: Callable[..., None], *arguments: Any, kill_after: int | None = None, kill_at: float | None = None
) -> bool:
    """Run `target` in a process of its own, which is killed after so many seconds; False if it was killed."""
    process = start(target, *arguments, kill_after=kill_after)
    process.join(kill_at)
    if process.is_alive():
        process.kill()
    return ended(process)


def ended(process: Any) -> bool:
    """Wait for a process; False if it was killed."""
    process.join()
    assert process.exitcode in (0, -9), f"{process.name} ended with {process.exitcode}"
    return process.exitcode == 0
