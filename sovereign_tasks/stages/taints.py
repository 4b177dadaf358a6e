"""Which trainings and bases learned from rows that were erased since."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.records import Taint, TrainingRun
from sovereign_tasks.stages.base import what_changed
from sovereign_tasks.stages.context import Context, among
from sovereign_tasks.stages.corpus import base_corpus
from sovereign_tasks.stages.tombstones import ON_REQUEST
from sovereign_tasks.stages.weights import drop_weights
from sovereign_tasks.store import newest_rows

_LONGEST = 6 * 3600.0  # seconds of a training that has not reported its own


def find_taints(context: Context, doc_ids: Collection[str], example_ids: Collection[str]) -> dict[str, int]:
    """How many of these rows each base (by its hash) and each training (by its MLflow run) learned from.

    A training on a base that learned from them did so too, and so did one that began with the adapter of such a one.
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
    builds = ledger.builds(model)
    events = context.store.read("membership", builds, ["example_id", "change", "split"])
    events = events.filter(among("example_id", example_ids))
    for _, training in reversed(ledger.trainings(model)):
        until = len(ledger.builds(model, until_snapshot=training.snapshot))
        learned = _train_rows(events.filter(pc.field("sequence") < until)).num_rows + found.get(training.base_hash, 0)
        if count := max(learned, found.get(training.started_from, 0)):
            found[training.run_id] = count
    return found


def learned_from(context: Context, snapshot: int) -> set[str]:
    """The ids of a snapshot's training rows."""
    builds = context.ledger.builds(context.model, until_snapshot=snapshot)
    events = context.store.read("membership", builds, ["example_id", "change", "split"])
    return set(_train_rows(events)["example_id"].to_pylist())


def _train_rows(events: pa.Table) -> pa.Table:
    return versions.members(newest_rows(events, "example_id")).filter(pc.field("split") == "train")


def champion_training(context: Context) -> TrainingRun | None:
    """The training of the version that the last move made champion; None before the first."""
    moves = context.ledger.moves(context.model)
    runs = {training.run_id: training for _, training in context.ledger.trainings(context.model)}
    return runs.get(moves[0]["detail"]["run_id"]) if moves else None


def champion_taint(context: Context) -> Taint | None:
    """How the champion is tainted."""
    champion = champion_training(context)
    return known_taint(context, champion) if champion else None


def tell_taints(context: Context) -> list[str]:
    """Tag in MLflow what it does not know of yet, by its runs; while it is away that waits for the next night."""
    from sovereign_tasks.train.tracking import mark_tainted

    model, ledger = context.model, context.ledger
    untold = ledger.taints(model, untold=True)
    trainings = [t.run_id for _, t in ledger.trainings(model) if t.run_id in untold] if untold else []
    for run_id in trainings:
        mark_tainted(model, run_id, untold[run_id].rows)
    for subject in untold:
        ledger.mark_told(model, subject)
    return trainings


def drop_tainted(context: Context) -> None:
    """Delete the weights that have learned from what was erased, unless the champion has, which may yet answer."""
    model, taints = context.model, context.ledger.taints(context.model)
    champion = champion_training(context)
    if champion is None or known_taint(context, champion):
        return
    for _, training in context.ledger.trainings(model):
        if training.run_id != champion.run_id and {training.run_id, training.base_hash} & taints.keys():
            drop_weights(training)
    for base in context.ledger.bases(model):
        if base["base_hash"] in taints and base["base_hash"] != champion.base_hash:
            shutil.rmtree(base["path"], ignore_errors=True)


def known_taint(context: Context, training: TrainingRun) -> Taint | None:
    """How a training is tainted, as the ledger has it: itself, by its base, or by what it started from."""
    taints = context.ledger.taints(context.model)
    lineage = (training, *context.ledger.ancestors(training))
    return next((t for made in lineage if (t := taints.get(made.run_id) or taints.get(made.base_hash))), None)


def taint_of(context: Context, training: TrainingRun) -> Taint | None:
    """How a training is tainted, also by what was erased while it ran."""
    if known := known_taint(context, training):
        return known
    ledger, model = context.ledger, context.model
    ended = next((at for at, other in ledger.trainings(model) if other.run_id == training.run_id), datetime.now(UTC))
    reports = {report.stage: report for report in ledger.reports(model, context.run)}
    began = ended - timedelta(seconds=reports["train"].seconds if "train" in reports else _LONGEST)
    learned = learned_from(context, training.snapshot)
    lost = learned & ledger.tombstones(model, since=began)
    return Taint(len(lost), bool(lost & ledger.tombstones(model, ON_REQUEST, since=began))) if lost else None


def clean_snapshots(context: Context) -> set[int]:
    """The snapshots that need no training: one ended since the last erasure that learned nothing of what was erased.

    It was on the base and by the settings that the next one would use.
    """
    erasures = context.ledger.decisions(context.model, "erasure")
    since = erasures[0]["at"] if erasures else datetime.min.replace(tzinfo=UTC)
    if (moves := context.ledger.moves(context.model)) and not moves[0]["detail"]["snapshot"]:
        since = max(since, moves[0]["at"])  # the base itself has taken over, and what was refused before is no answer
    trainings = context.ledger.trainings(context.model)
    clean = [t for at, t in trainings if at > since and not known_taint(context, t)]
    return {t.snapshot for t in clean if not what_changed(context, t)}


def note_taint(context: Context, training: TrainingRun) -> Taint | None:
    """As `taint_of`, and kept: an erasure knows only of the trainings that had ended."""
    if (taint := taint_of(context, training)) and training.run_id not in context.ledger.taints(context.model):
        context.ledger.taint(context.model, training.run_id, taint)
    return taint
