"""What changed between two versions: rows by their ids alone, words only of the few that are shown."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.dataset.snapshot import members

COLUMNS = ["example_id", "change", "split", "group", "reason", "source", "kind", "label", "asks"]
"""Of membership, what a comparison reads."""
BY = ("source", "kind", "label", "split")
_PIECE = re.compile(r"\s+|\w+|[^\w\s]")
_LONGEST = 4000  # pieces of a text to compare; what is longer counts as replaced


class Change(NamedTuple):
    """An example that was added (`old` is empty), removed (`new` is empty), or changed, by their ids."""

    what: Literal["added", "removed", "changed"]
    old: str
    new: str
    reason: str


@dataclass(frozen=True)
class Diff:
    """All changes between two versions, sorted, how many rows stay, and what is counted by each column of BY."""

    changes: list[Change]
    unchanged: int
    counts: dict[str, dict[str, Counter[str]]]
    """Column to its value to how many were added, removed and changed."""
    reasons: Counter[str]
    """Why rows left, by number."""


def compare(before: pa.Table, after: pa.Table) -> Diff:
    """Compare two states (last events, with COLUMNS).

    A row that left and one that joined are one change where both are of the same group and ask the same question, or
    are the group's only ones of their kind.
    """
    old, new = members(before), members(after)
    left = old.filter(pc.invert(pc.is_in(old["example_id"], new["example_id"].combine_chunks())))
    joined = new.filter(pc.invert(pc.is_in(new["example_id"], old["example_id"].combine_chunks())))
    gone = after.filter(pc.is_in(after["example_id"], left["example_id"].combine_chunks()))
    why = dict(zip(gone["example_id"].to_pylist(), gone["reason"].to_pylist(), strict=True))
    removed = {row["example_id"]: row for row in left.select(COLUMNS).to_pylist()}
    added = {row["example_id"]: row for row in joined.select(COLUMNS).to_pylist()}
    pairs = dict(_pairs(removed, added))
    changes = [
        *(Change("changed", a, b, why.get(a, "")) for a, b in pairs.items()),
        *(Change("removed", a, "", why.get(a, "")) for a in removed.keys() - pairs.keys()),
        *(Change("added", "", b, added[b]["reason"]) for b in added.keys() - {*pairs.values()}),
    ]
    counts: dict[str, dict[str, Counter[str]]] = {column: {} for column in BY}
    for change in changes:
        row = added.get(change.new) or removed[change.old]
        for column in BY:
            counts[column].setdefault(row[column], Counter())[change.what] += 1
    reasons = Counter(change.reason for change in changes if change.what != "added")
    return Diff(sorted(changes), len(new) - len(added), counts, reasons)


def _pairs(removed: dict[str, dict], added: dict[str, dict]) -> Iterator[tuple[str, str]]:
    """Rows that left with those in their place, each once."""
    left, joined = set(removed), set(added)
    for key, needed in ((("group", "asks"), "asks"), (("group", "kind"), "group")):
        places = [_by_key(rows, ids, key) for rows, ids in ((removed, left), (added, joined))]
        for place in sorted(places[0].keys() & places[1].keys()):
            (old, *more), (new, *others) = (places[0][place], places[1][place])
            if place[key.index(needed)] and not more and not others:
                left.discard(old)
                joined.discard(new)
                yield old, new


def _by_key(rows: dict[str, dict], ids: Iterable[str], key: tuple[str, ...]) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for example_id in sorted(ids):
        found.setdefault(tuple(rows[example_id][column] for column in key), []).append(example_id)
    return found


def compare_words(old: str, new: str) -> list[tuple[Literal["same", "removed", "added"], str]]:
    """The difference of two texts in words, as runs that together give both of them back."""
    a, b = _PIECE.findall(old), _PIECE.findall(new)
    if max(len(a), len(b)) > _LONGEST:
        return [("removed", old), ("added", new)]
    runs: list[tuple[Literal["same", "removed", "added"], str]] = []
    for how, i, j, k, n in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if how == "equal":
            runs.append(("same", "".join(a[i:j])))
            continue
        if i < j:
            runs.append(("removed", "".join(a[i:j])))
        if k < n:
            runs.append(("added", "".join(b[k:n])))
    return runs
