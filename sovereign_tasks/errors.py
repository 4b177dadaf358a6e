"""The kinds of failure that a person or a scheduler has to tell apart."""

from __future__ import annotations

from datetime import datetime


class UserError(Exception):
    """Something the owner can mend: one sentence with what is wrong, where, and what to do (exit code 2)."""


class TransientError(Exception):
    """Something that may heal by itself (a host that is down, a lease held elsewhere): worth a retry."""


class Paused(Exception):
    """Work that waits for its hours: what is done is kept, and `until` is when it goes on."""

    def __init__(self, reason: str, until: datetime) -> None:
        super().__init__(reason)
        self.until = until
