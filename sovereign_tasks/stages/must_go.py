"""A champion that has learned from what was erased: how long it may stay, and what answers in its place then."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sovereign_tasks import __version__
from sovereign_tasks.config import ModelConfig
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import ROLLED_BACK, Ledger
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages.base import prepare_base
from sovereign_tasks.stages.context import Context, run_key
from sovereign_tasks.stages.moves import finish_begun, lease_name, line_of_champions, move
from sovereign_tasks.stages.rollback import LOOP, check_target, roll_back
from sovereign_tasks.stages.story import describe
from sovereign_tasks.stages.taints import champion_taint, drop_tainted
from sovereign_tasks.store import model_folder

_KIND = "must_go"
_NO_SNAPSHOT = 0  # of a version that is the base itself


def note_must_go(context: Context) -> None:
    """Keep since when the champion has to go, where it does."""
    from sovereign_tasks.train.due import is_due

    taint, ledger, model = champion_taint(context), context.ledger, context.model
    if taint is None or not is_due(taint, context.config.retrain):
        return
    run_id = ledger.moves(model)[0]["detail"]["run_id"]
    if not ledger.decisions(model, _KIND, run_id):
        ledger.decide(model, _KIND, run_id, "waits", f"has learned from {taint.rows} rows that were erased since")


def read_must_go(ledger: Ledger, config: ModelConfig) -> str:
    """What the owner should know of a champion that has to go; else empty."""
    if (noted := _noted(ledger, config.model)) is None:
        return ""
    version = ledger.moves(config.model)[0]["detail"]["version"]
    return (
        f"Version {version} {noted['reason']}, and has to go. A candidate that is not much worse takes its place; if "
        f"none does by {_deadline(noted, config):%Y-%m-%d}, the newest earlier champion that has learned from none of "
        "it does, or else the base."
    )


def give_way(context: Context) -> str:
    """Where nothing has taken over in time, put what has learned from none of it in the champion's place.

    What was done, in a sentence; empty where there was nothing to do.
    """
    from sovereign_tasks import promote as promotion

    note_must_go(context)
    ledger, model = context.ledger, context.model
    noted = _noted(ledger, model)
    if noted is None or datetime.now(UTC) < _deadline(noted, context.config):
        return ""
    now, alias = ledger.moves(model)[0]["detail"]["version"], promotion.champion(model)
    if alias is None or alias.version != now:
        return f"version {now} has to go, and somebody moved its alias in MLflow, which is left as it is"
    reason = f"version {now} {noted['reason']}, and nothing took over in {context.config.erasure.deadline_days} days"
    run_id = f"must go {noted['run']}"
    clean = next((v for v in reversed(line_of_champions(ledger, model)) if _may_return(context, v, now)), None)
    if clean:
        roll_back(model, run_id, clean, reason, LOOP, judged=now)
    else:
        _to_base(replace(context, run=run_key("rollback", model, run_id)), reason, now)
    return f"{reason}: version {ledger.moves(model)[0]['detail']['version']} is champion"


def _may_return(context: Context, version: str, now: str) -> bool:
    with suppress(UserError):
        check_target(context, version, now)
        return True
    return False


def _noted(ledger: Ledger, model: str) -> dict[str, Any] | None:
    moves = ledger.moves(model)
    return next(iter(ledger.decisions(model, _KIND, moves[0]["detail"]["run_id"])), None) if moves else None


def _deadline(noted: dict[str, Any], config: ModelConfig) -> datetime:
    return noted["at"] + timedelta(days=config.erasure.deadline_days)


def _to_base(context: Context, reason: str, now: str) -> None:
    """Register the base, with an adapter that changes nothing, and make it champion."""
    from sovereign_tasks.causal_lm import base_name
    from sovereign_tasks.train import tracking
    from sovereign_tasks.train.untrained import write_untrained

    ledger, model, run, training = context.ledger, context.model, context.run, context.config.training
    base = Path(prepare_base(model, run, ledger.snapshots(model)[-1].number)["base"])
    base_hash, adapter = base_name(base), model_folder(model, "runs", run) / "adapter"
    tags = {"config_hash": "none", "code_version": __version__, "base_hash": base_hash, "reason": reason}
    digest = {"snapshot": _NO_SNAPSHOT, "snapshot_hash": "none"}
    run_id = tracking.start_run(model, run, **digest, counts={}, params={}, tags=tags, trial=("", "the base itself"))
    adapter_hash = write_untrained(base, adapter, training)
    made = TrainingRun(
        model, run_id, _NO_SNAPSHOT, str(base), base_hash, "none", training.seed, str(adapter), adapter_hash, {}
    )
    ledger.record_training(run, made)
    told = {"adapter_hash": adapter_hash, "base_hash": base_hash, "trained_on": "nothing: the base itself"}
    version = tracking.register(run_id, model, adapter, metrics={}, tags=told)
    tracking.end_run(run_id)
    with ledger.lease(lease_name(model), run):
        finish_begun(context)
        if ledger.moves(model)[0]["detail"]["version"] != now:
            raise UserError(f"{model}: version {now} is champion no more, so nothing takes its place.")
        move(context, ROLLED_BACK, reason, made, version, took_over_from=now, previous=None, by=LOOP)
    drop_tainted(context)
    describe(context)
