"""Which held-out rows tell trainings apart, and which of several goes on to the gates."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sovereign_tasks.records import Example

VALIDATION_ROWS = 48


def best(losses: Mapping[str, float]) -> str:
    """The trial with the lowest held-out loss; of equals the first."""
    return min(losses, key=losses.__getitem__)


def validation_rows(held_out: Sequence[Example], leave: int = 0) -> list[Example]:
    """Whole groups of held-out rows, in the order of their hashes, of about VALIDATION_ROWS rows.

    They are half of the groups at most, and leave at least `leave` others.
    """
    groups: defaultdict[str, list[Example]] = defaultdict(list)
    for example in held_out:
        groups[example.group].append(example)
    rows: list[Example] = []
    ordered = sorted(groups, key=lambda group: hashlib.sha256(group.encode()).digest())
    for group in ordered[: max(0, min((len(ordered) + 1) // 2, len(ordered) - leave))]:
        if len(rows) >= VALIDATION_ROWS:
            break
        rows += groups[group]
    return rows
