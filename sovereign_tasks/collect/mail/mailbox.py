"""What the collection of mail needs of the place where it lies: a folder of files, or a folder on a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Found:
    """A message's headers, where it lies, and its size in bytes; `seen` says that an earlier night dealt with it."""

    place: str
    head: bytes
    size: int
    seen: bool = False


class Mailbox(Protocol):
    """A mailbox opened for one night, in which a `place` names where a message lies.

    `address` names it, `gone` are the known places where the message is not any more or has to be looked for
    anew, and `editable` says that a message may change where it lies. `judged` says that a server put its verdict on
    the sender on top of the headers, and `partial` that some of it can't be read tonight.
    """

    address: str
    gone: set[str]
    editable: bool
    judged: bool
    partial: bool

    def messages(self) -> Iterator[Found]:
        """What lies at places not dealt with yet, in a lasting order; where asked again, what lies at all places."""

    def read(self, place: str) -> bytes | None:
        """A message's bytes; None for one that has gone meanwhile, or can't be read tonight."""

    def cursor(self, place: str | None) -> dict[str, Any]:
        """What to go on from once all up to and including a place is dealt with; None where everything is."""
