"""A night before its suite: rows that fail are set aside, a batch that fails stops it, a person lets it go on."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import pytest

from sovereign_tasks.curate import cleaning
from sovereign_tasks.curate.pii import ScrubbedTogether
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Commit, open_ledger
from sovereign_tasks.stages.accept import accept, hold, stopped_night
from sovereign_tasks.stages.context import live_documents, open_context, run_key
from sovereign_tasks.stages.remarks import remarks
from sovereign_tasks.store import model_folder

from . import nights
from .test_build import contents
from .test_removal import files_with
from .test_rules import change_config

FAILURE = {"expectation": "expect_column_values_to_be_between:rejected_share", "observed": 0.95, "said": "too many"}


def wipe(documents: Path) -> None:
    for path in documents.glob("*.md"):
        path.write_text("Cookies, please. Cookies.\n")


def stop(documents: Path, run_id: str) -> str:
    """A night that finds nothing worth keeping any more, and is stopped; the error."""
    wipe(documents)
    with pytest.raises(UserError) as caught:
        nights.run_here(run_id)
    return str(caught.value)


def test_what_the_scrubber_let_by_is_set_aside_and_in_no_file(
    state: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "scrub_together", lambda texts, **_: ScrubbedTogether(texts, {}, set()))
    leak = "Ask for the ladder at zebulon@quagga.example or (512) 555-0188 before the boards are nailed to the wall."
    for name in ("leak.md", "leaks-too.md"):  # which is a copy, and so not looked at
        (documents / name).write_text(nights.page("maple", 44) + f"\n{leak}\n")
    nights.run_here("one")
    ledger, store = open_ledger(state), open_context("siding", "x").store
    builds = ledger.builds("siding")
    rows = store.read("quarantine", builds).to_pylist()
    rows = [row for row in rows if row["stage"] == "validate"]
    assert {(row["reason"], row["measured"]) for row in rows} == {
        ("expectation", "expect_column_values_to_be_between:pii_left")
    }
    assert {row["source"] for row in rows} == {"house"}
    assert len(rows) == 4  # the document, and the three examples that rest on it
    assert store.read("documents", builds).num_rows == 10
    assert ledger.manifest("siding", builds[0])["volume"]["documents"] == 0  # a source's first night isn't usual
    files = [p for p in model_folder("siding", "validation").rglob("*") if p.is_file()]
    tables = files_with(state / "tables", [b"zebulon", b"555-0188"])
    assert {path.split("/")[1] for path in tables} == {"raw"}
    words = [b"zebulon", b"555-0188", b"caulk", b"county", b"cedar", b"siding siding", b"leak.md"]
    assert [p.name for p in files if any(word in p.read_bytes().lower() for word in words)] == []
    (leaked,) = [row["row_id"].encode() for row in rows if row["doc_ids"] == [row["row_id"]]]
    assert [p for p in files if p.suffix == ".html" and leaked in p.read_bytes()]


def test_an_older_text_does_not_come_back_in_place_of_one_that_leaks(
    state: Path, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.run_here("one")
    monkeypatch.setattr(cleaning, "scrub_together", lambda texts, **_: ScrubbedTogether(texts, {}, set()))
    (documents / "cedar.md").write_text(nights.page("cedar", 33) + "\nAsk zebulon@quagga.example for a ladder.\n")
    nights.run_here("two")
    change_config(tmp_path, "dataset:", "curation: {min_relevance: 0.11}\ndataset:")
    nights.run_here("three")
    context = open_context("siding", "x")
    builds = context.ledger.builds("siding")
    curated = next(r for r in context.ledger.reports("siding", builds[-1]) if r.stage == "curate:house")
    assert curated.rejected == {"pii_left": 1}
    texts = live_documents(context, builds, ["text"])["text"].to_pylist()
    assert len(texts) == 9
    assert not any("cedar" in text for text in texts)


def test_a_stopped_night_says_all_that_failed_and_goes_on_once_it_is_accepted(state: Path, documents: Path) -> None:
    nights.run_here("one")
    said = stop(documents, "two")
    ledger, build_id = open_ledger(state), run_key("build", "siding", "two")
    for part in (
        f"siding: the night {build_id} was stopped before publishing, and snapshot 1 stands. ",
        "documents is 0 (0 after this night), and min_documents is 1.",
        "rejected_share is 1 (of 10 items 10 were rejected), and max_rejected_share is 0.8.",
        "removed_share is 1 (10 of 10 documents go), and max_removed_share is 0.5.",
        f'python -m sovereign_tasks accept {build_id} --reason "…"',
    ):
        assert part in said
    assert build_id in stopped_night(ledger, "siding")
    before = contents(state)

    with pytest.raises(UserError, match="needs a reason"):
        accept(ledger, build_id, "  ", "ada")
    assert accept(ledger, build_id, "the shop closes.", "ada") == "siding"
    assert "was accepted by ada (the shop closes.)" in stopped_night(ledger, "siding")
    assert contents(state) == before
    nights.run_here("two")
    assert len(ledger.builds("siding")) == 2
    assert stopped_night(ledger, "siding") == ""
    assert sum(ledger.snapshots("siding")[-1].counts.values()) == 0
    kept = remarks(ledger, "siding", build_id)
    assert len(kept) == 3
    assert (
        "removed_share is 1 (10 of 10 documents go), and max_removed_share is 0.5: accepted by ada, the shop closes."
        in kept
    )
    with pytest.raises(UserError, match="published already"):
        accept(ledger, build_id, "again", "ada")


def test_an_acceptance_is_of_one_night_and_of_what_was_read(state: Path, documents: Path) -> None:
    ledger, context = open_ledger(state), open_context("siding", "b1")
    with pytest.raises(UserError, match="there is no snapshot yet"):
        hold(context, [FAILURE], "docs")
    ledger.decide("siding", "accept", "b1", "accepted", "right", by="ada", failures=[FAILURE])
    assert hold(context, [FAILURE], "docs") == [FAILURE | {"reason": "right", "by": "ada"}]
    with pytest.raises(UserError, match=r"too many\. none left\."):
        hold(context, [FAILURE, {"expectation": "other", "observed": 0, "said": "none left"}], "docs")
    with pytest.raises(UserError, match="the night b2 was stopped"):
        hold(open_context("siding", "b2"), [FAILURE], "docs")


def test_what_cannot_be_accepted(state: Path, documents: Path) -> None:
    ledger = open_ledger(state)
    with pytest.raises(UserError, match="There is no night 4f1c"):
        accept(ledger, "4f1c", "right", "ada")
    ledger.fail("siding", "b1", "validate", "validate failed with OSError; its log is in the Airflow UI.")
    with pytest.raises(UserError, match="was not stopped by its validation"):
        accept(ledger, "b1", "right", "ada")
    ledger.decide("siding", "validation", "b1", "stopped", "too many.", failures=[FAILURE])
    with pytest.raises(UserError, match="can't go on, since a newer one began"):
        accept(ledger, "b1", "right", "ada")


def test_a_night_is_held_against_those_before_it(state: Path, documents: Path) -> None:
    nights.run_here("one")
    ledger = open_ledger(state)
    for number in (1, 2, 3):
        volume = {"documents": 1, "mean_characters": 500.0}
        ledger.commit(Commit("siding", f"b{number}", number, None, {"volume": volume, "purged": {}}))
        ledger.mark_purged("siding", f"b{number}")
    for topic in "maple larch alder birch copper zinc".split():
        (documents / f"{topic}.md").write_text(nights.page(topic, 30))
    with pytest.raises(
        UserError, match=r"volume_drift is 6 \(6 new documents, where 1 is usual\), and max_drift is 4\."
    ):
        nights.run_here("two")


def test_killed_at_any_moment_of_validation_a_night_ends_the_same(
    state: Path, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.run_night("one")
    nights.write_second_day(documents)
    nights.run_night("two", until="derive")
    whole = tmp_path / "whole"
    shutil.copytree(state, whole)
    monkeypatch.setenv("SOVEREIGN_STATE", str(whole))
    started = time.monotonic()
    nights.run_night("two", until="validate")
    seconds = time.monotonic() - started
    nights.run_night("two")
    monkeypatch.setenv("SOVEREIGN_STATE", str(state))
    moments = random.Random(20)
    killed = 0
    for _ in range(nights.KILLS):  # one after the other, each on what the last one left
        killed += not nights.run_night("two", kill_at=seconds * moments.uniform(0.05, 1), until="validate")
        (state / "tasks" / "two-validate.json").unlink(missing_ok=True)
    assert killed > nights.KILLS / 2
    assert nights.run_night("two")
    assert contents(state) == contents(whole)
    docs = state / "models" / "siding" / "validation"
    assert [p.name for p in docs.iterdir()] == ["gx"]
    for path in docs.rglob("*.json"):
        json.loads(path.read_text())
    assert len(list(docs.glob("gx/uncommitted/validations/batch/*"))) == 2
