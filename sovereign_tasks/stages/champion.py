"""The champion as the loop uses it: its adapter on this machine, to compare with or to begin from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sovereign_tasks.config import config_hash
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.taints import known_taint
from sovereign_tasks.store import model_folder


def champion_training(context: Context) -> TrainingRun | None:
    """The training behind the champion, its adapter fetched from MLflow where it was trained elsewhere."""
    from sovereign_tasks import promote as promotion

    model, current = context.model, promotion.champion(context.model)
    if current is None:
        return None
    known = next((t for _, t in context.ledger.trainings(model) if t.run_id == current.run_id), None)
    if known is None:
        raise UserError(f"{model}: version {current.version} is the champion, but the ledger has no training of it.")
    if Path(known.adapter).exists():
        return known
    return replace(
        known, adapter=str(promotion.fetch_adapter(current, model_folder(model, "champions"), known.adapter_hash))
    )


def champion_to_start_from(context: Context, base_hash: str) -> tuple[TrainingRun | None, str]:
    """The champion where a training may begin with its adapter; else None, and why."""
    champion = champion_training(context)
    if champion is None:
        return None, "there is no champion yet"
    if known_taint(context, champion):
        return None, "the champion has learned from what was erased since"
    if champion.base_hash != base_hash:
        return None, "the champion has another base"
    if champion.config_hash != config_hash(context.config.training):
        return None, "the champion was trained with other settings"
    return champion, ""
