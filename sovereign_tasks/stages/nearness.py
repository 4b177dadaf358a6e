"""Training rows that come near a held-out one, found at the cost of what is new.

Every example's digest lies in a file with an index on its bands. The file says nothing that the tables don't: what it
lacks of committed builds is added before it is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.bands import Bands
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.dataset.split import digest_examples, find_near, nearest
from sovereign_tasks.digests import Digest
from sovereign_tasks.records import Example, Membership
from sovereign_tasks.stages.context import Context, among
from sovereign_tasks.store import state_folder

Near = dict[str, tuple[str, float]]


def find_near_holdout(
    context: Context, builds: Sequence[str], state: pa.Table, found: list[tuple[Example, str]], touched: set[str]
) -> tuple[Near, list[tuple[Example, str]]]:
    """Which training rows come near a held-out one: (nearest, similarity) by example.

    `state` has every example's last event, `found` tonight's examples of the `touched` groups with their splits. Also
    gives, with their split, those of other groups that a held-out row which is new or has left may concern.
    """
    index, threshold = open_index(context, builds), context.config.dataset.near_holdout
    own = digest_examples(e for e, _ in found)
    held = {e.example_id: own[e.example_id] for e, split in found if split != "train"}
    asked = {e.example_id: own[e.example_id] for e, split in found if split == "train"}
    was_held = among("group", touched) & (pc.field("split") != "train")
    left = set(versions.candidates(state.filter(was_held))["example_id"].to_pylist()) - held.keys()
    lost = index.digests(context.model, left, builds)
    standing = versions.candidates(state.filter(~among("group", touched)))

    met = _meet(context, index, builds, held | lost | asked, standing)
    others: dict[str, Digest] = {}
    events: dict[str, Membership] = {}
    for held_id in (*held, *lost):
        for example_id, (digest, event) in met[held_id].items():
            if event.split == "train" and (held_id in held or versions.is_near_holdout(event)):
                others[example_id], events[example_id] = digest, event
    met |= _meet(context, index, builds, others, standing)

    near = find_near(asked | others, held, threshold)
    for example_id, digest in (asked | others).items():
        older = [(i, known) for i, (known, event) in met[example_id].items() if event.split != "train"]
        best = nearest(digest, older, threshold)
        if best and (example_id not in near or best[::-1] > near[example_id][::-1]):
            near[example_id] = best
    turned = {i for i, event in events.items() if versions.is_near_holdout(event) != (i in near)}
    rows = read_examples(context, builds, turned)
    return near, [(replace(e, dated=events[e.example_id].dated), events[e.example_id].split) for e in rows]


def open_examples() -> Bands:
    """The index of examples' digests as it stands."""
    return Bands(state_folder() / "examples.db")


def open_index(context: Context, builds: Sequence[str]) -> Bands:
    """The index of all examples, with what it lacked of committed builds."""
    index = open_examples()
    known = index.builds(context.model)
    missing = context.store.read("examples", [build for build in builds if build not in known])
    for build in missing["build_id"].unique().to_pylist():
        digests = digest_examples(Example.from_table(missing.filter(pc.field("build_id") == build)))
        index.add(build, context.model, list(digests), list(digests.values()))
    return index


def _meet(
    context: Context, index: Bands, builds: Sequence[str], asked: Mapping[str, Digest], standing: pa.Table
) -> dict[str, dict[str, tuple[Digest, Membership]]]:
    """For each example that is asked for, the standing ones with which it has a band in common."""
    found = dict(zip(asked, index.candidates(context.model, list(asked.values()), builds), strict=True))
    ids = {other for others in found.values() for other, _ in others}
    events = versions.by_example(standing.filter(among("example_id", ids)))
    return {
        example_id: {other: (digest, events[other]) for other, digest in others if other in events}
        for example_id, others in found.items()
    }


def read_examples(context: Context, builds: Sequence[str], ids: Collection[str]) -> list[Example]:
    """The examples of these ids that are still there."""
    if not ids:
        return []
    rows = context.store.read("examples", builds).filter(among("example_id", ids))
    return Example.from_table(rows)
