"""Versions can be listed, compared and held against what was published; what no longer holds is kept out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.records import Rejection
from sovereign_tasks.stages import retrain, snapshots
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.store import newest_rows

from . import nights
from .test_rules import change_config


def quarantined(context: Context) -> dict[str, Rejection]:
    rows = context.store.read("quarantine", context.ledger.builds("siding"))
    return {r.row_id: r for r in Rejection.from_table(newest_rows(rows, "row_id"))}


def verify(context: Context) -> list[str]:
    said: list[str] = []
    snapshots.verify(context, said.append)
    return said


def test_a_day_of_changes_is_listed_and_told_apart(state: Path, documents: Path) -> None:
    nights.run_night("one")
    nights.write_second_day(documents)
    nights.run_night("two")
    context = open_context("siding", "x")
    second, first = snapshots.list_snapshots(context)
    assert (first.snapshot.number, first.joined, first.left) == (1, 30, 0)
    assert second.joined - second.left == sum(second.snapshot.counts.values()) - 30
    found = snapshots.diff(context, 1, 2)
    kinds = {what: [c for c in found.changes if c.what == what] for what in ("added", "removed", "changed")}
    assert found.unchanged + len(kinds["removed"]) + len(kinds["changed"]) == 30
    assert len(kinds["added"]) + len(kinds["changed"]) == second.joined
    texts = snapshots.read_texts(context, {i for c in kinds["changed"] for i in (c.old, c.new)})
    cedar = [(texts[c.old].answer, texts[c.new].answer) for c in kinds["changed"] if "cedar" in texts[c.new].question]
    assert ("about 20 years" in cedar[0][0]) or any("about 20 years" in old for old, _ in cedar)
    assert any("about 33 years" in new for _, new in cedar)


def test_all_of_a_healthy_model_verifies(state: Path, documents: Path) -> None:
    nights.run_night("one")
    nights.write_second_day(documents)
    nights.run_night("two")
    files, *rest = verify(open_context("siding", "x"))
    assert files.endswith("files of the tables are as they were written")
    assert [line.partition(":")[0] for line in rest] == ["snapshot 1", "snapshot 2"]


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("table", ["examples", "membership"])
def test_a_flipped_bit_stops_training(state: Path, documents: Path, table: str) -> None:
    nights.run_night("one")
    (part,) = (state / "tables" / "siding" / table).glob("*.parquet")
    _flip_a_bit(part)
    with pytest.raises(UserError, match=rf"siding: the file {table}/part-.* is not as it was written; restore"):
        retrain.preflight("siding", "by hand", None, by_hand=True)


def test_a_missing_file_stops_training(state: Path, documents: Path) -> None:
    nights.run_night("one")
    (part,) = (state / "tables" / "siding" / "examples").glob("*.parquet")
    part.unlink()
    with pytest.raises(UserError, match=r"siding: the file examples/part-.* is missing"):
        retrain.preflight("siding", "by hand", None, by_hand=True)


def test_a_file_that_no_night_wrote_stops_training(state: Path, documents: Path) -> None:
    nights.run_night("one")
    folder = state / "tables" / "siding" / "examples"
    (part,) = folder.glob("*.parquet")
    (folder / "part-00099-extra.parquet").write_bytes(part.read_bytes())
    with pytest.raises(UserError, match=r"part-00099-extra.parquet was not written by a night"):
        retrain.preflight("siding", "by hand", None, by_hand=True)


def test_a_damaged_log_stops_training(state: Path, documents: Path) -> None:
    nights.run_night("one")
    for log in (state / "tables" / "siding" / "examples" / "_delta_log").glob("*.json"):
        log.write_text("{")
    with pytest.raises(UserError, match=r"log of the table examples can't be read|is not as it was written"):
        retrain.preflight("siding", "by hand", None, by_hand=True)


def test_tables_that_are_being_written_are_looked_at_later(state: Path, documents: Path) -> None:
    nights.run_night("one")
    context = open_context("siding", "x")
    (state / "tables" / "siding" / "raw" / "part-1-unnamed.parquet").write_bytes(b"half")
    with context.ledger.lease("publish/siding", "a night"), pytest.raises(TransientError, match="being written"):
        verify(context)
    with pytest.raises(UserError, match="was not written by a night"):
        verify(context)


def test_what_is_lost_from_a_table_is_missed_after_the_next_night_too(state: Path, documents: Path) -> None:
    nights.run_night("one")
    (part,) = (state / "tables" / "siding" / "custody").glob("*.parquet")
    part.unlink()
    nights.write_second_day(documents)
    assert nights.run_night("two")
    with pytest.raises(UserError, match=rf"the file custody/{part.name} is missing"):
        verify(open_context("siding", "x"))


def test_a_sealed_group_is_neither_trained_on_nor_judged_by(state: Path, documents: Path, tmp_path: Path) -> None:
    change_config(tmp_path, "sealed_share: 0", "sealed_share: 0.4")
    nights.run_night("one")
    context = open_context("siding", "x")
    (snapshot,) = context.ledger.snapshots("siding")
    splits = snapshots.load_splits(context, snapshot)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 0} | snapshot.counts
    groups = [{e.group for e in rows} for rows in splits.values()]
    assert len(groups[2]) > 0
    assert sum(map(len, groups)) == len(set.union(*groups)) == 10


FAQ = "# Prices\n\n## What does cedar siding cost a foot?\n\nCedar siding costs ${} a foot with the trim, nailed up.\n"


def test_the_newer_of_two_prices_is_learned_from(state: Path, documents: Path) -> None:
    old, new = documents / "list-of-spring.md", documents / "list-of-summer.md"
    old.write_text(FAQ.format(7) + "\nThe board of the house is pine.\n")
    os.utime(old, (1_700_000_000, 1_700_000_000))
    nights.run_night("one")
    new.write_text(FAQ.format(9) + "\nAsk for oak where the wall is in the sun, and plan a day for each side of it.\n")
    os.utime(new, (1_750_000_000, 1_750_000_000))
    nights.run_night("two")
    context = open_context("siding", "x")
    rows = [r for r in quarantined(context).values() if r.reason == versions.CONTRADICTED]
    assert [(r.measured.partition(",")[0], "$7 a foot" in r.text, len(r.twin)) for r in rows] == [("7", True, 32)]
    new.unlink()
    nights.run_night("three")
    texts = snapshots.load_splits(context, context.ledger.snapshots("siding")[-1])
    assert any("$7 a foot" in e.answer for rows in texts.values() for e in rows)
    assert not any("$9 a foot" in e.answer for rows in texts.values() for e in rows)


def test_what_is_too_old_leaves_and_returns_when_it_is_allowed_again(
    state: Path, documents: Path, tmp_path: Path
) -> None:
    for path in documents.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    nights.run_night("one")
    context = open_context("siding", "x")
    change_config(tmp_path, "kind: files,", "kind: files, max_age_days: 90,")
    nights.run_night("two")
    newest = context.ledger.snapshots("siding")[-1]
    assert sum(newest.counts.values()) == 0
    assert {r.reason for r in quarantined(context).values()} == {versions.TOO_OLD}
    change_config(tmp_path, "max_age_days: 90,", "max_age_days: 90000,")
    nights.run_night("three")
    first, _, third = context.ledger.snapshots("siding")
    assert third.content_hash == first.content_hash


def test_what_is_too_old_and_near_the_holdout_is_kept_out_once(state: Path, documents: Path, tmp_path: Path) -> None:
    for path in sorted(documents.iterdir()):
        (documents / f"copy-of-{path.name}").write_text(path.read_text().replace("every street", "all streets"))
    change_config(tmp_path, "domain:", "curation: {near_duplicate: 1.0}\ndomain:")
    nights.run_night("one")
    context = open_context("siding", "x")
    assert versions.NEAR_HOLDOUT in {r.reason for r in quarantined(context).values()}
    for path in documents.iterdir():
        path.write_text(path.read_text().replace("asks for", "wants"))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    change_config(tmp_path, "kind: files,", "kind: files, max_age_days: 90,")
    nights.run_night("two")
    reasons = [r.reason for r in quarantined(context).values()]
    assert {versions.NEAR_HOLDOUT, versions.TOO_OLD} <= {*reasons}
    assert sum(context.ledger.snapshots("siding")[-1].counts.values()) == 0


def test_what_a_killed_removal_took_away_is_not_missed(state: Path, documents: Path) -> None:
    nights.run_night("one")
    context = open_context("siding", "x")
    doc_ids = context.store.read("raw", context.ledger.builds("siding"), ["doc_id"])["doc_id"].to_pylist()
    context.store.delete("raw", "doc_id", doc_ids[:3])  # and was killed before it could seal what it left
    verify(context)


def test_changed_rules_of_deriving_reach_every_group(state: Path, documents: Path, tmp_path: Path) -> None:
    nights.run_night("one")
    change_config(tmp_path, "min_answer_chars: 20", "min_answer_chars: 103")
    nights.run_night("two")
    first, second = open_ledger(state).snapshots("siding")
    assert 0 < sum(second.counts.values()) < sum(first.counts.values())
    change_config(tmp_path, "min_answer_chars: 103", "min_answer_chars: 20")
    nights.run_night("three")
    assert open_ledger(state).snapshots("siding")[-1].content_hash == first.content_hash
