"""One source's collection of one night: what is known of it, and where what it gives goes.

A collection that takes long is handed on in parts. Each part is durable before the next begins, and a collection
that was cut off is started again with the state of its last part, as if that were the last night's.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Collected, Gone, RawItem, Rejection, SourceState, Validator, document_id, keyed_hash
from sovereign_tasks.sources import SourceConfig

STAGE = "collect"
_PLAIN = re.compile(r"[^\x00-\x08\x0e-\x1f\ud800-\udfff]*", re.DOTALL)
PART_ITEMS = 100
PART_BYTES = 8_000_000
PART_SECONDS = 15.0


class Night:
    """What a collector works with; every row it asks for is kept, rejected or counted under a reason.

    `state` is what the ledger remembers of the source, `contact` is named to every server, and `now` becomes the
    items' fetched_at. `hand_on` takes each part; `progress` is told (done, known to do).
    """

    def __init__(
        self,
        source: SourceConfig,
        state: SourceState,
        *,
        contact: str,
        now: datetime,
        hand_on: Callable[[Collected], None],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.source, self.state, self.contact, self.now, self.progress = source, state, contact, now, progress
        self._hand_on = hand_on
        self._clear()

    def keep(
        self,
        address: str,
        body: bytes,
        media_type: str,
        *,
        item: str = "",
        group: str = "",
        parent: str = "",
        headers: Mapping[str, Any] | None = None,
        title: str = "",
        author: str = "",
        score: int | None = None,
        created_at: datetime | None = None,
    ) -> None:
        """Take one authored item; the fields are those of `RawItem`, and `group` is the address where it is left out.

        `headers` become JSON; under the key `people` they may list names that are to be scrubbed from the text.
        """
        for what, name, longest in (("id", item, 255), ("address", address, 2000), ("group", group, 2000)):
            if len(name) > longest or not _PLAIN.fullmatch(name):
                said = f"source {self.source.name}: an item's {what} is over {longest} characters or no plain text"
                raise UserError(f"{said}; name it by a hash of it.")
        self._bytes += len(body)
        self._items.append(
            RawItem(
                source=self.source.name,
                kind=self.source.kind,
                address=address,
                item=item,
                group=group or address,
                parent=parent,
                body=body,
                media_type=media_type,
                headers=json.dumps(dict(headers or {}), sort_keys=True),
                title=_clean(title),
                author=_clean(author),
                score=score,
                created_at=created_at,
                fetched_at=self.now,
                licence=self.source.licence,
                consent=self.source.consent,
                digest=keyed_hash("body", body),
            )
        )

    def reject(self, address: str, reason: str, measured: str = "", *, item: str = "") -> None:
        """Leave a row out with a reason code and what was measured: a status, a size, never words of the source."""
        row_id = document_id(self.source.name, address, item)
        self._rejections.append(Rejection(STAGE, row_id, self.source.name, reason, measured, address, [row_id]))
        self._reasons[reason] += 1

    def vanish(self, address: str, item: str, reason: str, *, by_author: bool = False) -> None:
        """Note that a known item is gone, and forget its validator so that it is new if it comes back."""
        self._gone.append(Gone(address, item, reason, by_author))
        self.remember(Validator(item or address, "", "", ""))

    def remember(self, validator: Validator) -> None:
        """Note what the next night compares with."""
        self._validators[validator.address] = validator

    def count(self, reason: str, rows: int = 1) -> None:
        """Count rows that need nothing done, such as not_modified."""
        self._reasons[reason] += rows

    def asked(self, rows: int = 1) -> None:
        """Count rows that the source was asked for, or gave."""
        self._rows += rows

    def note(self, **notes: Any) -> None:
        """Add to what the stage's report says beside its counts: numbers add up over the parts."""
        for name, value in notes.items():
            self._notes[name] = self._notes.get(name, 0) + value

    def checkpoint(self, cursor: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Say that the collection may be cut off here and go on from `cursor`; a part is handed on when it is due.

        A cursor that costs something to make may come as a function.
        """
        due = len(self._items) >= PART_ITEMS or self._bytes >= PART_BYTES
        if due or time.monotonic() - self._since >= PART_SECONDS:
            self._hand_on_part(cursor() if callable(cursor) else cursor, whole=False)

    def end(self, cursor: Mapping[str, Any]) -> None:
        """Hand on what has come since the last part: the collection is whole, and `cursor` for the next night."""
        self._hand_on_part(cursor, whole=True)

    def _hand_on_part(self, cursor: Mapping[str, Any], *, whole: bool) -> None:
        self._hand_on(
            Collected(
                sorted(self._items, key=lambda i: (i.address, i.item)),
                sorted(self._gone, key=lambda g: (g.address, g.item)),
                [self._validators[k] for k in sorted(self._validators)],
                dict(cursor),
                sorted(self._rejections, key=lambda r: (r.row_id, r.reason)),
                self._rows,
                dict(sorted(self._reasons.items())),
                self._notes,
                whole,
            )
        )
        self._clear()

    def _clear(self) -> None:
        self._items: list[RawItem] = []
        self._gone: list[Gone] = []
        self._validators: dict[str, Validator] = {}
        self._rejections: list[Rejection] = []
        self._reasons: Counter[str] = Counter()
        self._notes: dict[str, Any] = {}
        self._rows = self._bytes = 0
        self._since = time.monotonic()


def _clean(text: str) -> str:
    """The text without NUL and halves of characters, which neither files nor tables can hold."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode()
