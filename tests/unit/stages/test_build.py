"""A night is a transaction: killed after any write and tried again, it ends as if nothing had happened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.digests import Text, digest
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.ledger import Ledger, open_ledger
from sovereign_tasks.records import RawItem, document_id
from sovereign_tasks.stages import gather, retrain
from sovereign_tasks.stages.context import live_documents, open_bands, open_context
from sovereign_tasks.store import SCHEMAS, Store, newest_rows

from . import nights
from .test_rules import change_config

MOST_WRITES = 60


def contents(state: Path) -> dict[str, list]:
    """All that readers can see, in a form to compare: ids and hashes, no times."""
    ledger, store = open_ledger(state), Store("siding", str(state / "tables"))
    builds = ledger.builds("siding")
    seen: dict[str, list] = {
        "snapshots": [(s.number, s.content_hash, s.counts) for s in ledger.snapshots("siding")],
        "validators": sorted(ledger.validators("siding", "house")),
        "items": ledger.items("siding", "house"),
        "splits": sorted(ledger.splits("siding").items()),
    }
    keys = dict.fromkeys(("raw", "custody", "cleaned"), "doc_id") | {"documents": "doc_id", "quarantine": "row_id"}
    for table in SCHEMAS:
        key = keys.get(table, "example_id")
        seen[table] = sorted(store.read(table, builds, [key])[key].to_pylist())
    ledger.engine.dispose()  # its files are about to be removed
    return seen


def test_a_night_publishes_a_snapshot_and_finds_it_due(state: Path, documents: Path) -> None:
    assert nights.run_night("one")
    ledger = open_ledger(state)
    (snapshot,) = ledger.snapshots("siding")
    assert sum(snapshot.counts.values()) == 30
    assert snapshot.counts.keys() == {"holdout", "train"}
    assert ledger.decisions("siding", "retrain")[0]["outcome"] == "due"
    stages = [r.stage for r in ledger.reports("siding", ledger.builds("siding")[0])]
    assert stages == ["collect:house", "curate:house", "deduplicate", "examples", "validate", "publish"]


def test_what_holds_nothing_out_is_neither_due_nor_trained_on(state: Path, documents: Path, tmp_path: Path) -> None:
    change_config(tmp_path, "holdout_share: 0.3", "holdout_share: 0.000001")
    assert nights.run_night("one")
    (decided,) = open_ledger(state).decisions("siding", "retrain")
    assert decided["outcome"] == "not_due"
    assert decided["reason"] == (
        "30 new training examples (0 gone) of 5 needed: not due, since the snapshot holds out no example to judge a "
        "model by; add documents or sources, or raise dataset.holdout_share for those that are to come"
    )
    with pytest.raises(UserError, match="siding snapshot 1 can't be trained on: the snapshot holds out no example"):
        retrain.preflight("siding", "by hand", None, by_hand=True)


def test_a_second_night_without_news_publishes_nothing(state: Path, documents: Path) -> None:
    nights.run_night("one")
    before = contents(state)
    open_bands().add("cut-off", "siding", ["a"], digest([Text("a", "", "", "a roof")]))  # by a build given up on
    nights.run_night("two")
    ledger = open_ledger(state)
    assert open_bands().builds("siding") <= set(ledger.builds("siding"))
    assert contents(state) == before
    assert len(ledger.builds("siding")) == 2
    assert ledger.reports("siding", ledger.builds("siding")[1])[0].rejected == {"not_modified": 10}


def test_the_same_sources_give_the_same_hash_in_another_installation(
    state: Path, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.run_night("one")
    monkeypatch.setenv("SOVEREIGN_STATE", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    nights.run_night("another name")
    first, second = (open_ledger(s).snapshots("siding")[0] for s in (state, tmp_path / "other"))
    assert first.content_hash == second.content_hash


def test_a_second_day_changes_what_changed(state: Path, documents: Path) -> None:
    nights.run_night("one")
    nights.write_second_day(documents)
    nights.run_night("two")
    ledger = open_ledger(state)
    context = open_context("siding", "x")
    live = live_documents(context, ledger.builds("siding"), ["title", "url"])
    titles = live["title"].to_pylist()
    assert len(titles) == 10
    assert "Pine siding" not in titles
    assert "Aluminum siding" in titles
    assert set(live["url"].to_pylist()) == {""}  # a path may hold a name
    first, second = ledger.snapshots("siding")
    assert second.parent == first.number
    assert second.content_hash != first.content_hash
    state_now = newest_rows(context.store.read("membership", ledger.builds("siding")), "example_id")
    assert len(versions.candidates(state_now)) == 30
    assert sum(second.counts.values()) == len(versions.members(state_now)) > 25
    collected = ledger.reports("siding", ledger.builds("siding")[1])[0]
    assert (collected.rows_out, collected.notes["gone"]) == (2, 1)


def test_a_source_that_fails_leaves_the_night_to_the_others(state: Path, documents: Path, tmp_path: Path) -> None:
    path = tmp_path / "config" / "siding.yaml"
    missing = f'  - {{name: gone, kind: files, folder: "{tmp_path}/none", licence: owner, consent: own-content}}\n'
    path.write_text(path.read_text().replace("sources:\n", f"sources:\n{missing}"))
    assert nights.run_night("one")
    ledger = open_ledger(state)
    assert sum(ledger.snapshots("siding")[0].counts.values()) == 30
    failures = ledger.failures("siding", ledger.builds("siding")[0])
    assert list(failures) == ["collect:gone"]
    assert "does not exist" in failures["collect:gone"]
    night = {"failed": {"gone": failures["collect:gone"]}}
    with pytest.raises(UserError, match=r"published without gone\. source gone: folder .* does not exist"):
        gather.report_failed(night)
    assert gather.report_failed({"failed": {}}) == {"failed": {}}


def test_a_source_that_may_heal_is_tried_again_before_it_is_given_up(
    state: Path, documents: Path, tmp_path: Path
) -> None:
    path = tmp_path / "config" / "siding.yaml"
    forum = "  - {name: forum, kind: reddit, subreddits: [S], agreement: ours, licence: o, consent: c, "
    forum += 'endpoint: "http://127.0.0.1:9/"}\n'
    path.write_text(path.read_text().replace("sources:\n", f"sources:\n{forum}"))
    job = next(job for job in gather.begin("siding", "one") if job["source"] == "forum")
    with pytest.raises(TransientError):
        gather.collect(job, last_try=False)
    assert "can't be read" in gather.collect(job, last_try=True)["failed"]


def test_when_a_kept_copy_goes_the_next_takes_its_place(state: Path, documents: Path) -> None:
    long = nights.page("cork", 90) + "\nThis page was last looked at by the whole crew in spring.\n"
    (documents / "cork.md").write_text(long)
    (documents / "cork-copy.md").write_text(nights.page("cork", 90))
    nights.run_night("one")

    def live() -> list[str]:
        context, builds = open_context("siding", "x"), open_ledger(state).builds("siding")
        docs = set(live_documents(context, builds, ["doc_id"])["doc_id"].to_pylist())
        return [name for name in ("cork-copy.md", "cork.md") if document_id("house", name, "") in docs]

    assert live() == ["cork.md"]
    (documents / "cork.md").unlink()
    nights.run_night("two")
    assert live() == []
    nights.run_night("three")
    assert live() == ["cork-copy.md"]


@pytest.mark.parametrize(("day", "first"), [(1, 1), (2, 2)])
def test_killed_after_any_write_a_night_ends_as_if_nothing_happened(
    state: Path, documents: Path, tmp_path: Path, day: int, first: int
) -> None:
    if day == 2:
        nights.run_night("one")
        nights.write_second_day(documents)
    start = tmp_path / "start"
    shutil.copytree(state, start)
    nights.run_night("night")
    wanted, visible_before = contents(state), contents(start)
    writes = range(first, MOST_WRITES, nights.STEP)
    for killed_after, again in nights.killed(
        start, tmp_path, lambda n: nights.run_night("night", kill_after=n), writes
    ):
        assert contents(again) in (visible_before, wanted), f"half a night after write {killed_after}"
        assert nights.run_night("night")
        assert contents(again) == wanted, f"killed after write {killed_after}"
    assert 15 < killed_after < writes[-1], "the hook was not reached"


def test_a_build_that_the_ledger_does_not_know_is_not_seen(state: Path, documents: Path) -> None:
    nights.run_night("one")
    ledger: Ledger = open_ledger(state)
    context = open_context("siding", "x")
    raw = context.store.read("raw", ledger.builds("siding"), ["doc_id", *RawItem.schema.names])
    context.store.append("raw", [raw.drop_columns(["build_id", "sequence"])], "deadbeef")
    assert context.store.read("raw", ledger.builds("siding"), ["doc_id"]).num_rows == 10
