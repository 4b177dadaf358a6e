"""Tables of many small files are written anew as fewer with the same rows, and old logs go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.stages import maintenance, snapshots
from sovereign_tasks.stages.context import open_context

from . import nights


def test_compacted_tables_hold_the_same_and_verify(state: Path, documents: Path, tmp_path: Path) -> None:
    (tmp_path / "config" / "platform.yaml").write_text("maintenance: {small_files: 2}\n")
    nights.run_night("one")
    nights.write_second_day(documents)
    nights.run_night("two")
    context = open_context("siding", "x")
    before = snapshots.load_splits(context, context.ledger.snapshot("siding", 2))
    assert maintenance.tidy("siding", "by hand")["files_spared"] >= 3
    assert len(list((state / "tables" / "siding" / "documents").glob("*.parquet"))) == 1
    assert snapshots.load_splits(context, context.ledger.snapshot("siding", 2)) == before
    snapshots.verify(context, lambda line: None)
    (documents / "vinyl.md").write_text(nights.page("vinyl", 61))
    assert nights.run_night("three")
    snapshots.verify(context, lambda line: None)


def test_a_damaged_file_is_told_and_nothing_is_written_anew(state: Path, documents: Path, tmp_path: Path) -> None:
    (tmp_path / "config" / "platform.yaml").write_text("maintenance: {small_files: 2}\n")
    nights.run_night("one")
    (part,) = (state / "tables" / "siding" / "custody").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-1] + b"\0")
    with pytest.raises(UserError, match="is not as it was written"):
        maintenance.tidy("siding", "by hand")


def test_old_logs_go_and_new_ones_stay(state: Path, documents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(state / "airflow"))
    old, new = state / "airflow" / "logs" / "a run" / "1.log", state / "logs" / "scheduler.log"
    for path in (old, new):
        path.parent.mkdir(parents=True)
        path.write_text("said")
    os.utime(old, (1_700_000_000, 1_700_000_000))
    assert maintenance.clear_logs() == {"logs_removed": 1}
    assert new.exists()
    assert not old.parent.exists()
