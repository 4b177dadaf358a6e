"""A changed rule re-runs only what depends on it, held rows go on when a person says so, and kills change nothing."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger, open_ledger
from sovereign_tasks.stages.context import live_documents, open_context, run_key
from sovereign_tasks.stages.curation import curation_rules
from sovereign_tasks.stages.review import quarantined, release
from sovereign_tasks.store import Store
from tests.unit.stages import nights
from tests.unit.stages.test_rules import bring_flood, change_config, last_reports, texts

OFF_TOPIC = (
    "# Bread\n\nThe bakery on the corner sells bread and coffee from six in the morning, and people say it is good. Ask"
    "  for the rye, which is baked twice a week and keeps for days.\n"
)
MOST_WRITES = 40


def flagged(ledger: Ledger) -> list[list[str]]:
    context = open_context("siding", "x")
    return live_documents(context, ledger.builds("siding"), ["flags"])["flags"].to_pylist()


def test_a_rule_of_judging_needs_no_bytes(state: Path, documents: Path, tmp_path: Path) -> None:
    (documents / "bread.md").write_text(OFF_TOPIC)
    nights.run_night("one")
    ledger = open_ledger(state)
    assert last_reports(ledger)["curate:house"].rejected == {"relevance": 1}
    store = open_context("siding", "x").store
    store.delete("raw", "doc_id", store.read("raw", ledger.builds("siding"), ["doc_id"])["doc_id"].to_pylist())
    change_config(tmp_path, "dataset:", "curation: {off_topic: flag}\ndataset:")
    nights.run_night("two")
    reports = last_reports(ledger)
    assert (reports["curate:house"].notes["again"], reports["publish"].notes["stale"]) == (11, 0)
    assert len(texts(state)) == 11
    assert flagged(ledger).count(["off_topic"]) == 1
    nights.run_night("three")
    assert "again" not in last_reports(ledger)["curate:house"].notes


def test_rules_of_cleaning_and_of_judging_have_versions_of_their_own(
    state: Path, documents: Path, tmp_path: Path
) -> None:
    def rules() -> list[str]:
        return curation_rules(open_context("siding", "x"), "house").split(".")

    before = rules()
    change_config(tmp_path, "dataset:", "curation: {min_relevance: 0.2, retention_days: 9}\ndataset:")
    judged = rules()
    assert (judged[0] == before[0], judged[1] == before[1]) == (True, False)
    change_config(tmp_path, "retention_days: 9", "personal_data: {placeholders: keyed}")
    cleaned = rules()
    assert (cleaned[0] == before[0], cleaned[1] == judged[1]) == (False, True)


def test_what_is_held_waits_until_a_person_releases_it(state: Path, documents: Path, tmp_path: Path) -> None:
    (documents / "bread.md").write_text(OFF_TOPIC)
    change_config(tmp_path, "dataset:", "curation: {off_topic: review}\ndataset:")
    nights.run_night("one")
    context = open_context("siding", "x")
    (held,) = [q for q in quarantined(context) if q.waits]
    assert (held.reason, held.source) == ("held_off_topic", "house")
    assert "bakery" in held.text
    nights.run_night("two")
    assert len(texts(state)) == 10

    with pytest.raises(UserError, match="say why"):
        release(context, [held.row_id], " ", "ada")
    with pytest.raises(UserError, match="no such row"):
        release(context, [held.row_id, "beef"], "read it", "ada")
    assert context.ledger.releases("siding") == {}
    assert release(context, [held.row_id], "read it", "ada") == 1
    assert not any(q.waits for q in quarantined(context))
    nights.run_night("three")
    assert len(texts(state)) == 11
    assert quarantined(context) == []
    builds = context.ledger.builds("siding")
    assert context.ledger.releases("siding")[held.row_id].taken_by == builds[-1]
    nights.run_night("four")
    assert "again" not in last_reports(context.ledger)["curate:house"].notes
    assert len(texts(state)) == 11


def test_a_release_is_of_the_words_that_were_read_and_is_looked_for_once(
    state: Path, documents: Path, tmp_path: Path
) -> None:
    bread = documents / "bread.md"
    bread.write_text(OFF_TOPIC)
    change_config(tmp_path, "dataset:", "curation: {off_topic: review}\ndataset:")
    nights.run_here("one")
    context = open_context("siding", "x")
    release(context, [q.row_id for q in quarantined(context)], "read it", "ada")
    bread.write_text(OFF_TOPIC.replace("bread and coffee", "rum and tobacco"))
    nights.run_here("two")
    assert len(texts(state)) == 10
    (held,) = quarantined(context)
    assert (held.waits, "rum" in held.text) == (True, True)
    release(context, [held.row_id], "read it", "ada")
    bread.unlink()
    nights.run_here("three")
    assert context.ledger.releases("siding")[held.row_id].taken_by == context.ledger.builds("siding")[-1]


def test_only_what_waits_can_be_released(state: Path, documents: Path) -> None:
    (documents / "bread.md").write_text(OFF_TOPIC)
    nights.run_night("one")
    context = open_context("siding", "x")
    (row,) = quarantined(context)
    with pytest.raises(UserError, match=r"was rejected as relevance \(0.00 < 0.10\)"):
        release(context, [row.row_id], "I like bread", "ada")


def test_a_flood_that_a_person_released_is_let_in(state: Path, documents: Path, tmp_path: Path) -> None:
    bring_flood(documents, tmp_path, 14)
    context = open_context("siding", "x")
    waiting = [q.row_id for q in quarantined(context) if q.waits]
    assert len(waiting) == 14
    assert len(texts(state)) == 10
    release(context, waiting, "our own crews", "ada")
    for path in documents.glob("flood-*"):
        path.write_text(path.read_text() + "\nCall now.\n")
    nights.run_night("changed")
    waiting = [q.row_id for q in quarantined(context) if q.waits]
    assert len(waiting) == 14
    release(context, waiting, "our own crews", "ada")
    nights.run_night("three")
    assert "flood" not in last_reports(context.ledger)["deduplicate"].rejected
    assert len(texts(state)) > 10


def curated(state: Path) -> dict[str, list]:
    """What curation handed on, but for the time at which it did."""
    store, run = Store("siding", str(state / "tables")), run_key("build", "siding", "one")
    names = [n for n in store.staged_names(run, "") if n.startswith(("documents-", "cleaned-", "rejected-curate-"))]
    tables = {name: store.staged(run, name) for name in names}
    drop = {"added_at"}
    return {name: t.drop_columns([c for c in t.column_names if c in drop]).to_pylist() for name, t in tables.items()}


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch, documents: Path) -> None:
    """Three items a batch, in the processes of nights too; one of the ten documents is rejected."""
    monkeypatch.setenv("SOVEREIGN_TEST_BATCH", "3")
    (documents / "bread.md").write_text(OFF_TOPIC)


@pytest.mark.usefixtures("small_batches")
def test_curation_that_is_killed_goes_on_as_if_undisturbed(state: Path, tmp_path: Path) -> None:
    assert nights.run_night("one", until="collect")
    collected = tmp_path / "collected"
    shutil.copytree(state, collected)
    assert nights.run_night("one", until="curate")
    wanted = curated(state)
    assert len(wanted) == 12

    def curate(writes: int) -> bool:
        return nights.run_night("one", until="curate", kill_after=writes)

    kills = 0
    for _, killed in nights.killed(collected, tmp_path, curate, range(1, MOST_WRITES, nights.STEP)):
        kills += 1
        assert nights.run_night("one", until="curate")
        assert curated(killed) == wanted
    assert kills >= 12 / nights.STEP

    def again() -> None:
        shutil.rmtree(state)
        shutil.copytree(collected, state)

    again()
    began = time.monotonic()
    assert nights.run_night("one", until="curate")
    longest, rng = time.monotonic() - began, random.Random(7)
    for _ in range(nights.KILLS):
        again()
        nights.run_night("one", until="curate", kill_at=rng.uniform(0, longest))
        assert nights.run_night("one", until="curate")
        assert curated(state) == wanted
