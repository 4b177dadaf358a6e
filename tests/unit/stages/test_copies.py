"""Copies over nights and sources: the first kept one stays, the next has its turn, and what was erased stays away."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sovereign_tasks.records import document_id
from sovereign_tasks.stages import assemble, curation, gather, publish, select, validate
from sovereign_tasks.stages.context import live_documents, open_context
from tests.unit.stages import nights
from tests.unit.stages.test_removal import files_with
from tests.unit.stages.test_rules import change_config

MODEL = """
model: siding
description: Assistant for siding crews
sources:
  - {name: house, kind: journal, path: "%s/house.json", licence: owner, consent: own-content, priority: 9}
  - {name: forum, kind: journal, path: "%s/forum.json", licence: owner, consent: own-content}
domain: {keywords: [siding, plank, trim, board, house, nail]}
"""
CORK = nights.page("cork", 90)
NEAR = CORK.replace("every street of the county", "every street of the town")
BROKEN = NEAR + "\nLorem ipsum.\n"
LONGER = NEAR + "\nWritten in spring.\n"
OTHERS = {topic: nights.page(topic, 20 + 4 * n) for n, topic in enumerate("cedar pine vinyl steel brick stone".split())}

Run = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a night on what the sources hold; what deduplication rejected, by address: reason and text."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "siding.yaml").write_text(MODEL % (tmp_path, tmp_path))
    kinds = "source_kinds: {journal: 'tests.unit.stages.journal:JournalSource'}\n"
    (tmp_path / "config" / "platform.yaml").write_text(kinds)
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path / "config"))
    holds: dict[str, dict[str, str]] = {"house": dict(OTHERS), "forum": {}}
    count = 0

    def night(**changes: dict[str, str]) -> dict[str, tuple[str, str]]:
        nonlocal count
        count += 1
        for source, texts in holds.items():
            texts.update(changes.get(source, {}))
            (tmp_path / f"{source}.json").write_text(json.dumps(texts))
        jobs = [curation.curate(gather.collect(job)) for job in gather.begin("siding", f"night {count}")]
        build = publish.publish(validate.validate(assemble.derive(select.deduplicate(jobs))))
        rows = open_context("siding", "x").store.read("quarantine", [build["build_id"]]).to_pylist()
        named = addresses()
        return {named[r["row_id"]]: (r["reason"], r["text"]) for r in rows if r["stage"] == "deduplicate"}

    return night


def addresses() -> dict[str, str]:
    """Every document's address by its id, of all that a source ever had."""
    folder = Path(os.environ["SOVEREIGN_CONFIG"]).parent
    pairs = ((s, address) for s in ("house", "forum") for address in json.loads((folder / f"{s}.json").read_text()))
    return {document_id(source, address, ""): f"{source}/{address}" for source, address in pairs}


def live() -> set[str]:
    """The addresses of what stands, of those that aren't there from the start."""
    context = open_context("siding", "x")
    ids = live_documents(context, context.ledger.builds("siding"), ["doc_id"])["doc_id"].to_pylist()
    return {addresses()[i] for i in ids} - {f"house/{topic}" for topic in OTHERS}


def raw() -> set[str]:
    """The addresses whose bytes are kept."""
    context = open_context("siding", "x")
    rows = context.store.read("raw", context.ledger.builds("siding"), ["source", "address"]).to_pylist()
    return {f"{row['source']}/{row['address']}" for row in rows}


def quarantined() -> list[dict[str, Any]]:
    """What deduplication ever rejected."""
    context = open_context("siding", "x")
    rows = context.store.read("quarantine", context.ledger.builds("siding")).to_pylist()
    return [row for row in rows if row["stage"] == "deduplicate"]


def test_the_first_kept_copy_stays_until_it_changes_or_goes_and_the_next_has_its_turn(run: Run) -> None:
    run(forum={"a": CORK})
    assert live() == {"forum/a"}
    assert run(house={"b": LONGER}) == {"house/b": ("near_duplicate", quarantined()[-1]["text"])}
    (waits,) = quarantined()
    assert addresses()[waits["twin"]] == "forum/a"
    assert "every street of the town" in waits["text"]
    assert run(forum={"a": CORK.replace("wash", "soap")}) == {}  # a change that leaves it a copy of itself
    assert live() == {"forum/a"}
    run(forum={"a": nights.page("oak", 70), "c": NEAR})
    assert live() == {"forum/a", "forum/c"}  # what was a copy of the old text comes back a night later at most
    assert run()["house/b"][0] == "near_duplicate"
    assert run(forum={"c": "gone"}) == {}
    run()
    assert live() == {"forum/a", "house/b"}


def test_a_copy_of_what_its_author_deleted_does_not_return(state: Path, run: Run) -> None:
    run(forum={"a": LONGER})
    assert run(house={"b": CORK})["house/b"][0] == "near_duplicate"
    assert live() == {"forum/a"}
    assert run(forum={"a": "deleted"}, house={"c": NEAR}) == {"house/c": ("erased_copy", "")}
    assert run(forum={"d": LONGER, "e": nights.page("oak", 70)}) == {"forum/d": ("erased_copy", "")}
    assert live() == {"forum/e"}
    assert {address for address in raw() if address[-2] == "/"} == {"forum/e"}
    measured = {row["measured"].partition(" of ")[-1] or row["measured"] for row in quarantined()}
    assert measured == {"25 bands >= 4", "the same words"}
    assert all(row["twin"] == "" for row in quarantined())
    assert files_with(state, [b"cork", b"Cork"]) == []
    assert run(forum={"a": NEAR}) == {"forum/a": ("erased_copy", "")}  # nor under its own address
    assert live() == {"forum/e"}


def test_nothing_is_kept_of_a_copy_that_was_rejected_for_another_reason(state: Path, run: Run) -> None:
    def rejected() -> list[tuple[str, str]]:
        context = open_context("siding", "x")
        rows = context.store.read("quarantine", context.ledger.builds("siding")).to_pylist()
        return sorted((addresses()[row["row_id"]], row["reason"]) for row in rows)

    run(forum={"a": CORK}, house={"b": BROKEN})
    assert rejected() == [("house/b", "placeholder")]
    run(forum={"a": "deleted"}, house={"c": BROKEN})
    run(house={"d": BROKEN, "e": nights.page("oak", 70) + "\nLorem ipsum.\n"})
    assert rejected() == [("house/c", "erased_copy"), ("house/d", "erased_copy"), ("house/e", "placeholder")]
    assert {address for address in raw() if address[-2] == "/"} == {"house/e"}
    assert files_with(state, [b"cork", b"Cork"]) == []


def test_a_copy_of_a_deleted_copy_is_known_by_its_title_too(run: Run) -> None:
    title = "How do crews keep the trim boards of a tall house dry while rain blows in from the lake for a week or more"
    text = "We hang a tarp over the planks, nail it to the eaves and weigh its lower end down with sand. It is the "
    post = f"# {title}\n\n{text}cheapest of all that we tried, and the siding stays clean.\n"
    run(house={"b": post}, forum={"a": post})
    assert [addresses()[row["row_id"]] for row in quarantined()] == ["forum/a"]
    assert run(forum={"a": "deleted", "c": post}) == {"forum/c": ("erased_copy", "")}
    assert live() == {"house/b"}


def test_a_deleted_copy_takes_nothing_with_it_that_stood_before(run: Run) -> None:
    run(house={"a": LONGER}, forum={"b": CORK})
    run(forum={"b": "deleted"})
    assert live() == {"house/a"}
    assert run(house={"a": LONGER + "\nRead in autumn.\n"}, forum={"c": NEAR}) == {"forum/c": ("erased_copy", "")}
    assert live() == {"house/a"}


REPLY = nights.page("ash", 33)


def test_an_answer_joins_the_thread_of_a_question_that_came_later(run: Run) -> None:
    run(forum={"answer": REPLY})
    run(forum={"question": [CORK, "talk", ""], "answer": [REPLY, "talk", "question"]})
    context = open_context("siding", "x")
    rows = live_documents(context, context.ledger.builds("siding"), ["group", "item", "parent"]).to_pylist()
    rows = {addresses()[row["doc_id"]]: row for row in rows}
    question, answer = rows["forum/question"], rows["forum/answer"]
    assert (answer["group"], answer["parent"]) == (question["group"], question["item"])


def test_a_reply_whose_opening_post_goes_returns_with_it(run: Run) -> None:
    run(forum={"root": [CORK, "talk", ""], "reply": [REPLY, "talk", "root"]})
    assert live() == {"forum/root", "forum/reply"}
    assert run(forum={"root": ["Cookies, please.", "talk", ""]})["forum/reply"] == ("orphan", quarantined()[-1]["text"])
    assert "ash siding" in quarantined()[-1]["text"]
    assert live() == set()
    run(forum={"root": [CORK, "talk", ""]})
    run()
    assert live() == {"forum/root", "forum/reply"}


def test_replies_stay_whose_opening_post_gave_way_to_a_reply_that_goes(run: Run) -> None:
    lost = [LONGER, "nowhere", "gone"]  # the longer copy of the two, which has no opening post
    night = run(forum={"lost": lost, "root": [CORK, "talk", ""], "reply": [REPLY, "talk", "root"]})
    assert {address: reason for address, (reason, _) in night.items()} == {"forum/lost": "orphan"}
    assert live() == {"forum/root", "forum/reply"}


def test_a_licence_that_is_corrected_reaches_what_is_kept(run: Run, tmp_path: Path) -> None:
    run()
    change_config(tmp_path, "consent: own-content, priority", "consent: contract, priority")
    run()
    context = open_context("siding", "x")
    rows = live_documents(context, context.ledger.builds("siding"), ["consent"])
    assert set(rows["consent"].to_pylist()) == {"contract"}


def test_a_copy_has_its_turn_when_what_it_gave_way_to_fails_validation(run: Run, tmp_path: Path) -> None:
    bound = f"{{expect: expect_column_values_to_be_between, column: characters, max_value: {len(LONGER)}}}"
    change_config(tmp_path, "nail]}", f"nail]}}\ndataset: {{validation: {{expectations: [{bound}]}}}}")
    run(house={"a": LONGER + "\nRead in autumn.\n"}, forum={"b": CORK})
    assert live() == set()
    run()
    assert live() == {"forum/b"}
