"""What a reader of documents says of a file that it cannot take text from."""

from __future__ import annotations


class Unreadable(Exception):
    """A file without text that can be had: `reason` (unreadable, encrypted, no_text) and, in few words, why.

    `measured` names what is wrong with the file and never holds a part of it.
    """

    def __init__(self, reason: str, measured: str) -> None:
        super().__init__(f"{reason}: {measured}")
        self.reason = reason
        self.measured = measured
