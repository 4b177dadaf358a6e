"""A change of the rules reaches what was collected before; bytes expire and their custody stays; floods are held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from sovereign_tasks.ledger import Ledger, open_ledger
from sovereign_tasks.records import document_id, keyed_hash
from sovereign_tasks.stages.context import live_documents, open_context
from sovereign_tasks.store import SCHEMAS
from tests.unit.stages import nights


def change_config(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "config" / "siding.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def rewrite_dollars(tmp_path: Path) -> None:
    rule = "{pattern: ' dollars a year', replace: ' USD yearly', examples: {'9 dollars a year': '9 USD yearly'}}"
    change_config(tmp_path, "nail]}", f"nail], rewrites: [{rule}]}}")


def last_reports(ledger: Ledger) -> dict[str, object]:
    return {r.stage: r for r in ledger.reports("siding", ledger.builds("siding")[-1])}


def texts(state: Path) -> list[str]:
    context = open_context("siding", "x")
    return live_documents(context, context.ledger.builds("siding"), ["text"])["text"].to_pylist()


def bring_flood(documents: Path, tmp_path: Path, count: int) -> None:
    """A first night, and a second that brings near-equal items, with a bound of 12 on these."""
    change_config(tmp_path, "consent: own-content", "consent: own-content, max_alike: 12")
    change_config(tmp_path, "min_answer_chars: 20", "min_answer_chars: 20, validation: {max_duplicate_share: 1}")
    nights.run_night("one")
    for n in range(count):
        text = nights.page("oak", 40).replace("painted?", f"painted in county {n}?")
        (documents / f"flood-{n}.md").write_text(text + f"\nCrew {n} looked after house {n * 7} in street {n * 13}.\n")
    nights.run_night("two")


def test_new_rules_are_put_to_the_bytes_that_are_kept(state: Path, documents: Path, tmp_path: Path) -> None:
    nights.run_night("one")
    assert all("dollars a year" in text for text in texts(state))
    rewrite_dollars(tmp_path)
    nights.run_night("two")
    assert len(texts(state)) == 10
    assert all("USD yearly" in text and "dollars a year" not in text for text in texts(state))
    reports = last_reports(open_ledger(state))
    assert reports["collect:house"].rejected == {"not_modified": 10}
    assert reports["curate:house"].notes["again"] == 10
    nights.run_night("three")
    assert "again" not in last_reports(open_ledger(state))["curate:house"].notes


def test_what_has_no_bytes_any_more_is_stale_until_it_is_fetched_in_full(
    state: Path, documents: Path, tmp_path: Path
) -> None:
    nights.run_night("one")
    expired = [document_id("house", name, "") for name in ("cedar.md", "pine.md")]
    open_context("siding", "x").store.delete("raw", "doc_id", expired)
    rewrite_dollars(tmp_path)
    nights.run_night("two")
    reports = last_reports(open_ledger(state))
    assert (reports["curate:house"].notes["again"], reports["publish"].notes["stale"]) == (8, 2)
    assert sum("dollars a year" in text for text in texts(state)) == 2
    nights.run_night("three")
    reports = last_reports(open_ledger(state))
    assert reports["collect:house"].rows_out == 2
    assert reports["publish"].notes["stale"] == 0
    assert all("USD yearly" in text for text in texts(state))


def test_bytes_expire_by_source_and_their_custody_stays(state: Path, documents: Path) -> None:
    nights.run_night("one")
    context = open_context("siding", "x")
    builds, tomorrow = context.ledger.builds("siding"), datetime.now(UTC) + timedelta(days=1)
    own = context.store.read("raw", builds).select(SCHEMAS["raw"].names)
    old = own.to_pylist()[0] | {"source": "taken-out", "fetched_at": tomorrow - timedelta(days=40)}
    context.store.append("raw", [own, pa.Table.from_pylist([old], own.schema)], builds[0])
    nights.run_night("two")
    assert context.store.read("raw", builds, ["source"])["source"].to_pylist() == ["house"] * 10
    context.store.expire("raw", "fetched_at", {"house": tomorrow}, tomorrow)
    assert context.store.read("raw", builds, ["doc_id"]).num_rows == 0
    kept = {row["address"]: row for row in context.store.read("custody", builds).to_pylist()}
    cedar = kept[keyed_hash("address", "house", "cedar.md")]
    assert cedar["digest"] == keyed_hash("body", (documents / "cedar.md").read_bytes())
    assert (cedar["licence"], cedar["consent"], cedar["source"]) == ("owner", "own-content", "house")
    assert cedar["fetched_at"] <= datetime.now(UTC)
    assert len(kept) == 10
    assert "body" not in cedar


def test_a_flood_from_one_source_is_held_and_let_in_when_the_owner_says_so(
    state: Path, documents: Path, tmp_path: Path
) -> None:
    bring_flood(documents, tmp_path, 20)
    assert len(texts(state)) == 10
    assert last_reports(open_ledger(state))["deduplicate"].rejected["flood"] == 20
    change_config(tmp_path, "max_alike: 12", "max_alike: 30")
    nights.run_night("three")
    assert len(texts(state)) > 10
    assert "flood" not in last_reports(open_ledger(state))["deduplicate"].rejected
