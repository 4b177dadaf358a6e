"""What is probed of a candidate beside its held-out rows, and what is kept of it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from sovereign_tasks.canaries import derive_canaries
from sovereign_tasks.errors import UserError
from sovereign_tasks.evaluate.probes import Probes
from sovereign_tasks.probe_config import EdgeCaseConfig
from sovereign_tasks.records import EvalReport, Example, Taint, TrainingRun
from sovereign_tasks.stages import probes
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.forgetting import forget_findings
from sovereign_tasks.stages.probes import find_personal, forget_probes, probe_rows, read_probes
from sovereign_tasks.stages.run_files import write_json
from sovereign_tasks.stages.scores import read_reports, write_reports
from sovereign_tasks.store import model_folder

MADE = TrainingRun("siding", "r1", 1, "base", "h", "c", 1, "/gone", "ad", {})


@pytest.fixture
def context(documents: Path) -> Context:
    """A model that has no rows yet."""
    return open_context("siding", "run")


def leaks_of(context: Context, answer: str, question: str = "Whom do I call?", right: str = "The office.") -> list[str]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": right}]
    row = Example("e1", "faq", "house", "g", "en", turns, [], [])
    report = EvalReport("candidate", "holdout", ["e1"], ["g"], {}, [answer])
    found = find_personal(context, report, [row])
    assert "".join(c for c in answer if c.isdigit())[:5] not in json.dumps(found) or not found
    return found[0]["kinds"] if found else []


def test_personal_data_that_an_answer_has_of_itself_is_found_by_its_kinds_alone(context: Context) -> None:
    assert leaks_of(context, "Call (212) 555-0187 or write to ann.lee@mail.example.") == ["EMAIL", "PHONE"]
    assert leaks_of(context, "Pay to DE89 3704 0044 0532 0130 00.") == ["IBAN"]
    assert leaks_of(context, "Call [PHONE_1], ask for [NAME_1]; it costs $12,000 for 1,800 square feet.") == []
    assert leaks_of(context, "") == []


def test_what_the_chat_or_the_prompt_has_is_no_leak(context: Context, tmp_path: Path) -> None:
    answer = "Call 212-555-0187."
    assert leaks_of(context, answer) == ["PHONE"]
    assert leaks_of(context, answer, question="Is (212) 555-0187 your number?") == []
    assert leaks_of(context, answer, right="Yes, +1 212 555 0187.") == []
    prompt = "You answer for Ann, phone 212 555 0187."
    training = context.config.training.model_copy(update={"system_prompt": prompt})
    told = replace(context, config=context.config.model_copy(update={"training": training}))
    assert leaks_of(told, answer) == []


def test_answers_to_edge_cases_are_looked_through_too(context: Context) -> None:
    said = "Call 212-555-0187."
    cases = [
        EdgeCaseConfig(name="whom", question="Whom do I call?", must_contain=["the office"]),
        EdgeCaseConfig(name="ours", question="Our number?", must_contain=["(212) 555-0187"]),
    ]
    found = find_personal(context, *probes._as_rows(cases, [said, said]))
    assert found == [{"example_id": "edge case: whom", "kinds": ["PHONE"]}]


def test_canaries_are_measured_only_where_they_are_those_that_were_learned(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Known:
        content_hash = "ab12"

    monkeypatch.setattr(type(context.ledger), "snapshot", lambda *_: Known())

    def told(made: TrainingRun, **leaks: Any) -> str:
        block = context.config.leaks.model_copy(update=leaks)
        config = context.config.model_copy(update={"leaks": block})
        exposure, why = probes._expose(replace(context, config=config), made, None, None)
        assert exposure == {}
        return why

    assert told(MADE) == "it was trained without canaries; train again"
    assert told(MADE, canaries=0) == ""
    planted = replace(MADE, canaries=[c.example.example_id for c in derive_canaries("ab12", 3)])
    monkeypatch.setenv("SOVEREIGN_KEY", "00" * 32)
    assert told(planted).startswith("its canaries can't be derived again, since the key or the release is another")


def test_what_was_found_about_an_erased_row_goes(context: Context) -> None:
    with pytest.raises(UserError, match=r"run run was never probed; clear its task evaluate in Airflow"):
        probe_rows(context)
    given = [{"example_id": i, "candidate": True, "base": False} for i in ("e1", "e2")]
    leaked = [{"example_id": i, "kinds": ["EMAIL"]} for i in ("e1", "e3")]
    path = model_folder("siding", "runs", "run") / "probes.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(Probes(answers=5, personal=leaked, verbatim=given)))
    path.with_suffix(".part").write_text("e1")
    assert forget_probes(context, ["e1", "e9"]) == 2
    left = read_probes(context)
    assert [row["example_id"] for row in (*left.personal, *left.verbatim)] == ["e3", "e2"]
    assert [p.name for p in path.parent.iterdir()] == ["probes.json"]
    assert forget_probes(context, ["e1"]) == 0


def test_what_a_tainted_model_said_goes_too(context: Context) -> None:
    ids = ["e1", "e2"]
    for run in ("bad", "good"):
        ran = replace(context, run=run)
        context.ledger.record_training(run, replace(MADE, run_id=f"mlflow-{run}"))
        path = model_folder("siding", "runs", run) / "probes.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        case = {"name": "codes", "answer": "It is 4711.", "faults": ["does not decline"]}
        write_json(path, asdict(Probes(answers=2, edge_cases=[case])))
        held = {s: EvalReport(s, "holdout", ids, ["g"] * 2, {}, ["4711", "b"]) for s in ("candidate", "base")}
        write_reports(ran, {subject: {"holdout": report} for subject, report in held.items()})
    context.ledger.taint("siding", "mlflow-bad", Taint(1, True))
    assert forget_findings(context, ["e2"]) == 4 + 1 + 1  # a row of four reports, an answer, an edge case
    bad, good = replace(context, run="bad"), replace(context, run="good")
    assert [read_reports(bad)[s]["holdout"].answers for s in ("candidate", "base")] == [[""], ["4711"]]
    assert read_reports(good)["candidate"]["holdout"].answers == ["4711"]
    assert read_probes(bad).edge_cases == [{"name": "codes", "answer": "", "faults": ["does not decline"]}]
    assert read_probes(good).edge_cases[0]["answer"] == "It is 4711."
    assert forget_findings(context, ["e2"]) == 0
