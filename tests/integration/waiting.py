"""Waiting for what real servers do in their own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def eventually(condition: Callable[[], Any], seconds: float = 180) -> Any:
    """The condition's first true answer; the test fails without one."""
    until = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.2)
    return answer
