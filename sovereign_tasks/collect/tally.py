"""What a collector gathers as it goes, and how that becomes a `Collected`."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from sovereign_tasks.records import Collected, Gone, RawItem, Rejection, StageReport, Validator, keyed_hash

STAGE = "collect"


class Tally:
    """Collects results in any order and gives them in one; every row asked is an item or has a reason."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.items: list[RawItem] = []
        self.gone: list[Gone] = []
        self.validators: dict[str, Validator] = {}
        self.rejections: list[Rejection] = []
        self.reasons: Counter[str] = Counter()
        self.rows = 0
        self._started = time.monotonic()

    def reject(self, address: str, reason: str, measured: str = "", *, item: str = "") -> None:
        """Leave a row out with a reason code and what was measured.

        Nothing is scrubbed yet, so the row goes by what its doc_id would be, and `measured` holds a status, a size
        or a host, never an address or words of the source.
        """
        row_id = keyed_hash("document", self.source, address, item)
        self.rejections.append(Rejection(STAGE, row_id, self.source, reason, measured, ""))
        self.reasons[reason] += 1

    def vanish(self, address: str, item: str, reason: str, *, by_author: bool = False) -> None:
        """Note that a known item is gone, and forget its validator so that it is new if it comes back."""
        self.gone.append(Gone(address, item, reason, by_author))
        self.remember(Validator(item or address, "", "", ""))

    def remember(self, validator: Validator) -> None:
        """Note what the next night compares with."""
        self.validators[validator.address] = validator

    def collected(self, cursor: dict[str, Any], notes: dict[str, Any]) -> Collected:
        """The night's yield, in the order of addresses and items."""
        report = StageReport(
            STAGE,
            self.rows,
            len(self.items),
            dict(sorted(self.reasons.items())),
            time.monotonic() - self._started,
            notes,
        )
        return Collected(
            sorted(self.items, key=lambda i: (i.address, i.item)),
            sorted(self.gone, key=lambda g: (g.address, g.item)),
            [self.validators[k] for k in sorted(self.validators)],
            cursor,
            sorted(self.rejections, key=lambda r: (r.row_id, r.reason)),
            report,
        )
