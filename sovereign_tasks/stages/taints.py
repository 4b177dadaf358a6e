"""Which trainings and bases learned from rows that were erased since."""

from __future__ import annotations

import shutil
from collections.abc import Collection

import pyarrow.compute as pc

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.records import Taint, TrainingRun
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.corpus import base_corpus
from sovereign_tasks.store import model_folder, newest_rows


def find_taints(context: Context, doc_ids: Collection[str], example_ids: Collection[str]) -> dict[str, int]:
    """How many of these rows each base (by its hash) and each training (by its MLflow run) learned from.

    A training on a base that learned from them did so too.
    """
    if not doc_ids and not example_ids:
        return {}
    model, ledger = context.model, context.ledger
    found: dict[str, int] = {}
    for base in ledger.bases(model):
        if base["snapshot"] is not None:
            corpus, _ = base_corpus(context, base["snapshot"], [])
            taught = {document["doc_id"] for document in corpus} & {*doc_ids}
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


def champion_taint(context: Context) -> Taint | None:
    """How the newest promoted version is tainted."""
    promoted = context.ledger.decisions(context.model, "promotion")
    runs = {training.run_id: training for _, training in context.ledger.trainings(context.model)}
    champion = runs.get(promoted[0]["detail"].get("run_id", "")) if promoted else None
    return taint_of(context, champion) if champion else None


def tell_taints(context: Context) -> None:
    """Tag in MLflow what it does not know of yet; while it is away that waits for the next night."""
    from sovereign_tasks.train.tracking import mark_tainted

    model, ledger = context.model, context.ledger
    untold = ledger.taints(model, untold=True)
    for _, training in ledger.trainings(model) if untold else ():
        if taint := untold.get(training.run_id):
            mark_tainted(model, training.run_id, taint.rows)
    for subject in untold:
        ledger.mark_told(model, subject)


def drop_tainted(context: Context, champion: TrainingRun) -> None:
    """Delete the weights that have learned from what was erased, but for those that the champion still needs."""
    from sovereign_tasks.train.tracking import delete_weights

    model, taints = context.model, context.ledger.taints(context.model)
    for _, training in context.ledger.trainings(model):
        if training.run_id != champion.run_id and {training.run_id, training.base_hash} & taints.keys():
            fetched = model_folder(model, "champions").glob(f"*-{training.adapter_hash[:16]}")
            for folder in (training.adapter, *fetched):
                shutil.rmtree(folder, ignore_errors=True)
            delete_weights(model, training.run_id)
    for base in context.ledger.bases(model):
        if base["base_hash"] in taints and base["base_hash"] != champion.base_hash:
            shutil.rmtree(base["path"], ignore_errors=True)


def taint_of(context: Context, training: TrainingRun) -> Taint | None:
    """How a training is tainted, also by what was erased while it ran."""
    taints = context.ledger.taints(context.model)
    if known := taints.get(training.run_id) or taints.get(training.base_hash):
        return known
    lost = learned_from(context, training.snapshot) & context.ledger.tombstones(context.model)
    return Taint(len(lost), on_request=False) if lost else None
