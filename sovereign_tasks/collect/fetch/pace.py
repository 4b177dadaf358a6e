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
        self._left = ""

    @property
    def left_alone(self) -> str:
        """Why it isn't asked any more, or empty."""
        return self._left or (f"{DEAD_AFTER} failures in a row before" if self._failures >= DEAD_AFTER else "")

    def wait(self, pause: float) -> None:
        """Sleep until it may be asked, and keep the next one `pause` seconds away; at once where it is left alone."""
        while not self.left_alone:
            with self._lock:
                now, due = self._clock(), self._due
                if now >= due:
                    self._due = now + pause
                    return
            self._sleep(due - now)  # meanwhile it may have asked to be left in peace for longer

    def rest(self, seconds: float) -> None:
        """Let nobody ask for so many seconds."""
        with self._lock:
            self._due = max(self._due, self._clock() + seconds)

    def leave(self, why: str) -> None:
        """Let nobody ask any more."""
        self._left = why

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
