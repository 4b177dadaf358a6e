"""One reading of files that hold many items: rows of a table or data set, posts of an export.

A file is read whole or from where the last reading stopped. Every item is remembered with the stamp of the file
that it was last seen in, so that a reading over several parts or nights knows in the end which items are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sovereign_tasks.collect.local import Broken, stamp
from sovereign_tasks.collect.night import Night
from sovereign_tasks.records import Validator, keyed_hash

MAX_BODY = 2_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a row; the fields are those of `Night.keep`, and `people` are names to scrub from the text."""

    address: str
    item: str
    body: bytes
    media_type: str = "text/plain"
    title: str = ""
    author: str = ""
    group: str = ""
    parent: str = ""
    score: int | None = None
    created_at: datetime | None = None
    people: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The keyed hash of all that makes a document of it."""
        said = (self.media_type, self.title, self.author, self.group, self.parent, str(self.score), *self.people)
        return keyed_hash("entry", self.body, *said)


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that is no item: rejected with a reason, or only counted where it is none by its nature."""

    reason: str
    measured: str = ""
    counted: bool = False


_SAYS_NOTHING = {"empty", "no_chat"}  # such a row was read to its end, and is none of the items that are known

Row = tuple[int, list[Entry] | Fault]
Rows = Callable[[str, Path, int], Iterator[Row]]
"""The rows of the file with an address and a path, from the row after a number on."""


class Reading:
    """A night's reading of a source's files, one after the other.

    `known` holds the known items of each file (item to address). `most` bounds the night's new, changed and rejected
    rows: the next night goes on from there, beginning with the file behind the one where this one ended, so that no
    file keeps another from its turn. `by_author` marks what vanishes as deleted by its author.
    """

    def __init__(
        self,
        night: Night,
        known: Mapping[str, Mapping[str, str]],
        *,
        most: int | None = None,
        by_author: bool = False,
    ) -> None:
        self.night, self.known, self.by_author = night, known, by_author
        cursor = night.state.cursor
        self.places: dict[str, dict[str, Any]] = dict(cursor.get("places", {}))
        self.left: int | None = cursor.get("left", most)  # only a part of a night says what is left of it
        self.seen: dict[str, str] = {}
        self.beside: dict[str, Any] = {}
        """What a checkpoint's cursor holds beside the places in the files."""

    def over(self, files: Mapping[str, Path], settings: str, rows: Rows) -> dict[str, Any]:
        """Read all files, and give the cursor; what came from files that are no more is gone."""
        cursor, after = self.night.state.cursor, {}
        self.places = {address: place for address, place in self.places.items() if address in files}
        first = cursor.get("first", "")
        order = sorted(files, key=lambda address: (address < first, address))
        begun = order.index(at) if (at := cursor.get("at")) in files else 0  # where this night was cut off
        for done, address in enumerate(order[begun:], begun + 1):
            self.beside = {"first": first, "at": address}
            try:
                stamped = stamp(files[address], settings=settings)
                self.file(address, stamped, partial(rows, address, files[address]))
            except OSError as e:
                self.broken(address, "", "unreadable", e.strerror or type(e).__name__)
            if self.left == 0:
                after = {"places": self.places, "first": order[done % len(order)]}
                break
            self.night.progress(done, len(files))
        for address in self.known.keys() - files.keys():
            for item, where in self.known[address].items():
                self.night.vanish(where, item, "file is gone", by_author=self.by_author)
            self.night.remember(Validator(address, "", "", ""))  # as it was, it is new when it comes back
        return after

    def file(self, address: str, stamp: str, rows: Callable[[int], Iterator[Row]]) -> None:
        """Read one file, if it was touched since or a known item of it is wanted anew.

        `rows` gives those after a number; numbers rise, and the first row is 1 at least. Where a row could not be
        read, it may be any of the known ones: nothing of the file vanishes then.
        """
        before, known = self.night.state.validators.get(address), self.known.get(address, {})
        touched, _, fault = before.etag.partition(" ") if before else ("", "", "")
        if touched == stamp and fault != "unreadable" and all(self._digest(item) for item in known):
            self.night.asked()
            self.night.count("not_modified")
            return
        place = self.places.get(address, {})
        if place.get("stamp") != stamp:
            place = {"stamp": stamp, "row": 0, "faulty": False}
        try:
            for number, row in rows(place["row"]):
                if self.left == 0:
                    return
                new, faulty = self._row(address, stamp, number, row)
                place = {"stamp": stamp, "row": number, "faulty": place["faulty"] or faulty}
                self.places[address] = place
                if new and self.left is not None:
                    self.left -= 1
                self.night.checkpoint(self._cursor)
        except Broken as broken:
            self.broken(address, stamp, broken.reason, broken.measured)
        else:
            self.night.remember(Validator(address, stamp, "", ""))
            for item in known if not place["faulty"] else ():
                validator = self.night.state.validators.get(item)
                if item not in self.seen and not (validator and validator.etag == stamp):
                    self.night.vanish(known[item], item, "row is gone", by_author=self.by_author)
        self.places.pop(address, None)

    def broken(self, address: str, stamp: str, reason: str, measured: str) -> None:
        """Reject a file, once as long as it is as it was."""
        before, etag = self.night.state.validators.get(address), f"{stamp} {reason}"
        self.night.asked()
        if before and before.etag == etag:
            return self.night.count("not_modified")
        self.night.remember(Validator(address, etag, "", before.digest if before else ""))
        return self.night.reject(address, reason, measured)

    def _cursor(self) -> dict[str, Any]:
        return self.beside | {"places": dict(self.places), "left": self.left}

    def _row(self, address: str, stamp: str, number: int, row: list[Entry] | Fault) -> tuple[bool, bool]:
        """Take a row; whether it is one of the night's rows, and whether it could not be read."""
        if not isinstance(row, Fault) and (longest := max((len(entry.body) for entry in row), default=0)) > MAX_BODY:
            row = Fault("too_large", f"{longest} bytes")
        if not isinstance(row, Fault):
            taken = [self._take(entry, stamp, address, number) for entry in row]
            return any(taken), False
        if row.counted:
            self.night.asked()
            self.night.count(row.reason)
            return False, False
        self._reject(address, row.reason, f"row {number}: {row.measured}".removesuffix(": "), f"row {number}")
        return True, row.reason not in _SAYS_NOTHING

    def _take(self, entry: Entry, stamp: str, address: str, number: int) -> bool:
        """Whether an item is new or changed, or has to be rejected."""
        before = self.night.state.validators.get(entry.item)
        digest = entry.digest
        earlier = self.seen.get(entry.item, before.digest if before and before.etag == stamp else digest)
        if earlier != digest:
            self._reject(address, "id_twice", f"row {number}", f"row {number}")
            return True
        self.night.asked()
        if entry.item in self.seen:
            self.night.count("repeated")
            return False
        self.seen[entry.item] = digest
        self.night.remember(Validator(entry.item, stamp, "", digest))
        if before and before.digest == digest:
            self.night.count("unchanged")
            return False
        self.night.keep(
            entry.address,
            entry.body,
            entry.media_type,
            item=entry.item,
            group=entry.group or entry.item,
            parent=entry.parent,
            headers={"people": list(entry.people)} if entry.people else {},
            title=entry.title,
            author=entry.author,
            score=entry.score,
            created_at=entry.created_at,
        )
        return True

    def _reject(self, address: str, reason: str, measured: str, item: str) -> None:
        self.night.asked()
        self.night.reject(address, reason, measured, item=item)

    def _digest(self, item: str) -> str:
        validator = self.night.state.validators.get(item)
        return validator.digest if validator else ""
