"""The versions of a dataset: what each holds, what changed between two, and whether all is as it was published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.dataset.diff import BY, COLUMNS, Change, Diff, compare, compare_words
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example, Snapshot
from sovereign_tasks.stages.context import Context, among
from sovereign_tasks.stages.sealing import MEND, check_files
from sovereign_tasks.store import SCHEMAS, newest_rows

__all__ = ["BY", "Change", "compare_words", "diff", "list_snapshots", "load_splits", "read_texts", "verify"]


@dataclass(frozen=True)
class Listed:
    """A snapshot, how many rows joined and left since its parent, and the runs (in MLflow) that learned from it."""

    snapshot: Snapshot
    joined: int
    left: int
    runs: list[str]


def list_snapshots(context: Context) -> list[Listed]:
    """All snapshots, the newest first."""
    model, ledger = context.model, context.ledger
    events = context.store.read("membership", ledger.builds(model), ["change", "reason"])
    moves = events.filter((pc.field("change") != 0) & (pc.field("reason") != versions.RENEWED))
    counted = moves.group_by(["build_id", "change"]).aggregate([([], "count_all")]).to_pylist()
    moved = {(row["build_id"], row["change"]): row["count_all"] for row in counted}
    trainings = ledger.trainings(model)
    return [
        Listed(
            s,
            moved.get((s.build_id, 1), 0),
            moved.get((s.build_id, -1), 0),
            [t.run_id for _, t in trainings if t.snapshot == s.number],
        )
        for s in reversed(ledger.snapshots(model))
    ]


def read_state(context: Context, snapshot: Snapshot, columns: list[str]) -> pa.Table:
    """The last event of every example as of a snapshot."""
    builds = context.ledger.builds(context.model, until_snapshot=snapshot.number)
    return newest_rows(context.store.read("membership", builds, columns), "example_id")


def diff(context: Context, before: int, after: int) -> Diff:
    """What changed from one snapshot to another, by their numbers."""
    old, new = (context.ledger.snapshot(context.model, number) for number in (before, after))
    return compare(read_state(context, old, COLUMNS), read_state(context, new, COLUMNS))


def read_texts(context: Context, example_ids: Collection[str]) -> dict[str, Example]:
    """These examples with their words, of those that are still kept."""
    parts = context.store.scan("examples", context.ledger.builds(context.model), Example.schema.names)
    wanted = among("example_id", example_ids)
    return {e.example_id: e for part in parts for e in Example.from_table(part.filter(wanted))}


def newest_labels(context: Context) -> dict[str, str]:
    """Every example's label by its id, as the newest rules gave it: a label is no part of a snapshot."""
    builds = context.ledger.builds(context.model)
    events = newest_rows(context.store.read("membership", builds, ["example_id", "label"]), "example_id")
    return dict(zip(events["example_id"].to_pylist(), events["label"].to_pylist(), strict=True))


def load_splits(context: Context, snapshot: Snapshot) -> dict[str, list[Example]]:
    """The snapshot's examples by split, after holding files and rows against what was published.

    Raises UserError where one of them is not as it was.
    """
    check_files(context, ("examples", "membership"))
    state = read_state(context, snapshot, ["example_id", "change", "split", "digest"])
    rows = versions.members(state)
    split_of = dict(zip(rows["example_id"].to_pylist(), rows["split"].to_pylist(), strict=True))
    found = read_texts(context, split_of)
    check_rows(context, snapshot, state, {i: [versions.row_digest(e, split_of[i])] for i, e in found.items()})
    splits: dict[str, list[Example]] = {"train": [], "holdout": [], "sealed": []}
    for example_id, example in sorted(found.items()):
        splits[split_of[example_id]].append(example)
    return splits


def verify(context: Context, progress: Callable[[str], None]) -> None:
    """Hold every file, every snapshot, and the weights that are kept against what was written; say what holds.

    Raises UserError for the first that does not.
    """
    model, ledger = context.model, context.ledger
    progress(f"{check_files(context, SCHEMAS):,} files of the tables are as they were written")
    snapshots = ledger.snapshots(model)  # before their rows: a night may add to both
    digests = _digest_all(context)
    for snapshot in snapshots:
        state = read_state(context, snapshot, ["example_id", "change", "digest"])
        check_rows(context, snapshot, state, digests)
        progress(f"snapshot {snapshot.number}: {sum(snapshot.counts.values()):,} rows, {snapshot.content_hash[:12]}")
    for what, path, found, noted in _weights(context):
        if found != noted:
            raise UserError(f"{model}: the {what} in {path} is not what was made; {MEND}, or train again.")
        progress(f"{what} {noted.removeprefix('sha256:')[:12]}")


def check_rows(context: Context, snapshot: Snapshot, state: pa.Table, digests: Mapping[str, Collection[str]]) -> None:
    """Hold a snapshot's list of rows and the rows themselves, by their digests, against what was published."""
    faults = versions.find_faults(state, digests, context.ledger.tombstones(context.model))
    if versions.content_hash(state) != snapshot.content_hash:
        faults.insert(0, "the list of rows is not what was published")
    if faults:
        more = f", and {len(faults) - 1} more such faults" if len(faults) > 1 else ""
        raise UserError(
            f"{context.model} snapshot {snapshot.number}: {faults[0]}{more}; {MEND}, or publish a new snapshot."
        )


def _digest_all(context: Context) -> dict[str, list[str]]:
    """The digests of every example that is there, one for each split that it ever had."""
    builds = context.ledger.builds(context.model)
    events = context.store.read("membership", builds, ["example_id", "split"])
    pairs = events.group_by(["example_id", "split"]).aggregate([])
    splits: defaultdict[str, list[str]] = defaultdict(list)
    for example_id, split in zip(pairs["example_id"].to_pylist(), pairs["split"].to_pylist(), strict=True):
        splits[example_id].append(split)
    parts = context.store.scan("examples", builds, Example.schema.names)
    found = (example for part in parts for example in Example.from_table(part))
    return {e.example_id: [versions.row_digest(e, split) for split in splits[e.example_id]] for e in found}


def _weights(context: Context) -> Iterator[tuple[str, Path, str, str]]:
    """Adapters and bases that are still here: what each is, where, its hash and the one that was noted."""
    from sovereign_tasks.causal_lm import base_name, hash_folder

    for _, training in context.ledger.trainings(context.model):
        if (path := Path(training.adapter)).exists():
            yield f"adapter of snapshot {training.snapshot}", path, hash_folder(path), training.adapter_hash
    for base in context.ledger.bases(context.model):
        if (path := Path(base["path"])).exists():
            yield "base", path, base_name(path), base["base_hash"]
