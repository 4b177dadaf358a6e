"""Ctrl-C, SIGTERM and a closed terminal, turned into one exception at a moment that is safe."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal asked the platform to end; `signum` says which (a command line exits with 128 + signum)."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Interrupts:
    """Raises Interrupted in the main thread, but never inside a `shielded` block and never once `closing`.

    While closing, a further signal sets `hurry` instead. Outside the main thread, where Python has no signals,
    it does nothing.
    """

    def __init__(self) -> None:
        self.closing = False
        self.hurry = False
        self._shields = 0
        self._pending: int | None = None
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():
            self._previous = {one: signal.signal(one, self._handle) for one in SIGNALS}

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for one, previous in self._previous.items():
            signal.signal(one, previous)
        self._previous = {}

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """A block that no signal cuts in two; one that came meanwhile is raised at its end."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._pending is not None and not self._shields and not self.closing:
            raise Interrupted(self._pending)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.closing:
            self.hurry = True
        elif self._shields:
            self._pending = signum
        else:
            raise Interrupted(signum)
