"""The one hook on durable writes, through which tests end the process after each of them in turn."""

from __future__ import annotations

import os
import signal

_written = 0


def after_write() -> None:
    """Mark that a durable write has just finished.

    With SOVEREIGN_KILL_AFTER_WRITE=n in the environment the process kills itself after its n-th write.
    """
    global _written
    _written += 1
    if os.environ.get("SOVEREIGN_KILL_AFTER_WRITE") == str(_written):
        os.kill(os.getpid(), signal.SIGKILL)
