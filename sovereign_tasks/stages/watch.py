"""Whether the champion is worse than the one before it, on what was gathered since it took over; back if it is.

They are compared at fixed looks, of so many groups, which share one level by Bonferroni: that holds wherever the counts
of the nights fall and however the looks depend on one another, and with a few looks it costs little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example, TrainingRun
from sovereign_tasks.stages.cards import hold_cards
from sovereign_tasks.stages.champion import at_hand
from sovereign_tasks.stages.context import Context, open_context, run_key, timed
from sovereign_tasks.stages.held_out import gathered_since
from sovereign_tasks.stages.moves import finish_begun, lease_name, line_of_champions
from sovereign_tasks.stages.must_go import give_way
from sovereign_tasks.stages.rollback import LOOP, check_target, roll_back
from sovereign_tasks.stages.taints import drop_tainted

_KIND = "look"
_WORSE, _NOT_WORSE, _NOT_TOLD = "worse", "not_worse", "not_told"


def watch(model: str, run_id: str) -> dict[str, Any]:
    """Take the look that is due, if one is, and roll back if the champion is worse; what was found, in a sentence.

    A champion that has learned from what was erased gives way first, once its time is over.
    """
    context = open_context(model, run_key("watch", model, run_id))
    with timed(context, "watch") as figures:
        with context.ledger.lease(lease_name(model), context.run):
            finish_begun(context)
        said = give_way(context) or _watch(context)
        drop_tainted(context)  # what a move that was cut off has left
        figures.update(notes={"found": said})
    return {"model": model, "found": said}


def _watch(context: Context) -> str:
    from sovereign_tasks import promote as promotion

    ledger, model = context.ledger, context.model
    moves, line, now = ledger.moves(model), line_of_champions(ledger, model), promotion.champion(model)
    if not moves or now is None:
        return "there is no champion yet"
    if now.version != moves[0]["detail"]["version"]:
        return f"somebody moved the alias to version {now.version} in MLflow, which is left as it is"
    if len(line) < 2:
        return f"there is no champion before version {now.version} to go back to"
    if wait := _cooling(context, moves[0]["run"]):
        return wait
    try:
        before = check_target(context, line[-2], now.version)
    except UserError as refusal:
        return str(refusal)
    looks = context.config.rollback.looks
    taken = [look for look in ledger.decisions(model, _KIND) if look["detail"]["move"] == moves[0]["run"]]
    if not any(look["outcome"] == _WORSE for look in taken):  # else it was cut off before it went back
        champion = next(t for _, t in ledger.trainings(model) if t.run_id == now.run_id)
        rows = gathered_since(context, moves[0]["at"], [champion, before])
        groups, done = len({row.group for row in rows}), max((look["detail"]["look"] for look in taken), default=0)
        due = max((look for look in looks if done < look <= groups), default=None)
        if due is None:
            following = next((f"the next look is at {look}" for look in looks if look > done), "no look is left")
            return f"{groups} groups gathered since version {now.version} took over; {following}"
        alpha = _level(looks, due, [look["detail"]["alpha"] for look in taken])
        if not alpha:
            return f"no look is left: those since version {now.version} took over have used up the level they share"
        taken = [_look(context, due, alpha, rows, {now.version: champion, line[-2]: before}, moves[0]["run"])]
    (look,) = [one for one in taken if one["outcome"] == _WORSE] or taken[:1]
    if look["outcome"] == _WORSE:
        try:
            roll_back(model, look["run"], line[-2], look["reason"], LOOP, judged=now.version)
        except UserError as overtaken:
            return str(overtaken)
    return look["reason"]


def _cooling(context: Context, move: str) -> str:
    """Why there is no look for now, if an earlier champion was found worse a short while ago."""
    days = context.config.rollback.cooldown_days
    since = datetime.now(UTC) - timedelta(days=days)
    for look in context.ledger.decisions(context.model, _KIND):
        if look["outcome"] == _WORSE and look["detail"]["move"] != move and look["at"] > since:
            return f"a champion was rolled back on {look['at']:%Y-%m-%d}, and none is again within {days} days"
    return ""


def _level(looks: Sequence[int], due: int, spent: Sequence[float]) -> float:
    """The level of the look that is due: an equal share, or of what is left where the looks were other ones before.

    0 where nothing is.
    """
    from sovereign_tasks.evaluate.compare import ALPHA

    left = (ALPHA - math.fsum(spent)) / sum(look >= due for look in looks)
    return min(ALPHA / len(looks), left) if left > 1e-6 else 0.0


def _look(
    context: Context, look: int, alpha: float, rows: list[Example], models: dict[str, TrainingRun], move: str
) -> dict[str, Any]:
    """Compare the champion with the one before it, and keep what was found; the decision, as the ledger has it."""
    from sovereign_tasks.evaluate.compare import compare

    config = context.config.rollback
    (now, before), run = models, f"{move}/{look}"
    with hold_cards(context.ledger, context.run):
        ours, theirs = (_bits(context, training, rows) for training in models.values())
    pairs = [(b - a, row.group) for a, b, row in zip(ours, theirs, rows, strict=True) if None not in (a, b)]
    result = compare([gain for gain, _ in pairs], [group for _, group in pairs], alpha=alpha)
    outcome = _NOT_TOLD if result.problem else _WORSE if result.high < -config.margin else _NOT_WORSE
    reason = result.problem or (
        f"version {now} takes {-result.difference:+.3f} bits per byte against version {before} on {result.groups} "
        f"groups gathered since it took over, interval [{-result.high:+.3f}, {-result.low:+.3f}]: "
        f"{'worse' if outcome == _WORSE else 'not worse'} by more than {config.margin:g}"
    )
    figures = {"difference": result.difference, "low": result.low, "high": result.high} if not result.problem else {}
    detail = {"look": look, "move": move, "groups": result.groups, "alpha": alpha, "margin": config.margin}
    context.ledger.decide(context.model, _KIND, run, outcome, reason, **detail, **figures)
    return context.ledger.decisions(context.model, _KIND, run)[0]


def _bits(context: Context, training: TrainingRun, rows: list[Example]) -> list[float | None]:
    """A model's bits per byte of each row's answer, in the order of the rows."""
    from sovereign_tasks.causal_lm import load_with_adapter
    from sovereign_tasks.evaluate.score import score

    there = at_hand(context, training)
    model, tokenizer = load_with_adapter(Path(there.base), Path(there.adapter))
    report = score(model, tokenizer, rows, context.config.training.system_prompt, subject=training.run_id)
    bits = dict(zip(report.example_ids, report.scores["bits_per_byte"], strict=True))
    return [bits[row.example_id] for row in rows]
