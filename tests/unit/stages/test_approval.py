"""What a person's say on a candidate is good for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.records import GateDecision
from sovereign_tasks.stages.approval import APPROVED, REJECTED, check_approved, record
from sovereign_tasks.stages.context import Context, open_context

from .test_rules import change_config


def judge(context: Context, version: str) -> None:
    context.ledger.record_gates(context.run, GateDecision("siding", f"r{version}", version, [], passed=True))


def test_an_approval_is_of_the_version_that_was_shown(documents: Path, tmp_path: Path) -> None:
    judge(open_context("siding", "run"), "3")
    assert check_approved(open_context("siding", "run")) == ""  # nobody need be asked
    change_config(
        tmp_path,
        "training: {base_model: scratch}",
        "training: {base_model: scratch}\napproval: {needed: true}",
    )
    context = open_context("siding", "run")
    with pytest.raises(UserError, match="run run waits for its approval, so it can't be promoted"):
        check_approved(context)
    assert record("siding", "run", REJECTED, "", "")["version"] == "3"
    with pytest.raises(UserError, match="run run was rejected"):
        check_approved(context)
    assert context.ledger.decisions("siding", "approval", "run")[0]["reason"] == "nobody answered in time"
    record("siding", "run", APPROVED, "read it", "ann")
    assert check_approved(context) == "ann"
    judge(context, "4")  # trained and judged again
    with pytest.raises(UserError, match="version 3 of run run was approved, and it has made version 4 since"):
        check_approved(context)
    record("siding", "run", APPROVED, "read it too", "tom")
    assert check_approved(context) == "tom"
