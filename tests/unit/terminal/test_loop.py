"""The order of things in `run`, on a client that plays Airflow: what is unfinished first, then a night of its own."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sovereign_tasks.config import config_hash, load_model
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger, open_ledger
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages.context import open_context, run_key
from sovereign_tasks.terminal import loop
from sovereign_tasks.terminal.loop import Loop
from sovereign_tasks.terminal.run import Session
from tests.unit.stages import nights


@dataclass
class Airflow:
    """Runs end when they are looked at; a training waits its turn, as Airflow has it wait."""

    ledger: Ledger
    found: dict[str, dict[str, str]] = field(default_factory=lambda: {"siding_build": {}, "siding_retrain": {}})
    ends: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    held_back: list[str] = field(default_factory=list)
    due: bool = False

    def dag(self, dag_id: str) -> dict[str, Any]:
        return {"is_paused": False}

    def runs(self, dag_id: str) -> list[dict[str, str]]:
        runs = self.found[dag_id]
        if dag_id == "siding_retrain" and self.held_back and "running" not in runs.values():
            runs[self.held_back.pop()] = "running"
        return [{"dag_run_id": run_id, "state": state} for run_id, state in runs.items()]

    def trigger(self, dag_id: str) -> str:
        self.found[dag_id]["own"] = "queued"
        return "own"

    def dag_run(self, dag_id: str, run_id: str) -> dict[str, str]:
        state = self.found[dag_id][run_id] = self.ends.get(run_id, "success")
        self.done.append(f"{dag_id} {run_id} {state}")
        if dag_id == "siding_build" and state == "success":
            outcome = "due" if self.due else "not_due"
            key = run_key("build", "siding", run_id)
            self.ledger.decide("siding", "retrain", key, outcome, "7 new training examples")
            if self.due:
                self.held_back.append(f"of-{run_id}")
        return {"state": state}

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        if self.ends.get(run_id) != "running":
            return []
        waits = {"task_id": "collect", "state": "up_for_retry", "map_index": -1, "rendered_map_index": None}
        return [waits | {"start_date": None, "end_date": None}]

    def fail_run(self, dag_id: str, run_id: str) -> None:
        self.found[dag_id][run_id] = "failed"
        self.done.append(f"{dag_id} {run_id} given up")


@pytest.fixture
def airflow(state: Path) -> Airflow:
    return Airflow(open_ledger(state))


def run(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the loop; what it said before the closing tables, which need a real night."""
    for name in ("print_build", "print_retrain", "print_champion"):
        monkeypatch.setattr(loop, name, lambda *_: None)
    out = io.StringIO()
    session = Session(None, airflow, "", "")  # type: ignore[arg-type]
    Loop(Console(file=out, width=200), session, airflow.ledger, "siding").run()
    return out.getvalue()


def test_a_night_alone(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    run(airflow, monkeypatch)
    assert airflow.done == ["siding_build own success"]


def test_a_night_and_its_training(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    airflow.due = True
    airflow.found["siding_retrain"]["old"] = "success"
    run(airflow, monkeypatch)
    assert airflow.done == ["siding_build own success", "siding_retrain of-own success"]


def test_what_is_unfinished_comes_first(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    airflow.found["siding_build"]["cut-off"] = "running"
    airflow.found["siding_retrain"]["asleep"] = "queued"
    said = run(airflow, monkeypatch)
    assert airflow.done == [
        "siding_build cut-off success",
        "siding_retrain asleep success",
        "siding_build own success",
    ]
    assert "Night of siding that is not finished yet" in said


def test_a_training_that_waits_for_an_earlier_one(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    airflow.due = True
    trigger = airflow.trigger

    def trigger_beside_another(dag_id: str) -> str:
        airflow.found["siding_retrain"]["by-hand"] = "running"
        return trigger(dag_id)

    airflow.found["siding_retrain"]["by-hand"] = "success"
    monkeypatch.setattr(airflow, "trigger", trigger_beside_another)
    run(airflow, monkeypatch)
    assert airflow.done == [
        "siding_build own success",
        "siding_retrain by-hand success",
        "siding_retrain of-own success",
    ]


def test_an_earlier_night_that_waits_is_given_up(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    airflow.found["siding_build"]["waiting"] = "running"
    airflow.ends["waiting"] = "running"
    run(airflow, monkeypatch)
    assert airflow.done == [
        "siding_build waiting running",
        "siding_build waiting given up",
        "siding_build own success",
    ]


@pytest.mark.parametrize(("ended", "hint"), [("running", " Airflow tries again in five minutes."), ("failed", "")])
def test_a_night_that_fails(airflow: Airflow, monkeypatch: pytest.MonkeyPatch, ended: str, hint: str) -> None:
    airflow.ends["own"] = ended
    key = run_key("build", "siding", "own")
    airflow.ledger.fail("siding", key, "collect:shop", "source shop: nobody is there.")
    with pytest.raises(UserError) as caught:
        run(airflow, monkeypatch)
    assert str(caught.value) == f"source shop: nobody is there.{hint}"


def test_what_can_come_to_nothing_new_is_said_before_a_training(tmp_path: Path, monkeypatch) -> None:
    nights.write_first_day(tmp_path / "documents")
    nights.write_config(tmp_path / "config", tmp_path / "documents")
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path / "config"))
    ledger, console = open_context("siding", "").ledger, Console(file=io.StringIO(), width=80)
    asked = Loop(console, Session(None, None, "", ""), ledger, "siding")
    assert nights.run_night("one")
    config = load_model("siding").training
    made = TrainingRun("siding", "r", 1, "/gone", "sha256:0", config_hash(config), 42, "/gone", "ab", {})
    ledger.record_training("run", made)
    asked._tell_of_a_twin(None)  # it was refused, and may fare better beside another champion
    assert not console.file.getvalue()
    detail = {"version": "1", "run_id": "r", "snapshot": 1, "took_over_from": None, "previous": None}
    ledger.decide("siding", "promotion", "run", "promoted", "every gate passed", **detail)
    asked._tell_of_a_twin(None)
    assert "The champion was trained on snapshot 1 by these settings" in console.file.getvalue()
