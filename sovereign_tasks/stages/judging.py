"""The judge's part of an evaluation: the candidate's answers beside others', on a spread of held-out rows.

What it says is kept as scores of those beside whom the candidate stands: -1 where its answer was better and 1 where
theirs was, with the candidate at 0 throughout. So the paired difference, which gates look at, is the verdict.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sovereign_tasks.endpoint import Endpoint, NoAnswer
from sovereign_tasks.evaluate.pairwise import Pair, agreement, judge_pairs, spread
from sovereign_tasks.records import EvalReport, Example, Message
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.scores import Reports, read_reports

JUDGE = "judge"


def judge_answers(context: Context, reports: Reports, holdout: Sequence[Example]) -> dict[str, Any]:
    """Add the judge's verdicts to the reports, and say what it said for the stage's notes; nothing without a judge.

    A judge that can't be had leaves no figures, so that a gate on them fails, and a note that says why.
    """
    if context.config.judge is None:
        return {}
    told: dict[str, Any] = {"model": context.config.judge.model}
    ask = _within(Endpoint(context.config.judge).ask, context.config.judge.minutes)
    for subject in _beside(context, reports):
        rows, pairs = pairs_of(reports, subject, holdout, context.config.judge.rows)
        try:
            found = judge_pairs(pairs, ask)
        except NoAnswer as e:
            told[subject] = {"not_measured": str(e)}
            break  # the next would wait for it in vain
        if found.problem:
            told[subject] = {"not_measured": found.problem}
            continue
        held = reports["candidate"]["holdout"]
        ids, groups = [held.example_ids[i] for i in rows], [held.groups[i] for i in rows]
        theirs: list[float | None] = [float(-verdict) for verdict in found.verdicts]
        reports[subject][JUDGE] = EvalReport(subject, JUDGE, ids, groups, {JUDGE: theirs})
        reports["candidate"][JUDGE] = EvalReport("candidate", JUDGE, ids, groups, {JUDGE: [0.0] * len(rows)})
        told[subject] = count(found.verdicts) | {"swayed": found.swayed, "unreadable": found.unreadable}
    return {JUDGE: told | _beside_people(context)}


def _within(ask: Callable[[list[Message]], str], minutes: float) -> Callable[[list[Message]], str]:
    """The same, until so many minutes from now have passed; then `NoAnswer`."""
    until = time.monotonic() + 60 * minutes

    def ask_in_time(messages: list[Message]) -> str:
        if time.monotonic() > until:
            raise NoAnswer(f"it was not done after judge.minutes ({minutes:g})")
        return ask(messages)

    return ask_in_time


def pairs_of(
    reports: Mapping[str, Mapping[str, EvalReport]], beside: str, holdout: Sequence[Example], most: int
) -> tuple[list[int], list[Pair]]:
    """The places of up to `most` rows in the reports, spread over groups, and the answers of the two to them."""
    ours, theirs = reports["candidate"]["holdout"], reports[beside]["holdout"]
    known, other = {e.example_id: e for e in holdout}, dict(zip(theirs.example_ids, theirs.answers, strict=True))
    order = spread(ours.example_ids, ours.groups)
    rows = [i for i in order if ours.example_ids[i] in known.keys() & other.keys()][:most]
    told = [(known[ours.example_ids[i]], ours.answers[i], other[ours.example_ids[i]]) for i in rows]
    return rows, [Pair(example.question, example.answer, *answers) for example, *answers in told]


def count(verdicts: Sequence[int]) -> dict[str, int]:
    """How often the candidate's answer was better, worse, and neither."""
    found = Counter(verdicts)
    return {"better": found[1], "worse": found[-1], "equal": found[0]}


def agree(context: Context) -> dict[str, float]:
    """How far the judge and people agree, over all runs whose pairs both have seen."""
    people = context.ledger.ratings(context.model)
    said = {run: _said(context, run) for run in {rating.run for rating in people}}
    both = [
        (said[rating.run][place], rating.verdict)
        for rating in people
        if (place := (rating.against, rating.row_id)) in said[rating.run]
    ]
    return agreement([ours for ours, _ in both], [theirs for _, theirs in both])


def _said(context: Context, run: str) -> dict[tuple[str, str], int]:
    """The judge's verdicts of a run, by whom the candidate stood beside and row; none where its scores are gone."""
    try:
        reports = read_reports(Context(context.config, run, context.ledger, context.store))
    except FileNotFoundError:
        return {}
    return {
        (subject, row_id): round(-score)
        for subject, by in reports.items()
        if subject != "candidate" and JUDGE in by
        for row_id, score in zip(by[JUDGE].example_ids, by[JUDGE].scores[JUDGE], strict=True)
    }


def _beside_people(context: Context) -> dict[str, Any]:
    found = agree(context)
    return {"people": found} if found["pairs"] else {}


def _beside(context: Context, reports: Reports) -> list[str]:
    """Beside whom the candidate is judged: whom gates name, or else the champion, or the base while there is none."""
    named = {gate.against for gate in context.config.gates if gate.metric == JUDGE}
    named = named or {"champion" if "champion" in reports else "base"}
    return sorted(named & reports.keys())
