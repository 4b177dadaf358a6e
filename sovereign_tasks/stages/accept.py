"""A night that its validation stopped, and a person's acceptance of it, which holds for that night alone."""

from __future__ import annotations

from typing import Any

from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.stages.context import Context
from sovereign_tasks.store import Store

STAGE = "validate"
_STOPPED, _ACCEPTED = "validation", "accept"  # kinds of decisions in the ledger


def hold(context: Context, failures: list[dict[str, Any]], data_docs: str) -> list[dict[str, Any]]:
    """Stop the night for what its batch fails in, or give what of it was accepted, with the reason and by whom.

    A failure has its `expectation`, the value `observed`, and what is `said` of it.
    """
    model, build_id, ledger = context.model, context.run, context.ledger
    accepted = {
        one["expectation"]: {"reason": decision["reason"], "by": decision["detail"]["by"]}
        for decision in ledger.decisions(model, _ACCEPTED, build_id)
        for one in decision["detail"]["failures"]
    }
    if any(one["expectation"] not in accepted for one in failures):
        said = " ".join(f"{one['said']}." for one in failures)
        ledger.decide(model, _STOPPED, build_id, "stopped", said, failures=failures)
        snapshots = ledger.snapshots(model)
        stands = f"snapshot {snapshots[-1].number} stands" if snapshots else "there is no snapshot yet"
        raise UserError(
            f"{model}: the night {build_id} was stopped before publishing, and {stands}. {said} Look at the sources "
            f'and run a new night, or, if this is right: python -m sovereign_tasks accept {build_id} --reason "…". '
            f"See {data_docs}."
        )
    return [one | accepted[one["expectation"]] for one in failures]


def accept(ledger: Ledger, build_id: str, reason: str, by: str) -> str:
    """Accept what stopped a night, with a reason, so that its validation lets it pass; the night's model.

    Raises UserError where there is nothing to accept, or nothing that could go on.
    """
    if not reason.strip():
        raise UserError("Accepting a night needs a reason; give one with --reason.")
    model = ledger.model_of(build_id)
    if model is None:
        raise UserError(f"There is no night {build_id}; the error of a stopped night, and `status MODEL`, name it.")
    if ledger.is_committed(model, build_id):
        raise UserError(f"The night {build_id} of {model} is published already; there is nothing to accept.")
    stopped = ledger.decisions(model, _STOPPED, build_id)
    if not stopped or STAGE not in ledger.failures(model, build_id):
        raise UserError(
            f"The night {build_id} of {model} was not stopped by its validation; there is nothing to accept."
        )
    if not _can_go_on(model, build_id):
        raise UserError(
            f"The night {build_id} of {model} can't go on, since a newer one began; accept that, or run one."
        )
    failures = stopped[0]["detail"]["failures"]
    ledger.decide(model, _ACCEPTED, build_id, "accepted", reason.strip(), by=by, failures=failures)
    return model


def stopped_night(ledger: Ledger, model: str) -> str:
    """What a person should know of the last night if validation stopped it and it can still go on; else empty."""
    for stopped in ledger.decisions(model, _STOPPED)[:1]:
        build_id = stopped["run"]
        if STAGE not in ledger.failures(model, build_id) or not _can_go_on(model, build_id):
            return ""
        for accepted in ledger.decisions(model, _ACCEPTED, build_id):
            if accepted["at"] > stopped["at"]:
                by = f"{accepted['detail']['by']} ({accepted['reason']})"
                return f"The night {build_id} was accepted by {by}, and is to go on from validate."
        return (
            f"The night {build_id} was stopped before publishing. {stopped['reason']} If this is right: "
            f'python -m sovereign_tasks accept {build_id} --reason "…".'
        )
    return ""


def _can_go_on(model: str, build_id: str) -> bool:
    """Whether what the night handed on is still there: a newer night begins by clearing it."""
    return bool(Store(model).staged_names(build_id, "events"))
