"""Which trainings and bases learned from rows that were erased since."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow.compute as pc

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.ledger.taints import Taint
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages.context import Context, among
from sovereign_tasks.store import newest_rows


def find_taints(context: Context, doc_ids: Collection[str], example_ids: Collection[str]) -> dict[str, int]:
    """How many of these rows each base (by its hash) and each training (by its MLflow run) learned from.

    A training on a base that learned from them did so too.
    """
    if not doc_ids and not example_ids:
        return {}
    model, ledger = context.model, context.ledger
    splits = ledger.splits(model)
    found: dict[str, int] = {}
    for base in ledger.bases(model):
        if base["snapshot"] is not None:
            builds = ledger.builds(model, until_snapshot=base["snapshot"])
            rows = context.store.read("documents", builds, ["doc_id", "group"]).filter(among("doc_id", doc_ids))
            taught = {
                doc_id
                for doc_id, group in zip(rows["doc_id"].to_pylist(), rows["group"].to_pylist(), strict=True)
                if splits.get(group) == "train"
            }
            found |= {base["base_hash"]: len(taught)} if taught else {}
    for _, training in ledger.trainings(model):
        learned = len(learned_from(context, training.snapshot) & {*example_ids})
        if count := learned + found.get(training.base_hash, 0):
            found[training.run_id] = count
    return found


def learned_from(context: Context, snapshot: int) -> set[str]:
    """The ids of a snapshot's training rows."""
    builds = context.ledger.builds(context.model, until_snapshot=snapshot)
    events = context.store.read("membership", builds, ["example_id", "change", "split"])
    members = versions.members(newest_rows(events, "example_id"))
    return set(members.filter(pc.field("split") == "train")["example_id"].to_pylist())


def taint_of(context: Context, training: TrainingRun) -> Taint | None:
    """How a training is tainted, also by what was erased while it ran."""
    taints = context.ledger.taints(context.model)
    if known := taints.get(training.run_id) or taints.get(training.base_hash):
        return known
    lost = learned_from(context, training.snapshot) & context.ledger.tombstones(context.model)
    return Taint(len(lost), on_request=False) if lost else None
