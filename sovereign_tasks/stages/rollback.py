"""Back to an earlier champion, by a person or by the loop itself, with a reason that is kept."""

from __future__ import annotations

from typing import Any

from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import ROLLED_BACK
from sovereign_tasks.lineage_events import dataset, told
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages.context import Context, open_context, run_key, timed
from sovereign_tasks.stages.moves import (
    check_weights,
    finish_begun,
    lease_name,
    left_behind,
    line_of_champions,
    move,
    own_move,
)
from sovereign_tasks.stages.story import describe
from sovereign_tasks.stages.taints import drop_tainted, known_taint

LOOP = "the loop itself"
"""By whom a rollback is that nobody asked for."""


def roll_back(
    model: str, run_id: str, version: str, reason: str, by: str, *, judged: str | None = None
) -> dict[str, Any]:
    """Make an earlier champion the champion again, or the previous one where `version` is empty.

    `judged` is the champion that the reason is of. Raises UserError where that is champion no more, and where there is
    no going back to the version. The same run does it once.
    """
    context = open_context(model, run_key("rollback", model, run_id))
    with timed(context, "rollback"), told(model, "rollback", context.run, []) as outputs:
        if not reason.strip():
            raise UserError("A rollback needs a reason; give one, which is kept with it.")
        with context.ledger.lease(lease_name(model), context.run):
            finish_begun(context)
            if (made := own_move(context)) is None:
                _check_judged(context, judged)
                _go_back(context, version.strip(), reason.strip(), by)
                made = context.ledger.moves(model)[0]
        drop_tainted(context)
        describe(context)
        detail = made["detail"]
        outputs.append(dataset(model, "champion", version=detail["version"]))
    return {"model": model, "version": detail["version"], "took_over_from": detail["took_over_from"]}


def _check_judged(context: Context, judged: str | None) -> None:
    from sovereign_tasks import promote as promotion

    now = promotion.champion(context.model)
    if judged and (now is None or now.version != judged):
        raise UserError(f"{context.model}: version {judged} is champion no more, so nothing takes its place.")


def _go_back(context: Context, version: str, reason: str, by: str) -> None:
    from sovereign_tasks import promote as promotion

    model = context.model
    now = promotion.champion(model)
    if now is None:
        raise UserError(f"{model}: there is no champion to roll back from; promote a version first.")
    line = line_of_champions(context.ledger, model)
    if not version:
        before = promotion.previous(model)
        if before is None and len(line) < 2:
            raise UserError(f"{model}: there is no champion before version {now.version} to go back to.")
        version = before.version if before else line[-2]
    training = check_target(context, version, now.version)
    earlier = left_behind(line[: line.index(version)] if version in line else line, now.version, version)
    there = (v for v in reversed(earlier) if v != version and promotion.find_version(model, v))
    move(
        context,
        ROLLED_BACK,
        reason,
        training,
        version,
        took_over_from=now.version,
        previous=next(there, None),
        by=by,
    )


def check_target(context: Context, version: str, now: str) -> TrainingRun:
    """The training of a version that may be champion again; a `UserError` where it may not."""
    from sovereign_tasks import promote as promotion

    model, ledger = context.model, context.ledger
    if version == now:
        raise UserError(f"{model}: version {version} is the champion; name an earlier one.")
    champions = {made["detail"]["version"]: made["detail"]["run_id"] for made in ledger.moves(model)}
    found = promotion.find_version(model, version) if version.isdecimal() else None
    others = ", ".join(sorted(champions.keys() - {now}, key=int)) or "none"
    if found is None:
        raise UserError(f"{model}: MLflow has no version {version}; versions that were champion before: {others}.")
    training = next((t for _, t in ledger.trainings(model) if t.run_id == champions.get(version)), None)
    if training is None:
        raise UserError(
            f"{model}: version {version} never was champion, and a rollback does not promote; versions that were "
            f"before: {others}."
        )
    if taint := known_taint(context, training):
        raise UserError(
            f"{model}: version {version} has learned from {taint.rows} rows that were erased since, so there is no "
            "going back to it; train again."
        )
    check_weights(found)
    return training
