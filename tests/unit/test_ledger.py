"""The ledger: a commit is whole or absent, and small state comes back as it went in."""

from __future__ import annotations

import multiprocessing
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.ledger import Commit, Ledger, OperationalError, open_ledger
from sovereign_tasks.ledger.leases import this_process
from sovereign_tasks.ledger.tables import LEASES
from sovereign_tasks.records import GateDecision, GateRow, Snapshot, StageReport, Validator


@pytest.fixture
def ledger(state: Path) -> Ledger:
    return open_ledger(state)


def snapshot(number: int, build_id: str) -> Snapshot:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Snapshot("roofing", number, number - 1 or None, build_id, "c0ffee", {"train": 3}, "cfg", "0.1", at)


def commit(number: int, build_id: str, parent: int, **more) -> Commit:
    return Commit("roofing", build_id, parent, snapshot(number, build_id), {"rows": 1}, **more)


def test_a_commit_makes_build_snapshot_and_sources_visible_at_once(ledger: Ledger) -> None:
    v = Validator("http://a/", '"1"', "", "d1")
    ledger.commit(
        commit(1, "b1", 0, validators={"web": [v]}, cursors={"forum": {"last": "t3_9"}}, splits={"g": "train"})
    )
    assert ledger.builds("roofing") == ["b1"]
    assert ledger.snapshots("roofing") == [snapshot(1, "b1")]
    assert ledger.validators("roofing", "web") == {"http://a/": v}
    assert ledger.cursor("roofing", "forum") == {"last": "t3_9"}
    assert ledger.splits("roofing") == {"g": "train"}
    assert ledger.builds("siding") == []


def test_committing_twice_changes_nothing(ledger: Ledger) -> None:
    ledger.commit(commit(1, "b1", 0))
    ledger.commit(commit(1, "b1", 0))
    assert ledger.sequence("roofing") == 1


def test_a_build_that_another_overtook_is_refused_and_leaves_nothing(ledger: Ledger) -> None:
    ledger.commit(commit(1, "b1", 0))
    with pytest.raises(UserError, match="Another build of roofing"):
        ledger.commit(commit(2, "b2", 0, cursors={"forum": {"last": "x"}}))
    assert ledger.builds("roofing") == ["b1"]
    assert ledger.cursor("roofing", "forum") == {}


def test_builds_until_a_snapshot_leave_out_later_ones(ledger: Ledger) -> None:
    ledger.commit(commit(1, "b1", 0))
    ledger.commit(Commit("roofing", "b2", 1, None, {}))
    ledger.commit(commit(2, "b3", 2))
    assert ledger.builds("roofing", until_snapshot=1) == ["b1"]
    assert ledger.builds("roofing", until_snapshot=2) == ["b1", "b2", "b3"]


def test_an_unknown_snapshot_is_one_sentence(ledger: Ledger) -> None:
    with pytest.raises(UserError, match="no snapshot 7"):
        ledger.snapshot("roofing", 7)


def test_items_that_are_gone_go_and_others_stay(ledger: Ledger) -> None:
    ledger.commit(commit(1, "b1", 0, found={"web": [("http://a/", ""), ("http://b/", "")]}))
    ledger.commit(
        Commit("roofing", "b2", 1, None, {}, found={"web": [("http://a/", "")]}, gone={"web": [("http://b/", "")]})
    )
    assert ledger.items("roofing", "web") == [("http://a/", "")]


def test_reports_come_back_and_a_rerun_replaces_its_own(ledger: Ledger) -> None:
    ledger.report("roofing", "r", StageReport("collect", 1, 1))
    ledger.report("roofing", "r", StageReport("curate", 9, 5, {"too_short": 4}, 0.5))
    ledger.report("roofing", "r", StageReport("curate", 9, 6, {"too_short": 3}, 0.4))
    assert [r.stage for r in ledger.reports("roofing", "r")] == ["collect", "curate"]
    assert ledger.reports("roofing", "r")[1].rejected == {"too_short": 3}


def test_a_failure_is_kept_until_its_stage_succeeds(ledger: Ledger) -> None:
    ledger.fail("roofing", "r", "collect:a", "a is down")
    ledger.fail("roofing", "r", "collect:b", "b is down")
    ledger.report("roofing", "r", StageReport("collect:a", 1, 1))
    assert ledger.failures("roofing", "r") == {"collect:b": "b is down"}


def test_removals_are_owed_until_they_are_marked(ledger: Ledger) -> None:
    ledger.commit(commit(1, "b1", 0))
    assert ledger.unpurged("roofing") == [("b1", {"rows": 1})]
    ledger.mark_purged("roofing", "b1")
    assert ledger.unpurged("roofing") == []


def test_gate_rows_are_kept_with_the_verdict(ledger: Ledger) -> None:
    row = GateRow("nll>base", "nll", "base", 1.0, 2.0, 1.0, 0.5, 1.5, 0.0, True, "")
    bad = GateRow("nll>champion", "nll", "champion", 1.0, 0.9, -0.1, -0.2, 0.1, 0.0, False, "worse")
    ledger.record_gates("run", GateDecision("roofing", "abc", "3", [row, bad], False))
    assert ledger.gate_rows("roofing", "run") == [row, bad]
    assert ledger.decisions("roofing", "gate")[0]["reason"] == "refused by nll>champion"


def test_a_lease_keeps_others_out_and_lets_its_holder_in_again(ledger: Ledger) -> None:
    with ledger.lease("train/roofing", "run-1", 60):
        with pytest.raises(TransientError, match="held by another run"), ledger.lease("train/roofing", "run-2", 60):
            pass
        with ledger.lease("train/roofing", "run-1", 60):
            pass
    with ledger.lease("train/roofing", "run-2", 60):
        pass


def test_the_lease_of_a_killed_holder_expires_and_a_living_ones_does_not(ledger: Ledger) -> None:
    ledger._take_lease("x", "killed", 0.2, "elsewhere 1 1")
    time.sleep(0.3)
    with ledger.lease("x", "living", 0.2):
        time.sleep(0.5)
        with pytest.raises(TransientError, match="held by another run"), ledger.lease("x", "next", 60):
            pass


def test_a_retry_waits_for_an_earlier_try_that_still_lives_and_for_no_dead_one(ledger: Ledger) -> None:
    def hold() -> None:
        ledger._take_lease("x", "run-1", 60, this_process())
        time.sleep(60)

    older = multiprocessing.get_context("fork").Process(target=hold, daemon=True)
    older.start()
    while not ledger.is_held("x"):
        time.sleep(0.01)
    with pytest.raises(TransientError, match="earlier try that still runs"), ledger.lease("x", "run-1"):
        pass
    older.kill()
    older.join()
    with pytest.raises(TransientError, match="held by another run"), ledger.lease("x", "run-2"):
        pass
    with ledger.lease("x", "run-1"):
        pass


def test_a_retry_on_another_machine_waits_until_the_lease_runs_out(ledger: Ledger) -> None:
    ledger._take_lease("x", "run-1", 0.3, "elsewhere 1 1")
    with pytest.raises(TransientError, match="earlier try that still runs"), ledger.lease("x", "run-1"):
        pass
    time.sleep(0.4)
    with ledger.lease("x", "run-1"):
        pass


def test_a_lease_that_was_lost_is_told_when_the_body_ends(ledger: Ledger) -> None:
    def lose() -> None:
        with ledger.lease("x", "first", 0.2) as check:
            check()
            with ledger.engine.begin() as c:
                c.execute(LEASES.update().values(holder="second", expires_at=datetime(2100, 1, 1, tzinfo=UTC)))
            time.sleep(0.3)
            with pytest.raises(TransientError):
                check()

    with pytest.raises(TransientError, match="x is held by another run"):
        lose()
    with pytest.raises(TransientError, match="held"):
        ledger._take_lease("x", "third", 60, this_process())


def test_a_database_that_stumbles_once_ends_no_lease(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    take, tries = ledger._take_lease, []

    def stumble(*lease: Any) -> None:
        tries.append(lease)
        if len(tries) == 2:
            raise OperationalError("", {}, Exception())
        take(*lease)

    monkeypatch.setattr(ledger, "_take_lease", stumble)
    with ledger.lease("x", "first", 0.2):
        time.sleep(0.4)
    assert len(tries) > 2


def test_writers_in_parallel_lose_nothing(state: Path) -> None:
    def write(n: int) -> None:
        own = open_ledger(state)
        for i in range(20):
            own.advance("roofing", f"run{n}", "train", i + 1, 20)

    open_ledger(state)
    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ledger = open_ledger(state)
    assert [ledger.progress("roofing", f"run{n}")["train"] for n in range(4)] == [(20, 20)] * 4


def test_a_ledger_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be opened"):
        Ledger(f"sqlite:///{tmp_path}/missing/ledger.db")


def test_an_exported_folder_is_remembered_with_the_snapshot_that_it_holds_now(ledger: Ledger) -> None:
    ledger.record_export("roofing", "/out/a", 1)
    ledger.record_export("roofing", "/out/b", 2)
    ledger.record_export("roofing", "/out/a", 3)
    assert [(e.folder, e.snapshot) for e in ledger.exports("roofing")] == [("/out/b", 2), ("/out/a", 3)]
    assert ledger.exports("siding") == []
