"""The forum's rate limit, and the count of how callers keep to it."""

from __future__ import annotations

import math
import threading
import time

CALLS = 600


class RateLimit:
    """Allows `calls` a window of `seconds`, or all where `seconds` is left out; the window opens with a call.

    A call too many is told to come back after whole seconds (Retry-After); `told` says whether every answer also
    says what is left, as Reddit's X-Ratelimit headers do. `windows` counts the calls of each window, `refused` the
    calls too many, and `impatient` those that came before the time that an earlier refusal named.
    """

    def __init__(self, calls: int = CALLS, seconds: float | None = None, told: bool = True) -> None:
        self.windows: list[int] = [0]
        self.refused = self.impatient = 0
        self._calls, self._seconds, self._told = calls, seconds, told
        self._ends = self._not_before = 0.0
        self._lock = threading.Lock()

    def call(self) -> tuple[bool, dict[str, str]]:
        """Count a call; whether it is allowed, and the headers that say so."""
        with self._lock:
            now = time.monotonic()
            if self._seconds is None:
                self.windows[-1] += 1
                left = self._calls - self.windows[-1] % self._calls
                return True, _headers(self._calls - left, left, left)  # a call a second would do: PRAW never sleeps
            if now >= self._ends:
                self._ends = now + self._seconds
                self.windows.append(0)
            self.impatient += now < self._not_before
            reset = math.ceil(self._ends - now)
            used = self.windows[-1] + 1
            if used > self._calls:
                self.refused += 1
                self._not_before = now + reset
                return False, {"Retry-After": str(reset)}
            self.windows[-1] = used
            return True, _headers(used, self._calls - used, reset) if self._told else {}


def _headers(used: int, left: int, reset: int) -> dict[str, str]:
    return {
        "X-Ratelimit-Used": str(used),
        "X-Ratelimit-Remaining": str(left),
        "X-Ratelimit-Reset": str(reset),
    }
