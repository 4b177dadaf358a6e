"""A dataset version as the fold of membership events, its content hash, and the events between two states.

An example's last event says where it stands: +1 is a member; reason `near_holdout` (with -1, or 0 when it never
was a member) is a candidate kept out; any other -1 has left.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa

from sovereign_tasks.records import Example, Membership, keyed_hash

NEAR_HOLDOUT = "near_holdout"


def fold(events: pa.Table) -> dict[str, Membership]:
    """The last event of each example, from events in the order of their builds."""
    return {event.example_id: event for event in Membership.from_table(events)}


def members(state: dict[str, Membership]) -> dict[str, Membership]:
    """The examples that are in."""
    return {i: event for i, event in state.items() if event.change == 1}


def candidates(state: dict[str, Membership]) -> dict[str, Membership]:
    """The examples that are in, or kept out only for coming near a held-out one."""
    return {i: event for i, event in state.items() if event.change == 1 or is_near_holdout(state, i)}


def is_near_holdout(state: dict[str, Membership], example_id: str) -> bool:
    """Whether an example is kept out for coming near a held-out one."""
    return example_id in state and state[example_id].reason == NEAR_HOLDOUT


def row_digest(example: Example, split: str) -> str:
    """The keyed hash of what training sees of a row: its messages, what it rests on, and its split."""
    content = json.dumps([example.messages, example.doc_ids, split], sort_keys=True, ensure_ascii=False)
    return keyed_hash("row", example.example_id, content)


def content_hash(state: dict[str, Membership]) -> str:
    """The hash of a version: over the sorted digests of its rows, and nothing else."""
    digests = sorted(event.digest for event in members(state).values())
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def count(state: dict[str, Membership]) -> dict[str, int]:
    """Rows of a version per split."""
    return dict(sorted(Counter(event.split for event in members(state).values()).items()))


def change(
    state: dict[str, Membership], kept: Iterable[tuple[Example, str]], near: set[str], touched: set[str]
) -> list[Membership]:
    """The events that lead from `state` to a new one, sorted by example.

    `kept` holds (example, split) of all candidates, `near` the ids among them that stay out, `touched` the groups
    derived anew: candidates of theirs that are no longer found leave with the reason `source_changed`.
    """
    events = []
    wanted = {example.example_id: (example, split) for example, split in kept}
    for example_id, (example, split) in wanted.items():
        before = state.get(example_id)
        is_in = before is not None and before.change == 1
        digest = row_digest(example, split)
        if example_id in near:
            if not is_near_holdout(state, example_id):
                step = -1 if is_in else 0
                events.append(Membership(example_id, step, split, example.group, digest, NEAR_HOLDOUT))
        elif not is_in:
            events.append(Membership(example_id, 1, split, example.group, digest, "new"))
    for example_id, before in candidates(state).items():
        if before.group in touched and example_id not in wanted:
            step = -1 if before.change == 1 else 0
            events.append(Membership(example_id, step, before.split, before.group, before.digest, "source_changed"))
    return sorted(events, key=lambda event: event.example_id)


def find_faults(state: dict[str, Membership], examples: Iterable[Example], removed: set[str]) -> list[str]:
    """What of a version's rows is not as it was published: missing rows and rows of another digest, by id.

    A row in `removed` (physically deleted) may be missing.
    """
    found = {example.example_id: example for example in examples}
    faults = []
    for example_id, event in sorted(members(state).items()):
        example = found.get(example_id)
        if example is None:
            if example_id not in removed:
                faults.append(f"{example_id} is missing")
        elif row_digest(example, event.split) != event.digest:
            faults.append(f"{example_id} is not what was published")
    return faults
