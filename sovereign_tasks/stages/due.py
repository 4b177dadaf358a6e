"""Whether enough is new for another training, or something was erased that the champion has learned from."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.stages.base import what_changed
from sovereign_tasks.stages.context import Context, keep_failure, open_context
from sovereign_tasks.stages.must_go import note_must_go
from sovereign_tasks.stages.story import describe
from sovereign_tasks.stages.taints import champion_taint, clean_snapshots, learned_from, tell_taints


def check_due(night: dict[str, Any]) -> dict[str, Any]:
    """Decide from the ledger whether enough is new since the last training, and record why."""
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    with keep_failure(context, "retrain_due"):
        with suppress(TransientError, UserError):  # the night is published, whatever MLflow is at
            describe(context, tell_taints(context))
        return _decide(context)


def _decide(context: Context) -> dict[str, Any]:
    from sovereign_tasks.train.due import decide

    model, build_id = context.model, context.run
    snapshots = context.ledger.snapshots(model)
    trainings = [(at, made) for at, made in context.ledger.trainings(model) if made.snapshot]  # the base itself is none
    if not snapshots:
        context.ledger.decide(model, "retrain", build_id, "not_due", "no snapshot has been published yet")
        return {"due": False, "reason": "no snapshot has been published yet", "snapshot": None}
    newest, held_out = snapshots[-1].number, snapshots[-1].counts.get("holdout", 0)
    current = learned_from(context, newest)
    learned = learned_from(context, trainings[0][1].snapshot) if trainings else set()
    last, now = trainings[0][0] if trainings else None, datetime.now(UTC)
    note_must_go(context)
    taint = None if newest in clean_snapshots(context) else champion_taint(context)
    changed = what_changed(context, trainings[0][1]) if trainings else ""
    if (moves := context.ledger.moves(model)) and not moves[0]["detail"]["snapshot"] and last and last < moves[0]["at"]:
        changed = "the base itself has taken over"
    due = decide(current, learned, last, now, context.config.retrain, held_out=held_out, taint=taint, changed=changed)
    context.ledger.decide(
        model,
        "retrain",
        build_id,
        "due" if due.due else "not_due",
        due.reason,
        snapshot=newest,
        new_examples=due.new_examples,
        needed=context.config.retrain.min_new_examples,
    )
    return {"due": due.due, "reason": due.reason, "snapshot": newest}
