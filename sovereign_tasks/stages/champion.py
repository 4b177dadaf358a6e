"""The champion as the loop uses it: its adapter on this machine, to compare with or to begin from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_tasks.config import config_hash
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.taints import known_taint
from sovereign_tasks.store import model_folder

if TYPE_CHECKING:
    from sovereign_tasks.promote import Version

_TAINTED = "the champion has learned from what was erased since"


def champion_training(context: Context) -> TrainingRun | None:
    """The training behind the champion, its adapter fetched from MLflow where it was trained elsewhere."""
    from sovereign_tasks import promote as promotion

    model, current = context.model, promotion.champion(context.model)
    if current is None:
        return None
    known = next((t for _, t in context.ledger.trainings(model) if t.run_id == current.run_id), None)
    if known is None:
        raise UserError(f"{model}: version {current.version} is the champion, but the ledger has no training of it.")
    return _at_hand(context, known, current)


def _at_hand(context: Context, training: TrainingRun, version: Version | None = None) -> TrainingRun:
    """The training with a place on this machine where its adapter is."""
    from sovereign_tasks import promote as promotion

    if Path(training.adapter).exists():
        return training
    version = version or promotion.version_of(context.model, training.run_id)
    folder = promotion.fetch_adapter(version, model_folder(context.model, "champions"), training.adapter_hash)
    return replace(training, adapter=str(folder))


def start_of(context: Context, base_hash: str) -> tuple[TrainingRun | None, str]:
    """The champion where the run may begin with its adapter; else None, and why.

    It is decided once in a run, so that a try after a promotion or a rollback begins as the one before; only what was
    tainted meanwhile is no start any more.
    """
    model, ledger = context.model, context.ledger
    decided = next(iter(ledger.decisions(model, "start", context.run)), None)
    if decided is None:
        champion = _champion_now(context)
        refused = _refusal(context, champion, base_hash)
        outcome = "fresh" if refused else "champion"
        ledger.decide(model, "start", context.run, outcome, refused, run_id=champion.run_id if champion else "")
    else:
        wanted, refused = decided["detail"]["run_id"], decided["reason"]
        champion = next((t for _, t in ledger.trainings(model) if t.run_id == wanted), None)
    if champion is None or refused:
        return None, refused
    if known_taint(context, champion):
        return None, _TAINTED
    return _at_hand(context, champion), ""


def _champion_now(context: Context) -> TrainingRun | None:
    """The champion by MLflow's alias or, while that is away, the version that was promoted last."""
    from sovereign_tasks import promote as promotion

    trainings = {t.run_id: t for _, t in context.ledger.trainings(context.model)}
    try:
        current = promotion.champion(context.model)
        run_id = current.run_id if current else ""
    except TransientError:
        promoted = context.ledger.decisions(context.model, "promotion")
        run_id = promoted[0]["detail"]["run_id"] if promoted else ""
    return trainings.get(run_id)


def _refusal(context: Context, champion: TrainingRun | None, base_hash: str) -> str:
    if champion is None:
        return "there is no champion yet"
    if known_taint(context, champion):
        return _TAINTED
    if champion.base_hash != base_hash:
        return "the champion has another base"
    if champion.config_hash != config_hash(context.config.training):
        return "the champion was trained with other settings"
    return ""
