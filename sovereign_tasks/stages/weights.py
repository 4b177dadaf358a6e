"""Whose weights are kept: the champion's, those of the champion before it, and the newest few versions'.

Figures are kept for ever.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from sovereign_tasks.errors import TransientError
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.moves import lease_name, line_of_champions
from sovereign_tasks.store import model_folder

NEWEST = 5
WAITING_SECONDS = 14 * 86_400.0
"""For which a whole adapter that no training on record has may yet be asked for."""


def drop_old_weights(context: Context) -> None:
    """Delete all other versions' adapters, here and in MLflow, and what killed trainings left.

    A training that has no version keeps its adapter while it is newer than the oldest version that does so for its age.
    While the champion moves, or MLflow is away, they wait for the next time.
    """
    with suppress(TransientError), context.ledger.lease(lease_name(context.model), context.run):
        _drop_old_weights(context)


def _drop_old_weights(context: Context) -> None:
    from sovereign_tasks import promote as promotion
    from sovereign_tasks.train.tracking import runs_with_weights

    model, ledger = context.model, context.ledger
    kept = {version.run_id for version in (promotion.champion(model), promotion.previous(model)) if version}
    line = line_of_champions(ledger, model)[-2:]  # as MLflow has no alias of the one before where nothing moved since
    kept |= {made["detail"]["run_id"] for made in ledger.moves(model) if made["detail"]["version"] in line}
    judged = {decision["detail"]["run_id"] for decision in ledger.decisions(model, "gate")}
    stored, newer = runs_with_weights(model), 0
    for _, training in ledger.trainings(model):  # newest first
        if newer < NEWEST:
            newer += training.run_id in judged
        elif training.run_id not in kept and (training.run_id in stored or any(p.exists() for p in _copies(training))):
            drop_weights(training)
    for folder in unfinished_trainings(context):
        # A whole adapter may wait for MLflow, or for the others of its search.
        if folder.name.startswith(".") or time.time() - folder.stat().st_mtime > WAITING_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def drop_weights(training: TrainingRun) -> None:
    """Delete a training's adapter for good, here and in MLflow."""
    from sovereign_tasks.train.tracking import delete_weights

    for folder in _copies(training):
        shutil.rmtree(folder, ignore_errors=True)
    delete_weights(training.model, training.run_id)


def unfinished_trainings(context: Context) -> list[Path]:
    """What there is of weights that no training on record has, but for those of one that runs: it removes its own."""
    lease = f"train/{context.model}"
    held = context.ledger.held(lease)
    if lease in held:
        return []
    known = {Path(training.adapter) for _, training in context.ledger.trainings(context.model)}
    runs = model_folder(context.model, "runs")
    found = (path for run in ("*", "*/trials/*") for name in (".*", "adapter") for path in runs.glob(f"{run}/{name}"))
    return [path for path in found if path not in known and f"{lease}/{path.parent.name}" not in held]


def _copies(training: TrainingRun) -> list[Path]:
    """Where an adapter lies on this machine, or lay: as it was made, and as it was fetched."""
    fetched = model_folder(training.model, "champions").glob(f"*-{training.adapter_hash[:16]}")
    return [Path(training.adapter), *fetched]
