"""A dataset version as the last membership event of each example, its hash, and the events between two states.

A state is a table of last events (`store.newest_rows`). They say where an example stands: +1 is a member; reason
`near_holdout` (with -1, or 0 when it never was a member) is a candidate kept out; any other -1 has left.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.records import Example, Membership, keyed_hash

NEAR_HOLDOUT = "near_holdout"


def members(state: pa.Table) -> pa.Table:
    """Of last events, those of examples that are in."""
    return state.filter(pc.equal(state["change"], 1))


def candidates(state: pa.Table) -> pa.Table:
    """Of last events, those of examples that are in, or kept out only for coming near a held-out one."""
    return state.filter(pc.or_(pc.equal(state["change"], 1), pc.equal(state["reason"], NEAR_HOLDOUT)))


def is_near_holdout(event: Membership | None) -> bool:
    """Whether a last event says that its example is kept out for coming near a held-out one."""
    return event is not None and event.reason == NEAR_HOLDOUT


def by_example(state: pa.Table) -> dict[str, Membership]:
    """Last events by the example they are of."""
    return {event.example_id: event for event in Membership.from_table(state)}


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
    state: dict[str, Membership], kept: Iterable[tuple[Example, str]], near: set[str], touched: set[str]
) -> list[Membership]:
    """The events that lead from `state` to a new one, sorted by example.

    `state` has the last events of all examples that may change, `kept` (example, split) of the candidates among them,
    `near` the ids of those that stay out; `touched` are the groups derived anew: candidates of theirs that are no
    longer found leave with the reason `source_changed`.
    """
    events = []
    wanted = {example.example_id: (example, split) for example, split in kept}
    for example_id, (example, split) in wanted.items():
        before = state.get(example_id)
        is_in = before is not None and before.change == 1
        digest = row_digest(example, split)
        if example_id in near:
            if not is_near_holdout(before):
                step = -1 if is_in else 0
                events.append(Membership(example_id, step, split, example.group, digest, NEAR_HOLDOUT))
        elif not is_in:
            events.append(Membership(example_id, 1, split, example.group, digest, "new"))
    for example_id, before in state.items():
        if before.change != 1 and not is_near_holdout(before):
            continue
        if before.group in touched and example_id not in wanted:
            step = -1 if before.change == 1 else 0
            events.append(Membership(example_id, step, before.split, before.group, before.digest, "source_changed"))
    return sorted(events, key=lambda event: event.example_id)


def find_faults(state: pa.Table, examples: Iterable[Example], removed: set[str]) -> list[str]:
    """What of a version's rows is not as it was published: missing rows and rows of another digest, by id.

    A row in `removed` (physically deleted) may be missing.
    """
    found = {example.example_id: example for example in examples}
    faults = []
    for example_id, event in sorted(by_example(members(state)).items()):
        example = found.get(example_id)
        if example is None:
            if example_id not in removed:
                faults.append(f"{example_id} is missing")
        elif row_digest(example, event.split) != event.digest:
            faults.append(f"{example_id} is not what was published")
    return faults
