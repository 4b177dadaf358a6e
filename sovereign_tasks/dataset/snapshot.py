"""A dataset version as the last membership event of each example, its hash, and the events between two states.

A state is a table of last events (`store.newest_rows`). They say where an example stands: +1 is a member; a reason of
KEPT_OUT (with -1, or 0 when it never was a member) is a candidate kept out; any other -1 has left.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.records import Example, Membership, keyed_hash

NEAR_HOLDOUT = "near_holdout"
CONTRADICTED = "contradicted"
TOO_OLD = "too_old"
KEPT_OUT = (NEAR_HOLDOUT, CONTRADICTED, TOO_OLD)
"""Reasons of candidates that return once the reason is gone."""
RENEWED = "renewed"
"""The reason of an event that tells a member's new date or label, and adds nothing."""
_WORD = re.compile(r"\w+")


def members(state: pa.Table) -> pa.Table:
    """Of last events, those of examples that are in."""
    return state.filter(pc.equal(state["change"], 1))


def candidates(state: pa.Table) -> pa.Table:
    """Of last events, those of examples that are in, or kept out for a reason that may pass."""
    return state.filter(pc.or_(pc.equal(state["change"], 1), pc.is_in(state["reason"], pa.array(KEPT_OUT))))


def is_kept_out(event: Membership | None) -> bool:
    """Whether a last event says that its example is kept out for a reason that may pass."""
    return event is not None and event.change != 1 and event.reason in KEPT_OUT


def is_near_holdout(event: Membership | None) -> bool:
    """Whether a last event says that its example is kept out for coming near a held-out one."""
    return is_kept_out(event) and event.reason == NEAR_HOLDOUT


def by_example(state: pa.Table) -> dict[str, Membership]:
    """Last events by the example they are of."""
    return {event.example_id: event for event in Membership.from_table(state)}


def asks(question: str) -> str:
    """The keyed hash of a question's words, by which it is known however it is spelt; empty where it has none."""
    words = " ".join(_WORD.findall(question.casefold()))
    return words and keyed_hash("asks", words)


def row_digest(example: Example, split: str) -> str:
    """The keyed hash of what training sees of a row: its messages, what it rests on, and its split."""
    content = json.dumps([example.messages, example.doc_ids, split], sort_keys=True, ensure_ascii=False)
    return keyed_hash("row", example.example_id, content)


def content_hash(state: pa.Table) -> str:
    """The hash of a version: over the sorted digests of its rows, and nothing else."""
    digests = members(state)["digest"].combine_chunks().sort().to_pylist()
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def count(state: pa.Table) -> dict[str, int]:
    """Rows of a version per split."""
    return dict(sorted(Counter(members(state)["split"].to_pylist()).items()))


def change(
    state: dict[str, Membership],
    kept: Iterable[tuple[Example, str]],
    out: Mapping[str, str],
    touched: set[str],
    label: Callable[[Example], str] = lambda example: "",
    left: str = "source_changed",
) -> list[Membership]:
    """The events that lead from `state` to a new one, sorted by example.

    `state` has the last events of all examples that may change, `kept` (example, split) of the candidates among them,
    `out` the reason (of KEPT_OUT) of those that stay out; `touched` are the groups derived anew: candidates of theirs
    that are no longer found leave with the reason `left`.
    """
    events = []
    wanted = {example.example_id: (example, split) for example, split in kept}
    for example_id, (example, split) in wanted.items():
        before, reason = state.get(example_id), out.get(example_id)
        is_in = before is not None and before.change == 1
        step = -1 if reason and is_in else 0 if reason else 1
        digest = row_digest(example, split)
        event = Membership(
            example_id=example_id,
            change=step,
            split=split,
            group=example.group,
            digest=digest,
            reason=reason or (RENEWED if is_in and before.digest == digest else "new"),
            source=example.source,
            kind=example.kind,
            label=label(example),
            dated=example.dated,
            asks=asks(example.question),
        )
        if before is None or _standing(before) != _standing(event):
            events.append(event)
    for example_id in state.keys() - wanted.keys():
        before = state[example_id]
        reason = left if before.group in touched else out.get(example_id)
        if reason and reason != before.reason and (before.change == 1 or is_kept_out(before)):
            events.append(replace(before, change=-1 if before.change == 1 else 0, reason=reason))
    return sorted(events, key=lambda event: event.example_id)


def _standing(event: Membership) -> tuple[Any, ...]:
    """What an event says of its example now, however it came to that."""
    is_in, e = event.change == 1, event
    return is_in, is_in or e.reason, e.split, e.group, e.source, e.kind, e.label, e.dated, e.asks


def find_faults(state: pa.Table, digests: Mapping[str, Collection[str]], removed: set[str]) -> list[str]:
    """What of a version's rows is not as it was published, sorted.

    `digests` are those of the examples that are there, in each split that they ever had.

    A row in `removed` (physically deleted) may be missing.
    """
    rows = members(state)
    faults = []
    for example_id, digest in sorted(zip(rows["example_id"].to_pylist(), rows["digest"].to_pylist(), strict=True)):
        if example_id not in digests:
            if example_id not in removed:
                faults.append(f"example {example_id} is missing")
        elif digest not in digests[example_id]:
            faults.append(f"example {example_id} is not what was published")
    return faults
