"""People rate pairs of answers blindly: what they are shown, what is kept, and what goes with an erasure."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger.ratings import Rating
from sovereign_tasks.records import EvalReport, Example, GateDecision, TrainingRun
from sovereign_tasks.stages import erasure, rating
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.people import read_request
from sovereign_tasks.stages.rating import questions_for, what_people_say
from sovereign_tasks.stages.scores import Reports, write_reports
from sovereign_tasks.terminal.rate import rate_answers
from sovereign_tasks.terminal.status import print_status

from . import nights

OURS, THEIRS = "The house says ten.", "[bold]Some[/bold] \x1b[2Jsay nine."


def evaluated() -> Context:
    """The model with a training and its verdict; nothing is scored yet."""
    opened = open_context("siding", "run")
    opened.ledger.record_training("run", TrainingRun("siding", "r1", 1, "b", "h", "c", 1, "/gone", "ad", {}))
    opened.ledger.record_gates("run", GateDecision("siding", "r1", "3", [], passed=False))
    return opened


@pytest.fixture
def context(documents: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A model whose only snapshot holds out eight rows."""
    turns = [{"role": "user", "content": "How long?"}, {"role": "assistant", "content": "Ten years."}]
    rows = [Example(f"e{i}", "faq", "house", f"g{i}", "en", turns, [], []) for i in range(8)]
    monkeypatch.setattr(rating, "load_splits", lambda context, snapshot: {"holdout": rows})
    opened = evaluated()
    monkeypatch.setattr(type(opened.ledger), "snapshot", lambda ledger, model, number: number)
    return opened


def held(context: Context) -> list[Example]:
    return rating.load_splits(context, context.ledger.snapshot("siding", 1))["holdout"]


def score(context: Context, ours: str = OURS, theirs: str = THEIRS, champion: bool = False) -> Reports:
    ids, groups = [e.example_id for e in held(context)], [e.group for e in held(context)]

    def report(subject: str, answer: str) -> dict[str, EvalReport]:
        return {"holdout": EvalReport(subject, "holdout", ids, groups, {"nll": [1.0] * len(ids)}, [answer] * len(ids))}

    reports = {"candidate": report("candidate", ours), "base": report("base", theirs)}
    reports |= {"champion": report("champion", theirs)} if champion else {}
    write_reports(context, reports)
    return reports


def sit(context: Context, typed: str, rows: int = 20) -> str:
    said = io.StringIO()
    console = Console(file=said, width=100, highlight=False)
    rate_answers(console, context.ledger, context.config, io.StringIO(typed), rows=rows)
    return said.getvalue()


@pytest.fixture(autouse=True)
def _ann(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")


def test_choices_are_kept_for_whose_answer_it_was(context: Context) -> None:
    score(context)
    rows = len(held(context))
    shown = questions_for(context, "ann")
    assert len(shown) == rows
    typed = ["1" if q.candidate_first else "2" for q in shown[:-1]] + ["="]
    said = sit(context, "\n".join(typed) + "\n")
    ratings = context.ledger.ratings("siding", "run")
    assert [r.verdict for r in ratings] == [1] * (rows - 1) + [0]
    assert {(r.by, r.against) for r in ratings} == {("ann", "base")}
    assert [r.first for r in ratings] == ["candidate" if q.candidate_first else "base" for q in shown]
    assert f"{rows} answers of version 3 beside the base's: {rows - 1} better, 0 worse, 1 equal" in said
    assert "You have rated every pair" in sit(context, "")


def test_the_order_is_mixed_and_stays(context: Context) -> None:
    score(context)
    ids = [q.row_id for q in questions_for(context, "ann")]
    drawn = {by: [q.candidate_first for q in questions_for(context, by)] for by in map(str, range(20))}
    assert drawn["0"] == [q.candidate_first for q in questions_for(context, "0")]
    firsts = [first for order in drawn.values() for first in order]
    assert 0.3 < sum(firsts) / len(firsts) < 0.7
    assert len({tuple(order) for order in drawn.values()}) > 5
    assert ids == [q.row_id for q in questions_for(context, "ben")]


def test_a_sitting_goes_on_where_it_was_left(context: Context) -> None:
    score(context, champion=True)
    first = sit(context, "what\n1\nq\n")
    assert first.count("1, 2, = or q:") == 3
    left = [q.row_id for q in questions_for(context, "ann")]
    assert len(left) == len(held(context)) - 1
    sit(context, "2\n", rows=1)
    assert [q.row_id for q in questions_for(context, "ann")] == left[1:]
    assert {r.against for r in context.ledger.ratings("siding")} == {"champion"}
    assert len(questions_for(context, "ben")) == len(held(context))  # who has rated nothing


def test_nothing_says_whose_answer_it_is_or_steers_the_terminal(context: Context) -> None:
    score(context)
    said = sit(context, "q\n")
    assert "candidate" not in said
    assert "base" not in said
    assert "[bold]Some[/bold]" in said
    assert "\x1b[2J" not in said


def test_what_can_not_be_compared_is_said(documents: Path, context: Context) -> None:
    with pytest.raises(UserError, match="the answers of the newest training are gone"):
        sit(context, "1\n")
    score(context, THEIRS, THEIRS)
    with pytest.raises(UserError, match="candidate and base give the same answer to each of"):
        sit(context, "1\n")


def test_before_any_candidate_there_is_nothing_to_compare(documents: Path) -> None:
    with pytest.raises(UserError, match="siding has no answers to compare yet"):
        sit(open_context("siding", "x"), "1\n")


def test_what_people_say_names_how_far_the_judge_agrees(context: Context) -> None:
    reports = score(context)
    assert what_people_say(context) == ""
    ids, groups = reports["base"]["holdout"].example_ids, reports["base"]["holdout"].groups
    reports["base"]["judge"] = EvalReport("base", "judge", ids, groups, {"judge": [-1.0] * len(ids)})
    write_reports(context, reports)
    for row_id, by, verdict in ((ids[0], "ann", 1), (ids[1], "ann", -1), (ids[0], "ben", 1), (ids[2], "ben", 1)):
        context.ledger.rate("siding", Rating("run", row_id, "base", by, "base", verdict))
    assert what_people_say(context) == (
        "4 answers of version 3 beside the base's by 2 people: 3 better, 1 worse, 0 equal; "
        "the judge agrees on 75% of 4 pairs, kappa 0.00"
    )


def test_a_rating_is_shown_goes_with_its_row_and_does_not_come_back(documents: Path) -> None:
    nights.run_night("one")
    context = evaluated()
    rows = held(context)
    score(context)
    gone, stays = rows[0], next(r for r in rows if not set(r.doc_ids) & set(rows[0].doc_ids))
    given = [Rating("run", row.example_id, "base", "ann", "base", 1) for row in (gone, stays)]
    for one in given:
        context.ledger.rate("siding", one)
    said = io.StringIO()
    print_status(Console(file=said, width=200), context.ledger, context.config)
    assert "Rated      2 answers of version 3 beside the base's: 2 better, 0 worse, 0 equal" in said.getvalue()
    assert gone.example_id in {q.row_id for q in questions_for(context, "ben")}
    lines = read_request("".join(f"document: {doc_id}\n" for doc_id in gone.doc_ids))
    erasure.erase("siding", erasure.ask(context, lines))
    assert context.ledger.ratings("siding") == given[1:]
    context.ledger.rate("siding", given[0])
    assert context.ledger.ratings("siding") == given[1:]
    assert gone.example_id not in {q.row_id for q in questions_for(context, "ben")}
