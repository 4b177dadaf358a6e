"""The tables: readers see only the builds they name, retries leave no second copy, deletion is physical."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Rejection
from sovereign_tasks.store import SCHEMAS, Store


def rows(*ids: str) -> pa.Table:
    return Rejection.to_table([Rejection("curate", i, "web", "too_short", "3", f"text of {i}") for i in ids])


def raw(source: str, year: int) -> pa.Table:
    """One raw item of a source, fetched at the start of a year."""
    row = dict.fromkeys(SCHEMAS["raw"].names) | {
        "doc_id": "a",
        "source": source,
        "fetched_at": datetime(year, 1, 1, tzinfo=UTC),
    }
    return pa.Table.from_pylist([row], SCHEMAS["raw"])


def test_rows_of_unnamed_builds_stay_unseen(state: Path) -> None:
    store = Store("roofing")
    store.append("quarantine", [rows("a")], "b1")
    store.append("quarantine", [rows("b")], "b2")
    seen = store.read("quarantine", ["b1"])
    assert seen["row_id"].to_pylist() == ["a"]
    assert store.read("quarantine", ["b2", "b1"])["row_id"].to_pylist() == ["b", "a"]


def test_a_retry_replaces_what_the_first_try_left(state: Path) -> None:
    store = Store("roofing")
    store.append("quarantine", [rows("a", "b")], "b1")
    store.append("quarantine", [rows("c")], "b1")
    assert store.read("quarantine", ["b1"])["row_id"].to_pylist() == ["c"]


def test_reading_before_anything_was_written_gives_no_rows(state: Path) -> None:
    assert Store("roofing").read("quarantine", ["b1"], ["row_id"]).num_rows == 0


def test_deleted_text_is_nowhere_on_disk(state: Path) -> None:
    store = Store("roofing")
    store.append("quarantine", [rows("deadbeef", "cafe")], "b1")
    store.delete("quarantine", "row_id", ["deadbeef"])
    left = [p for p in (state / "tables").rglob("*") if p.is_file() and b"text of deadbeef" in p.read_bytes()]
    assert left == []
    store.append("quarantine", [rows("beef")], "b2")
    assert store.read("quarantine", ["b1", "b2"])["row_id"].to_pylist() == ["cafe", "beef"]
    assert store.read("quarantine", ["b1"])["row_id"].to_pylist() == ["cafe"]


@pytest.mark.parametrize(
    "finish",
    [
        lambda store: store.delete("quarantine", "row_id", ["deadbeef"]),
        lambda store: store.delete("quarantine", "row_id", []),  # no row tells any more what was to go
        lambda store: store.drop_uncommitted(["b1"]),
    ],
)
def test_a_removal_that_was_cut_off_is_finished_by_the_next_call(state: Path, finish: Callable[[Store], None]) -> None:
    store = Store("roofing")
    store.append("quarantine", [rows("deadbeef", "cafe")], "b1")
    DeltaTable(str(state / "tables" / "roofing" / "quarantine")).delete("row_id = 'deadbeef'")
    finish(store)
    assert not any(b"text of deadbeef" in p.read_bytes() for p in (state / "tables").rglob("*.parquet"))
    assert store.read("quarantine", ["b1"])["row_id"].to_pylist() == ["cafe"]


def test_bytes_that_a_killed_call_let_expire_are_gone_after_the_next(state: Path) -> None:
    store = Store("roofing")
    store.append("raw", [raw("web", 2024)], "b1")
    DeltaTable(str(state / "tables" / "roofing" / "raw")).delete("source = 'web'")
    store.expire("raw", "fetched_at", {}, datetime(2025, 1, 1, tzinfo=UTC))
    assert list((state / "tables").rglob("part-*.parquet")) == []


def test_bytes_expire_by_their_source_and_those_of_a_source_that_is_no_more_too(state: Path) -> None:
    store = Store("roofing")
    store.append("raw", [raw(source, year) for source in ("web", "mail", "old") for year in (2022, 2024, 2026)], "b1")
    years = {"web": datetime(2023, 1, 1, tzinfo=UTC), "mail": datetime(2027, 1, 1, tzinfo=UTC)}
    store.expire("raw", "fetched_at", years, datetime(2025, 1, 1, tzinfo=UTC))
    left = store.read("raw", ["b1"], ["source", "fetched_at"]).to_pylist()
    kept = {("web", 2024), ("web", 2026), ("old", 2026)}  # in whatever order a removal leaves them
    assert {(row["source"], row["fetched_at"].year) for row in left} == kept


def test_what_was_killed_while_it_wrote_goes_for_good(state: Path) -> None:
    folder = state / "tables" / "roofing" / "quarantine"
    folder.mkdir(parents=True)
    (folder / "part-0.parquet#1").write_text("text of deadbeef")  # as the object store's crate begins a file
    Store("roofing").drop_uncommitted([])
    assert list(folder.iterdir()) == []


def test_what_a_failed_build_left_goes_for_good(state: Path) -> None:
    store = Store("roofing")
    store.append("quarantine", [rows("cafe")], "b1")
    store.append("quarantine", [rows("deadbeef")], "b2")
    store.drop_uncommitted(["b1"])
    assert store.read("quarantine", ["b1", "b2"])["row_id"].to_pylist() == ["cafe"]
    assert not any(b"text of deadbeef" in p.read_bytes() for p in (state / "tables").rglob("*.parquet"))


def test_the_log_says_whose_rows_there_are_unless_a_file_has_those_of_several_builds(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store("roofing")
    for build_id, row_id in (("a1", "cafe"), ("b2", "beef"), ("c3", "fade")):
        store.append("quarantine", [rows(row_id)], build_id)
    with monkeypatch.context() as patched:
        patched.setattr(DeltaTable, "to_pyarrow_dataset", None)
        store.drop_uncommitted(["a1", "b2", "c3"])
    DeltaTable(str(state / "tables" / "roofing" / "quarantine")).optimize.compact()
    store.drop_uncommitted(["a1", "c3"])
    assert store.read("quarantine", ["a1", "b2", "c3"])["row_id"].to_pylist() == ["cafe", "fade"]


def test_an_id_that_is_no_id_never_reaches_a_predicate(state: Path) -> None:
    store = Store("roofing")
    store.append("quarantine", [rows("a")], "b1")
    with pytest.raises(ValueError, match="not an id"):
        store.delete("quarantine", "row_id", ["x' OR '1'='1"])


def test_the_log_keeps_no_text(state: Path) -> None:
    Store("roofing").append("quarantine", [rows("a")], "b1")
    logs = [p.read_text() for p in (state / "tables").rglob("*.json")]
    assert logs
    assert not any("text of a" in log for log in logs)


def test_staging_is_whole_or_absent_and_goes_with_the_build(state: Path) -> None:
    store = Store("roofing")
    store.stage("b1", "curated", rows("a"))
    assert store.staged("b1", "curated") == rows("a")
    store.clear_staging()
    with pytest.raises(UserError, match="start a new night"):
        store.staged("b1", "curated")
