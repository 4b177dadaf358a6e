"""What the first page says of a ledger, before any HTTP."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sovereign_tasks.ledger import Commit, Ledger
from sovereign_tasks.records import GateDecision, GateRow, StageReport, TrainingRun


@pytest.fixture
def read():
    from sovereign_ui.pages import overview

    return overview.read


def refuse(ledger: Ledger, *rows: GateRow) -> None:
    ledger.record_gates("r2", GateDecision("roofing", "d41f", "2", list(rows), False))


def test_the_night_has_its_stages_in_the_pipelines_order_and_reasons_largest_first(read, night: Ledger) -> None:
    (model,) = read().models
    found = [(s.name, s.of) for s in model.night.stages]
    assert found[:2] == [("collect", "almanac"), ("curate", "almanac")]
    assert found[2:] == [("validate", "documents and examples"), ("publish", "examples joined or left")]
    assert model.night.stages[1].rejected == [("too_short", 8), ("language", 2)]
    assert model.night.rejected == 16
    assert model.night.seconds == 75.75
    assert model.night.fresh
    assert model.night.data_docs == "/srv/docs/index.html"


def test_bars_are_shares_of_the_nights_largest_count(read, night: Ledger) -> None:
    first = read().models[0].night.stages[0]
    assert (first.came, first.kept) == (100, 93.75)


def test_a_night_with_nothing_new_leaves_the_snapshot_as_it_stands(read, night: Ledger) -> None:
    night.report("roofing", "b2", StageReport("collect:almanac", 0, 0))
    night.commit(Commit("roofing", "b2", 1, None, {}))
    newest = read().models[0].night
    assert (newest.build_id, newest.fresh, newest.snapshot.number) == ("b2", False, 1)
    assert newest.stages[0].came == 0


def test_a_build_that_was_not_committed_is_not_shown(read, night: Ledger) -> None:
    night.report("roofing", "lost", StageReport("collect:almanac", 5, 5))
    assert read().models[0].night.build_id != "lost"


def test_a_due_retrain_is_due_until_its_snapshot_was_trained_on(read, night: Ledger) -> None:
    night.decide("roofing", "retrain", "b2", "due", "61 of 40 needed", snapshot=1, new_examples=61, needed=40)
    assert (read().models[0].retrain.due, read().models[0].retrain.learned) == (True, None)
    night.record_training("r1", TrainingRun("roofing", "a3f0", 1, "base", "b", "cfg", 42, "adapter", "a", {}))
    assert read().models[0].retrain.learned == 1


def test_a_refused_candidate_stands_beside_the_champion(read, night: Ledger) -> None:
    refuse(night, GateRow("nll against champion", "nll", "champion", 0.5, 0.5, 0.0, -0.1, 0.1, 0.0, False, "no"))
    (model,) = read().models
    assert (model.champion.number, model.candidate.number, model.candidate.passed) == ("1", "2", False)
    assert model.candidate.reason == "refused by nll against champion"
    (gate,) = model.candidate.gates
    assert (gate.low, gate.bound, gate.middle, gate.high) == (6, 50, 50, 94)


def test_a_champion_is_not_also_the_newest_candidate(read, night: Ledger) -> None:
    assert read().models[0].candidate is None


def test_a_decision_against_promotion_makes_no_champion(read, night: Ledger) -> None:
    night.decide("roofing", "promotion", "r2", "refused", "rejected by a person", version="2", run_id="d41f")
    assert read().models[0].champion.number == "1"


def test_after_a_rollback_the_earlier_champion_stands_with_its_own_gates(read, night: Ledger) -> None:
    row = GateRow("nll against champion", "nll", "champion", 0.4, 0.5, 0.1, 0.05, 0.2, 0.0, True, "clears")
    night.record_gates("r2", GateDecision("roofing", "d41f", "2", [row], True))
    assert read().models[0].candidate.standing == "passed but not the champion"
    night.decide("roofing", "approval", "r2", "rejected", "too terse", version="2", by="ann")
    assert read().models[0].candidate.standing == "rejected by ann: too terse"
    promoted = {"version": "2", "run_id": "d41f", "snapshot": 1, "took_over_from": "1", "previous": "1"}
    night.decide("roofing", "promotion", "r2", "promoted", "every gate passed", **promoted)
    assert (read().models[0].champion.number, read().models[0].candidate) == ("2", None)
    back = {
        "version": "1",
        "run_id": "a3f09d2c4b7e4c6f",
        "snapshot": 1,
        "took_over_from": "2",
        "previous": None,
        "by": "tom",
    }
    night.decide("roofing", "promotion", "back", "rolled_back", "it forgot the prices", **back)
    (model,) = read().models
    assert (model.champion.number, model.candidate.number, model.candidate.standing) == ("1", "2", "rolled back")
    assert model.champion.standing == "rolled back to, from version 2, by tom: it forgot the prices"
    assert [gate.row.against for gate in model.champion.gates] == ["base"]


def test_gates_that_compared_nothing_have_no_picture(read, night: Ledger) -> None:
    nothing = [math.nan] * 4
    passed_over = GateRow("a", "nll", "champion", 0.5, *nothing, 0.0, True, "no champion yet")
    unmeasured = GateRow("b", "nll", "base", 0.5, *nothing, 0.0, False, "not measured")
    refuse(night, passed_over, unmeasured)
    gates = read().models[0].candidate.gates
    assert [(g.verdict, g.low) for g in gates] == [("passed over", None), ("refused", None)]


def test_a_broken_model_file_harms_no_other(read, night: Ledger, configs: Path) -> None:
    (configs / "siding.yaml").write_text("model: siding\ndescription: x\nsauces: []\n")
    roofing, siding = read().models
    assert roofing.champion
    assert "sauces is not a known key; did you mean sources?" in siding.error


def test_a_broken_platform_file_is_said_and_the_models_still_shown(read, night: Ledger, configs: Path) -> None:
    (configs / "platform.yaml").write_text("timezone: Asia/Kolkatta\n")
    page = read()
    assert "did you mean Asia/Kolkata?" in page.error
    assert page.models[0].champion


def test_a_ledger_that_cant_be_opened_is_said(read, configs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVEREIGN_LEDGER", "sqlite:////nowhere/at/all.db")
    page = read()
    assert page.models == []
    assert "can't be opened" in page.error


@pytest.mark.parametrize(
    ("tracking", "expected"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/#/models/roofing/versions/3"),
        ("https://me:secret@ml.example/base/", "https://ml.example/base/#/models/roofing/versions/3"),
        ("sqlite:///mlflow.db", None),
        ("javascript://x/%0aalert(1)", None),
    ],
)
def test_mlflow_addresses_keep_no_login(tracking: str, expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from sovereign_ui import mlflow_ui

    monkeypatch.delenv("MLFLOW_PUBLIC_URI", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    assert mlflow_ui.version_url("roofing", "3") == expected


def test_the_address_for_people_goes_before_the_one_for_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    from sovereign_ui import mlflow_ui

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("MLFLOW_PUBLIC_URI", "https://ml.example")
    assert mlflow_ui.run_url("a b") == "https://ml.example/#/runs/a%20b"
