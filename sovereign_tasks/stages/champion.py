"""The champion as the loop uses it: its adapter on this machine, to compare with or to begin from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sovereign_tasks.config import config_hash
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.moves import own_move
from sovereign_tasks.stages.taints import known_taint
from sovereign_tasks.store import model_folder

_TAINTED = "the champion has learned from what was erased since"


def champion_of(context: Context) -> TrainingRun | None:
    """The training behind the champion that the run is compared with, its adapter fetched where it was made elsewhere.

    That is the one that stands, and once the run has moved it the one that stood before: a try after that meets the
    same.
    """
    champion = noted_champion(context, anew=own_move(context) is None)
    return champion and at_hand(context, champion)


def at_hand(context: Context, training: TrainingRun) -> TrainingRun:
    """The training with a place on this machine where its adapter is."""
    from sovereign_tasks import promote as promotion

    if Path(training.adapter).exists():
        return training
    version = promotion.version_of(context.model, training.run_id)
    folder = promotion.fetch_adapter(version, model_folder(context.model, "champions"), training.adapter_hash)
    return replace(training, adapter=str(folder))


def start_of(context: Context, base_hash: str) -> tuple[TrainingRun | None, str]:
    """The champion where the run may begin with its adapter; else None, and why."""
    champion = noted_champion(context)
    if refused := _refusal(context, champion, base_hash):
        return None, refused
    return at_hand(context, champion), ""


def noted_champion(context: Context, *, anew: bool = False) -> TrainingRun | None:
    """The champion when the run last noted it: by MLflow's alias or, while that is away, the ledger's last move."""
    from sovereign_tasks import promote as promotion

    model, ledger = context.model, context.ledger
    noted = [] if anew else ledger.decisions(model, "champion", context.run)
    if noted:
        run_id = noted[0]["detail"]["run_id"]
    else:
        try:
            current = promotion.champion(model)
            run_id = current.run_id if current else ""
        except TransientError:
            moves = ledger.moves(model)
            run_id = moves[0]["detail"]["run_id"] if moves else ""
    known = next((t for _, t in ledger.trainings(model) if t.run_id == run_id), None)
    if run_id and known is None:
        raise UserError(f"{model}: the champion is of the MLflow run {run_id}, but the ledger has no training of it.")
    if not noted:
        ledger.decide(model, "champion", context.run, "noted", "", run_id=run_id)
    return known


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
