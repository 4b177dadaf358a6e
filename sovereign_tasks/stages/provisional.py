"""A first champion while there is too little held out to prove it: a person takes the word for the proof."""

from __future__ import annotations

from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.records import failed
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.moves import make_champion
from sovereign_tasks.stages.story import describe
from sovereign_tasks.stages.taints import taint_of


def awaits_word(ledger: Ledger, model: str) -> str:
    """The newest version that nothing but too little evidence keeps from being the first champion; else empty."""
    verdicts = ledger.decisions(model, "gate")
    if not verdicts or ledger.moves(model) or verdicts[0]["outcome"] == "passed":
        return ""
    refusing = failed(ledger.gate_rows(model, verdicts[0]["run"]))
    return verdicts[0]["detail"]["version"] if all(row.undecided for row in refusing) else ""


def promote_provisionally(model: str, version: str, reason: str, by: str) -> str:
    """Make a version the first champion on a person's word, with a reason; its number.

    Raises UserError where there is a champion, or where more than evidence is wanting.
    """
    from sovereign_tasks import promote as promotion

    context = _of_version(model, version)
    if not reason.strip():
        raise UserError("A provisional champion needs a reason; give one, which is kept with it.")
    moves = [made for made in context.ledger.moves(model) if made["run"] != context.run]
    now = promotion.champion(model)
    if moves or (now and now.version != version):
        standing = now.version if now else moves[0]["detail"]["version"]
        raise UserError(
            f"{model}: version {standing} is or was champion, and over a champion only the gates promote; "
            "`rollback` goes back to an earlier one."
        )
    if context.ledger.decisions(model, "gate", context.run)[0]["outcome"] == "passed":
        how = "; approve it in Airflow" if context.config.approval.needed else ""
        raise UserError(f"{model}: version {version} passed its gates, and needs no word in place of proof{how}.")
    if more := [row for row in failed(context.ledger.gate_rows(model, context.run)) if not row.undecided]:
        raise UserError(f"{model}: version {version} was refused by {more[0].gate}, {more[0].reason}; train again.")
    made = context.ledger.training(model, context.run)
    if made is None or taint_of(context, made):
        raise UserError(f"{model}: version {version} has learned from what was erased since; train again.")
    make_champion(context, made, version, by, proved=f"provisional, on the word of {by}: {reason.strip()}")
    describe(context)
    return version


def _of_version(model: str, version: str) -> Context:
    """The context of the run that a version was judged in."""
    ledger = open_context(model, "").ledger
    for verdict in ledger.decisions(model, "gate"):
        if verdict["detail"]["version"] == version:
            return open_context(model, verdict["run"])
    known = ", ".join(sorted((d["detail"]["version"] for d in ledger.decisions(model, "gate")), key=int)) or "none"
    raise UserError(f"{model}: no version {version} was judged by the gates; those that were: {known}.")
