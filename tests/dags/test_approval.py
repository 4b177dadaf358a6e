"""The task between gates and promotion in which a person decides."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.records import GateDecision, GateRow
from sovereign_tasks.stages.approval import check_approved
from sovereign_tasks.stages.context import open_context

from .test_dags import load


@pytest.fixture
def ledger(config: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A candidate that passed its gates, in a model whose promotions wait for a person."""
    file = config / "roofing.yaml"
    file.write_text(file.read_text() + "\napproval: {needed: true, hours: 24}\n")
    monkeypatch.setenv("SOVEREIGN_DEMO", "127.0.0.1:1")
    monkeypatch.setenv("SOVEREIGN_DEMO_DOCUMENTS", str(config))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:5000")
    monkeypatch.delenv("MLFLOW_PUBLIC_URI", raising=False)
    evil = "<img src=x onerror=alert(1)> | [click](javascript:alert(1)) {{ ti }}\n# *new* `x`"
    rows = [
        GateRow("nll against base", "nll", "base", 3.07, 3.85, 0.78, 0.70, 0.84, 0.0, True, evil),
        GateRow("nll against champion", "nll", "champion", 3.07, *[math.nan] * 4, 0.0, True, "no champion yet"),
    ]
    ledger = open_context("roofing", "r1").ledger
    ledger.record_gates("r1", GateDecision("roofing", "d41f", "2", rows, True))
    return ledger


def approval(config: Path) -> Any:
    return load(config).dags["roofing_retrain"].get_task("approve")


CONTEXT = {
    "ti": SimpleNamespace(xcom_pull=lambda task_ids: {"gate": {"run": "r1"}}[task_ids]),
    "task_instance": SimpleNamespace(id="t1"),
}


def test_nobody_is_asked_unless_the_settings_say_so(config: Path) -> None:
    retrain = load(config).dags["roofing_retrain"]
    assert "approve" not in retrain.task_ids
    assert retrain.get_task("promote").upstream_task_ids == {"gate"}


def test_a_promotion_waits_for_a_person_and_silence_refuses(config: Path, ledger: Ledger) -> None:
    task = approval(config)
    assert (task.upstream_task_ids, task.downstream_task_ids) == ({"gate"}, {"promote"})
    assert (task.defaults, task.response_timeout, task.execution_timeout) == (["Reject"], timedelta(hours=24), None)
    assert task.fail_on_reject is False


def test_the_evidence_is_in_the_body_with_nothing_taken_for_markup(
    config: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import TaskAwaitingInput

    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **what: asked.update(what)
    )
    with pytest.raises(TaskAwaitingInput):
        approval(config).execute(CONTEXT)
    assert asked["subject"] == "Promote version 2 of roofing?"
    first, _, head, _, base, champion, _, link = asked["body"].splitlines()
    assert first == "It passed every gate and would be the first champion."
    assert head.startswith("| gate | asked | new | reference | gain |")
    must = "must be better than the"
    assert base.startswith(
        f"| nll against base | {must} base | 3.0700 | 3.8500 | 0.7800 | 0.7000 to 0.8400 | passed | "
    )
    assert r"\<img src=x onerror=alert\(1\)\> \| \[click\]\(javascript:alert\(1\)\) \{\{ ti \}\} \# \*new\*" in base
    assert champion == f"| nll against champion | {must} champion | 3.0700 |  |  |  | passed over | no champion yet |"
    assert link.startswith("[Its run in MLflow](http://127.0.0.1:5000/#/runs/d41f)")


@pytest.mark.parametrize(
    ("option", "by", "reason", "kept"),
    [
        ("Approve", {"id": "1", "name": "ann"}, "reads well", ("approved", "reads well", "ann")),
        ("Reject", {"id": "1", "name": "ann"}, "too terse", ("rejected", "too terse", "ann")),
        ("Reject", None, "", ("rejected", "nobody answered in time", "")),
    ],
)
def test_the_answer_is_kept_with_who_and_why(
    config: Path,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    by: dict[str, str] | None,
    reason: str,
    kept: tuple[str, str, str],
) -> None:
    context = open_context("roofing", "r1")
    with pytest.raises(UserError, match="run r1 waits for its approval, so it can't be promoted"):
        check_approved(context)
    task, skipped = approval(config), []
    monkeypatch.setattr(task, "skip", lambda ti, tasks: skipped.extend(t.task_id for t in tasks))
    event = {"chosen_options": [option], "params_input": {"reason": reason}, "responded_by_user": by}
    task.execute_complete(CONTEXT | {"task": task}, event | {"responded_at": datetime.now(UTC), "timedout": not by})
    (decision,) = ledger.decisions("roofing", "approval", "r1")
    assert (decision["outcome"], decision["reason"], decision["detail"]["by"]) == kept
    assert skipped == ([] if option == "Approve" else ["promote"])
    if option == "Approve":
        assert check_approved(context) == "ann"
    else:
        with pytest.raises(UserError, match="run r1 was rejected, so it can't be promoted"):
            check_approved(context)
