"""A person's say on a candidate that passed its gates: what they are shown, and what they decided."""

from __future__ import annotations

from typing import Any

from sovereign_tasks.errors import UserError
from sovereign_tasks.stages.context import Context, open_context

_KIND = "approval"
APPROVED, REJECTED = "approved", "rejected"


def read_evidence(model: str, run: str) -> dict[str, Any]:
    """The candidate's version and MLflow run, whom it would take over from, and its gates as a Markdown table."""
    from sovereign_tasks.train.tracking import gate_table

    context = open_context(model, run)
    verdict = context.ledger.decisions(model, "gate", run)[0]
    moves = context.ledger.moves(model)
    champion = f"version {moves[0]['detail']['version']}" if moves else ""
    table = gate_table(context.ledger.gate_rows(model, run))
    return {**verdict["detail"], "champion": champion, "gates": table}


def record(model: str, run: str, outcome: str, reason: str, by: str) -> dict[str, Any]:
    """Keep what was decided, why and by whom; nobody (an empty `by`) where the time ran out."""
    context = open_context(model, run)
    version = context.ledger.decisions(model, "gate", run)[0]["detail"]["version"]
    said = reason.strip() or ("" if by else "nobody answered in time")
    context.ledger.decide(model, _KIND, run, outcome, said, version=version, by=by)
    return {"model": model, "version": version, "outcome": outcome}


def check_approved(context: Context) -> str:
    """By whom the candidate was approved, empty where the settings ask for nobody; a `UserError` if it was not."""
    if not context.config.approval.needed:
        return ""
    decided = context.ledger.decisions(context.model, _KIND, context.run)
    if not decided or decided[0]["outcome"] != APPROVED:
        what = f"was {decided[0]['outcome']}" if decided else "waits for its approval"
        raise UserError(f"{context.model}: run {context.run} {what}, so it can't be promoted.")
    judged = context.ledger.decisions(context.model, "gate", context.run)[0]["detail"]["version"]
    if (approved := decided[0]["detail"]["version"]) != judged:
        raise UserError(
            f"{context.model}: version {approved} of run {context.run} was approved, and it has made version {judged} "
            "since; let that be approved."
        )
    return decided[0]["detail"]["by"]
