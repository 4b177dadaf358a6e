"""How gently each host is treated: how often it is asked, by how many at once, and when it is left alone.

Every host has its own lock, held only to look at the time; nobody sleeps or asks under one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

DEAD_AFTER = 5


class Host:
    """One host tonight: `slot` is held while asking it; all else may be called by any thread."""

    def __init__(self, connections: int, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self.slot = threading.BoundedSemaphore(connections)
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._due = clock()
        self._failures = 0

    @property
    def left_alone(self) -> bool:
        """Whether it failed so often in a row that it isn't asked any more."""
        return self._failures >= DEAD_AFTER

    def wait(self, pause: float) -> None:
        """Sleep until it may be asked, and keep the next one `pause` seconds away."""
        with self._lock:
            now = self._clock()
            due = max(self._due, now)
            self._due = due + pause
        if due > now:
            self._sleep(due - now)
            with self._lock:  # sleep may last longer than asked for, and the pause is between real requests
                self._due = max(self._due, self._clock() + pause)

    def rest(self, seconds: float) -> None:
        """Let nobody ask for so many seconds."""
        with self._lock:
            self._due = max(self._due, self._clock() + seconds)

    def note(self, *, failed: bool) -> None:
        """Count failures in a row."""
        with self._lock:
            self._failures = self._failures + 1 if failed else 0


class Hosts:
    """The hosts by name, each made when first asked for."""

    def __init__(self, connections: int, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._new = lambda: Host(connections, clock, sleep)
        self._lock = threading.Lock()
        self._hosts: dict[str, Host] = {}

    def __getitem__(self, name: str) -> Host:
        with self._lock:
            if name not in self._hosts:
                self._hosts[name] = self._new()
            return self._hosts[name]
