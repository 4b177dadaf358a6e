"""A scripted judge over real HTTP: what its words become at the gates, and what becomes of a judge that is away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sovereign_tasks import endpoint
from sovereign_tasks.config import load_model
from sovereign_tasks.errors import UserError
from sovereign_tasks.evaluate.gates import judge
from sovereign_tasks.gates_config import GateConfig
from sovereign_tasks.ledger.ratings import Rating
from sovereign_tasks.records import EvalReport, Example
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.judging import agree, judge_answers
from sovereign_tasks.stages.scores import Reports, write_reports
from tests.unit.chat_server import serve

from .test_rules import change_config

ROWS = 60
GATE = GateConfig(metric="judge", better_than="champion")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "PAUSE_SECONDS", 0.0)


def examples() -> list[Example]:
    return [
        Example(
            f"e{i:02d}",
            "faq",
            "house",
            f"g{i // 2}",
            "en",
            [{"role": "user", "content": f"Question {i}?"}, {"role": "assistant", "content": f"Answer {i}."}],
            [],
            [],
        )
        for i in range(ROWS)
    ]


def reports_of(**answers: str) -> Reports:
    ids, groups = [e.example_id for e in examples()], [e.group for e in examples()]
    scores = {"nll": [1.0] * ROWS}
    held = {s: EvalReport(s, "holdout", ids, groups, scores, [a] * ROWS) for s, a in answers.items()}
    return {subject: {"holdout": report} for subject, report in held.items()}


def prefer_longer(body: dict[str, Any]) -> str:
    told = json.loads(body["messages"][-1]["content"])
    return "first" if len(told["first"]) > len(told["second"]) else "second"


def with_judge(tmp_path: Path, url: str, gates: str = "") -> Context:
    block = f"judge: {{endpoint: '{url}', model: small, rows: 40}}\n{gates}"
    change_config(tmp_path, "training: {base_model: scratch}", f"training: {{base_model: scratch}}\n{block}")
    return open_context("siding", "run")


def test_the_longer_answer_wins_at_the_gate(documents: Path, tmp_path: Path) -> None:
    reports = reports_of(candidate="A long answer.", base="None.", champion="Short.")
    with serve(prefer_longer) as chat:
        context = with_judge(tmp_path, chat.url)
        notes = judge_answers(context, reports, examples())
    said = {"better": 40, "worse": 0, "equal": 0, "swayed": 0, "unreadable": 0}
    assert notes == {"judge": {"model": "small", "champion": said}}
    assert len(chat.sent) == 80  # in both orders, beside the champion alone
    (row,) = judge([GATE], reports["candidate"], reports["base"], reports["champion"])
    assert (row.passed, row.difference, row.rows, row.groups) == (True, 1.0, 40, 30)
    (turned,) = judge([GATE], reports["champion"], reports["base"], reports["candidate"])
    assert (turned.passed, turned.difference) == (False, -1.0)


def test_a_judge_that_always_says_first_has_measured_nothing(documents: Path, tmp_path: Path) -> None:
    reports = reports_of(candidate="A long answer.", base="None.", champion="Short.")
    with serve(lambda body: "first") as chat:
        notes = judge_answers(with_judge(tmp_path, chat.url), reports, examples())
    assert notes["judge"]["champion"] == {"not_measured": "40 of 40 verdicts change with the order of the answers"}
    no_worse = GateConfig(metric="judge", no_worse_than="champion", by=0.9)
    rows = judge([GATE, no_worse], reports["candidate"], reports["base"], reports["champion"])
    assert [row.passed for row in rows] == [False, False]


@pytest.mark.parametrize(("reply", "says"), [("As an AI I like both.", "80 of 80 replies"), (None, "can't be reached")])
def test_one_that_is_away_or_babbles_measures_nothing(
    documents: Path, tmp_path: Path, reply: str | None, says: str
) -> None:
    reports = reports_of(candidate="A long answer.", base="None.", champion="Short.")
    with serve(lambda body: reply) as chat:
        if reply is not None:
            notes = judge_answers(with_judge(tmp_path, chat.url), reports, examples())
    if reply is None:
        notes = judge_answers(with_judge(tmp_path, chat.url), reports, examples())
    assert says in notes["judge"]["champion"]["not_measured"]
    (row,) = judge([GATE], reports["candidate"], reports["base"], reports["champion"])
    assert (row.passed, row.reason) == (False, "judge of the candidate was not measured")


def test_a_judge_that_takes_too_long_measures_nothing(documents: Path, tmp_path: Path) -> None:
    reports = reports_of(candidate="A long answer.", base="None.", champion="Short.")
    with serve(prefer_longer) as chat:
        with_judge(tmp_path, chat.url)
        path = tmp_path / "config" / "siding.yaml"
        path.write_text(path.read_text().replace("rows: 40", "rows: 40, minutes: 0.0001"))
        notes = judge_answers(open_context("siding", "run"), reports, examples())
    assert notes["judge"]["champion"] == {"not_measured": "it was not done after judge.minutes (0.0001)"}
    assert len(chat.sent) < 80
    assert "judge" not in reports["candidate"]


def test_gates_say_beside_whom(documents: Path, tmp_path: Path) -> None:
    gates = "gates: [{metric: judge, no_worse_than: base, by: 0.1}, {metric: judge, better_than: champion}]\n"
    reports = reports_of(candidate="A long answer.", base="None.", champion="A far longer answer.")
    with serve(prefer_longer) as chat:
        context = with_judge(tmp_path, chat.url, gates)
        notes = judge_answers(context, reports, examples())["judge"]
    assert (notes["base"]["better"], notes["champion"]["worse"]) == (40, 40)
    rows = judge(context.config.gates, reports["candidate"], reports["base"], reports["champion"])
    assert [(row.against, row.passed, row.difference) for row in rows] == [
        ("base", True, 1.0),
        ("champion", False, -1.0),
    ]


def test_without_a_block_nobody_is_asked_and_a_gate_is_an_error(documents: Path, tmp_path: Path) -> None:
    assert judge_answers(open_context("siding", "run"), reports_of(candidate="a", base="b"), examples()) == {}
    change_config(
        tmp_path,
        "training: {base_model: scratch}",
        "training: {base_model: scratch}\ngates: [{metric: judge, better_than: base}]",
    )
    with pytest.raises(UserError, match="there is no block judge"):
        load_model("siding")


def test_people_are_held_beside_the_judge(documents: Path, tmp_path: Path) -> None:
    reports = reports_of(candidate="A long answer.", base="None.", champion="Short.")
    with serve(prefer_longer) as chat:
        context = with_judge(tmp_path, chat.url)
        judge_answers(context, reports, examples())
    write_reports(context, reports)
    rated = reports["champion"]["judge"].example_ids[:4]
    for row_id, verdict in zip(rated, (1, 1, -1, 1), strict=True):
        context.ledger.rate("siding", Rating("run", row_id, "champion", "ann", "candidate", verdict))
    context.ledger.rate("siding", Rating("run", rated[0], "base", "ann", "candidate", 1))  # not judged beside it
    context.ledger.rate("siding", Rating("gone", rated[0], "champion", "ann", "candidate", 1))  # of a run without files
    assert agree(context) == {"pairs": 4, "same": 0.75, "kappa": 0.0}
