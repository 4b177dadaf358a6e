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


Row = tuple[int, list[Entry] | Fault]
Rows = Callable[[str, Path, int], Iterator[Row]]
"""The rows of the file with an address and a path, from the row after a number on."""


class Reading:
    """A night's reading of a source's files, one after the other, in the order of their addresses.

    `known` holds the known items of each file (item to address). `most` bounds the night's rows; the next night
    goes on from there. `by_author` marks what vanishes as deleted by its author.
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
        self.place: dict[str, Any] = cursor.get("place", {})
        self.cut_off = "left" in cursor  # only a part of a night says what is left of it
        self.left: int | None = cursor["left"] if self.cut_off else most
        self.seen: dict[str, str] = {}
        self.beside: dict[str, Any] = {}
        """What a checkpoint's cursor holds beside the place in a file."""

    def over(self, files: Mapping[str, Path], settings: str, rows: Rows) -> dict[str, Any]:
        """Read all files, and give the cursor; what came from files that are no more is gone."""
        for done, (address, path) in enumerate(files.items(), 1):
            if self.cut_off and address < self.place.get("file", ""):
                continue
            try:
                self.file(address, stamp(path, settings=settings), partial(rows, address, path))
            except OSError as e:
                self._reject(address, "unreadable", e.strerror or type(e).__name__)
            if self.left == 0:
                break
            self.night.progress(done, len(files))
        for address in self.known.keys() - files.keys():
            for item, where in self.known[address].items():
                self.night.vanish(where, item, "file is gone", by_author=self.by_author)
            self.night.remember(Validator(address, "", "", ""))  # as it was, it is new when it comes back
        return {"place": self.place} if self.left == 0 and self.place else {}

    def file(self, address: str, stamp: str, rows: Callable[[int], Iterator[Row]]) -> None:
        """Read one file, if it was touched since or a known item of it is wanted anew.

        `rows` gives those after a number; numbers rise, and the first row is 1 at least.
        """
        before, known = self.night.state.validators.get(address), self.known.get(address, {})
        if before and before.etag == stamp and all(self._digest(item) for item in known):
            self.night.asked()
            self.night.count("not_modified")
            return
        start = self.place["row"] if (self.place.get("file"), self.place.get("stamp")) == (address, stamp) else 0
        try:
            for number, row in rows(start):
                if self.left == 0:
                    return
                self._row(address, stamp, number, row)
                self.place = {"file": address, "stamp": stamp, "row": number}
                self.left = None if self.left is None else self.left - 1
                self.night.checkpoint(self.beside | {"place": self.place, "left": self.left})
        except Broken as broken:
            self._reject(address, broken.reason, broken.measured)
            return
        for item in known:
            validator = self.night.state.validators.get(item)
            if item not in self.seen and not (validator and validator.etag == stamp):
                self.night.vanish(known[item], item, "row is gone", by_author=self.by_author)
        self.night.remember(Validator(address, stamp, "", ""))
        self.place = {}

    def _row(self, address: str, stamp: str, number: int, row: list[Entry] | Fault) -> None:
        if not isinstance(row, Fault) and (longest := max((len(entry.body) for entry in row), default=0)) > MAX_BODY:
            row = Fault("too_large", f"{longest} bytes")
        if not isinstance(row, Fault):
            for entry in row:
                self._take(entry, stamp, address, number)
        elif row.counted:
            self.night.asked()
            self.night.count(row.reason)
        else:
            self._reject(address, row.reason, f"row {number}: {row.measured}".removesuffix(": "), f"row {number}")

    def _take(self, entry: Entry, stamp: str, address: str, number: int) -> None:
        before = self.night.state.validators.get(entry.item)
        digest = entry.digest
        earlier = self.seen.get(entry.item, before.digest if before and before.etag == stamp else digest)
        if earlier != digest:
            return self._reject(address, "id_twice", f"row {number}", f"row {number}")
        self.night.asked()
        if entry.item in self.seen:
            return self.night.count("repeated")
        self.seen[entry.item] = digest
        self.night.remember(Validator(entry.item, stamp, "", digest))
        if before and before.digest == digest:
            return self.night.count("unchanged")
        return self.night.keep(
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

    def _reject(self, address: str, reason: str, measured: str, item: str = "") -> None:
        self.night.asked()
        self.night.reject(address, reason, measured, item=item)

    def _digest(self, item: str) -> str:
        validator = self.night.state.validators.get(item)
        return validator.digest if validator else ""
