"""Pairs of answers for people to rate blindly: the newest candidate's beside the champion's, or the base's.

Whose answer stands first is drawn by the installation's key for each row and person, so that it can't be guessed and
stays as it was when a sitting is gone on with. The ledger keeps ids and verdicts; no text of any row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sovereign_tasks.errors import UserError
from sovereign_tasks.evaluate.pairwise import Pair
from sovereign_tasks.ledger.ratings import Rating
from sovereign_tasks.records import keyed_hash
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.judging import agree, count, pairs_of
from sovereign_tasks.stages.scores import read_reports
from sovereign_tasks.stages.snapshots import load_splits


@dataclass(frozen=True)
class Question:
    """A question with two answers as they are shown; `candidate_first` says whose is whose."""

    run: str
    row_id: str
    against: str
    text: str
    answers: tuple[str, str]
    candidate_first: bool


def questions_for(context: Context, by: str) -> list[Question]:
    """What a person has not rated yet of the newest candidate; those first that a judge looks at first.

    Raises UserError where nobody could rate anything.
    """
    run = _newest(context)
    scored = Context(context.config, run, context.ledger, context.store)
    try:
        reports = read_reports(scored)
    except FileNotFoundError:
        raise UserError(f"{context.model}: the answers of the newest training are gone; train again.") from None
    against = "champion" if "champion" in reports else "base"
    training = context.ledger.training(context.model, run)
    held = load_splits(context, context.ledger.snapshot(context.model, training.snapshot))["holdout"]
    places, pairs = pairs_of(reports, against, held, len(held))
    ids = [reports["candidate"]["holdout"].example_ids[i] for i in places]
    differing = [(i, pair) for i, pair in zip(ids, pairs, strict=True) if pair.one.strip() != pair.other.strip()]
    if not differing:
        raise UserError(
            f"{context.model}: there is nothing to compare: candidate and {against} give the same answer to each of "
            f"{len(pairs)} held-out questions."
        )
    done = {r.row_id for r in context.ledger.ratings(context.model, run) if (r.by, r.against) == (by, against)}
    return [_shown(run, i, against, pair, by) for i, pair in differing if i not in done]


def rate(context: Context, question: Question, by: str, choice: int) -> None:
    """Keep what a person chose: 1 for the answer shown first, -1 for the second, 0 for neither."""
    first = "candidate" if question.candidate_first else question.against
    verdict = choice if question.candidate_first else -choice
    rating = Rating(question.run, question.row_id, question.against, by, first, verdict)
    context.ledger.rate(context.model, rating)


def what_people_say(context: Context) -> str:
    """How the newest candidate that was rated did, in a sentence, and how far the judge agrees; empty without any."""
    ratings = context.ledger.ratings(context.model)
    if not ratings:
        return ""
    newest = [r for r in ratings if r.run == ratings[-1].run]
    said = "; ".join(_told(context, [r for r in newest if r.against == who], who) for who in _references(newest))
    found = agree(context)
    if not found["pairs"]:
        return said
    kappa = f", kappa {found['kappa']:.2f}" if "kappa" in found else ""
    return f"{said}; the judge agrees on {found['same']:.0%} of {found['pairs']} pairs{kappa}"


def _told(context: Context, ratings: Sequence[Rating], against: str) -> str:
    found = count([r.verdict for r in ratings])
    verdict = context.ledger.decisions(context.model, "gate", ratings[0].run)
    version = f"version {verdict[0]['detail']['version']}" if verdict else "the candidate"
    people = len({r.by for r in ratings})
    who = f" by {people} people" if people > 1 else ""
    return (
        f"{len(ratings)} answers of {version} beside the {against}'s{who}: {found['better']} better, "
        f"{found['worse']} worse, {found['equal']} equal"
    )


def _references(ratings: Sequence[Rating]) -> list[str]:
    return sorted({r.against for r in ratings})


def _newest(context: Context) -> str:
    verdicts = context.ledger.decisions(context.model, "gate")
    if not verdicts:
        how = f"`run {context.model}` trains a candidate once enough is new"
        raise UserError(f"{context.model} has no answers to compare yet; {how}.")
    return verdicts[0]["run"]


def _shown(run: str, row_id: str, against: str, pair: Pair, by: str) -> Question:
    candidate_first = int(keyed_hash("rate", run, row_id, against, by), 16) % 2 == 0
    answers = (pair.one, pair.other) if candidate_first else (pair.other, pair.one)
    return Question(run, row_id, against, pair.question, answers, candidate_first)
