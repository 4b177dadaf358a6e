"""What is said of a run while it goes on, where nothing can be drawn over."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.terminal import follow as following
from sovereign_tasks.terminal.follow import Outcome, follow, read_steps


class Airflow:
    """A run whose first source is being collected for a few looks; then it ends."""

    base_url = "http://127.0.0.1:8080"

    def __init__(self, looks: int, ends: str = "success", publish: str | None = None) -> None:
        self.looks, self.ends, self.publish = looks, ends, publish

    def dag_run(self, dag_id: str, run_id: str) -> dict[str, str]:
        self.looks -= 1
        return {"state": self.ends if self.looks < 0 else "running"}

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        dates = {"start_date": "2020-01-01T00:00:00+00:00", "end_date": "2020-01-01T00:01:05+00:00"}
        return [
            {"task_id": "collect", "state": "running", "map_index": 0, "rendered_map_index": "shop"} | dates,
            {"task_id": "collect", "state": "queued", "map_index": 1, "rendered_map_index": "1"} | dates,
            {"task_id": "publish", "state": self.publish, "map_index": -1, "rendered_map_index": None} | dates,
        ]


def watch(state: Path, airflow: Airflow, monkeypatch: pytest.MonkeyPatch, **console: Any) -> tuple[str, Outcome]:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.0)
    ledger = open_ledger(state)
    ledger.advance("siding", "r", "collect:shop", 3, 40)
    ledger.fail("siding", "r", "collect:shop", "source shop: nobody is there.")
    out = io.StringIO()
    outcome = follow(
        airflow,  # type: ignore[arg-type]
        ledger,
        Console(file=out, width=200, **console),
        model="siding",
        dag_id="siding_build",
        run_id="x",
        run="r",
        check=lambda: None,
    )
    return out.getvalue(), outcome


def test_what_runs_is_said_once_in_a_while(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "TELL_SECONDS", 0.0)
    said, _ = watch(state, Airflow(2), monkeypatch)
    assert [line.strip() for line in said.splitlines() if line.strip()] == ["… collect:shop 3/40 65 s"] * 3
    monkeypatch.setattr(following, "TELL_SECONDS", 3600.0)
    assert watch(state, Airflow(2), monkeypatch)[0].strip() == ""
    monkeypatch.setattr(following, "TELL_SECONDS", 0.0)
    assert "…" not in watch(state, Airflow(2), monkeypatch, force_terminal=True)[0]


def test_a_task_that_asks_a_person_says_where_once(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = watch(state, Airflow(2, publish="awaiting_input"), monkeypatch)[0].splitlines()
    where = "http://127.0.0.1:8080/dags/siding_build/runs/x/tasks/publish/required_actions"
    assert line == f" ? publish waits for your answer: {where}"


def test_a_source_that_airflow_does_not_know_yet_has_no_number() -> None:
    stages = [step.stage for step in read_steps(Airflow(0), "siding_build", "x")]  # type: ignore[arg-type]
    assert stages == ["collect", "collect:shop", "publish"]


def test_the_reason_is_the_ledgers_own(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch(state, Airflow(0, "failed"), monkeypatch)[1].reason == "source shop: nobody is there."
