"""Long work that ends with whoever started it: nobody would hear of its result, and it would only hold the card."""

from __future__ import annotations

import os
from collections.abc import Callable

from sovereign_tasks.errors import TransientError


def watch_supervisor() -> Callable[[], None]:
    """A check that raises TransientError once the process that started this one has ended."""
    supervisor = os.getppid()

    def check() -> None:
        if os.getppid() != supervisor:
            raise TransientError("What had started this work has ended, so it ends too.")

    return check
