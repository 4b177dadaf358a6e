"""What a person asks to have erased is found by what was scrubbed of them, goes from everywhere, and stays away."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.ledger import Ledger, open_ledger
from sovereign_tasks.ledger.tables import LEASES
from sovereign_tasks.records import EvalReport, StageReport, TrainingRun
from sovereign_tasks.stages import erasure, gather, retrain, snapshots
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.export import export
from sovereign_tasks.stages.people import locate, read_request, show
from sovereign_tasks.stages.scores import read_reports, write_reports
from sovereign_tasks.stages.taints import known_taint, taint_of
from tests.leaks import Needles, scan

from . import nights

MAIL = "jane.roe@kitchens.example"
LETTER = """# Larch siding at the lake

Jane Roe (jane.roe@kitchens.example, 207-555-0134) asked us to board a house in larch.

## How long does larch siding last at a lake?

Larch siding at a lake lasts about 41 years when the boards stand off the wall and the trim is planed by hand.

## What does larch siding at a lake need?

It needs oil every sixth spring, a vent behind the boards, and a long look at every nail head after a storm.
"""
WORDS = "boards stand off the wall and the trim is planed by hand"


def found_in(folder: Path) -> set[str]:
    """Which of a letter's words and its author's data stand anywhere below a folder, however they are packed."""
    needles = Needles({"words": [WORDS], "mail": [MAIL], "phone": ["207-555-0134"], "name": ["Jane Roe"]})
    return {hit.needle for hit in scan(folder, needles).hits}


@pytest.fixture
def letter(documents: Path, state: Path) -> Path:
    """A document of a person's, published by a first night."""
    path = documents / "larch.md"
    path.write_text(LETTER)
    nights.run_night("one")
    return path


def ask(context: Context, text: str) -> str:
    return erasure.ask(context, read_request(text))


def free_leases(ledger: Ledger) -> None:
    """As a minute later: a killed holder's lease is not renewed."""
    with ledger.engine.begin() as c:
        c.execute(LEASES.update().values(expires_at=datetime(2020, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    "request_line",
    [f"email: {MAIL.upper()}", "phone: +1 207 555 0134", "name: jane  roe", f"text: {WORDS}"],
)
def test_what_was_scrubbed_is_found_again(letter: Path, request_line: str) -> None:
    context = open_context("siding", "x")
    (one,) = show(context, read_request(request_line))
    assert one.where == "larch.md"
    assert "[EMAIL_1]" in one.text
    assert MAIL not in one.text


def test_a_preview_touches_nothing(letter: Path, state: Path) -> None:
    context = open_context("siding", "x")
    what = erasure.preview(context, read_request(f"email: {MAIL}"))
    assert (len(what.documents), what.sources, what.examples, what.snapshots) == (1, {"house": 1}, 2, [1])
    assert what.rows == {"raw": 1, "custody": 1, "cleaned": 1, "documents": 1}
    assert found_in(state) >= {"words", "mail"}


def test_the_person_is_nowhere_and_does_not_come_back(letter: Path, state: Path, documents: Path) -> None:
    assert found_in(state) == {"words", "mail", "phone", "name"}
    context = open_context("siding", "x")
    request = ask(context, f"email: {MAIL}")
    certificate = erasure.erase("siding", request)
    assert (certificate["documents"], certificate["examples"]) == (1, 2)
    assert found_in(state) == set()
    assert context.ledger.open_requests("siding") == []
    assert erasure.erase("siding", request) == certificate
    assert "training.replay" not in certificate["left_to_you"]

    first, second = context.ledger.snapshots("siding")
    assert sum(first.counts.values()) - sum(second.counts.values()) == 2
    assert snapshots.diff(context, 1, 2).reasons == {"erased": 2}
    snapshots.verify(context, lambda line: None)

    (documents / "copied.md").write_text(LETTER.replace("# Larch siding at the lake", "# Larch at a lake"))
    letter.write_text(LETTER + "\nMore of it, in some words that were not there before.\n")
    nights.run_night("two")  # its source still has it, now in other words, and a copy besides
    assert found_in(state) == set()
    assert len(context.ledger.snapshots("siding")) == 2


def test_what_curation_refuses_does_not_come_back_either(documents: Path, state: Path) -> None:
    letter = documents / "off-topic.md"
    talk = "Entirely about trains, ferries and the weather. " * 9
    letter.write_text(f"Jane Roe ({MAIL}) writes: {WORDS}.\n\n{talk}")
    nights.run_night("one")
    context = open_context("siding", "x")
    rows = context.store.read("quarantine", context.ledger.builds("siding"), ["reason", "text"]).to_pylist()
    assert [row["reason"] for row in rows if WORDS in row["text"]], "it should have been refused for this test"
    erasure.erase("siding", ask(context, f"email: {MAIL}"))
    assert found_in(state) == set()
    (documents / "copied.md").write_text(letter.read_text())
    nights.run_night("two")
    assert found_in(state) == set()
    assert [item for item in context.ledger.items("siding", "house") if "off-topic" in item[0]] == []


def test_an_author_is_no_word(documents: Path, state: Path) -> None:
    nights.run_night("one")
    assert locate(open_context("siding", "x"), read_request("author: cedar")) == {}


def test_a_request_that_is_asked_again_is_the_same(letter: Path) -> None:
    context = open_context("siding", "x")
    assert ask(context, f"email: {MAIL}") == ask(context, f"email: {MAIL}")
    assert len(context.ledger.open_requests("siding")) == 1


def test_what_was_erased_while_it_trained_taints_a_training_and_no_later_one(letter: Path, tmp_path: Path) -> None:
    context = open_context("siding", "run")
    erasure.erase("siding", ask(context, f"email: {MAIL}"))
    training = TrainingRun("siding", "run-1", 1, "base", "h", "c", 1, str(tmp_path / "adapter"), "h", {})
    context.ledger.record_training("run", training)
    assert taint_of(context, training) == (2, True)
    context.report(StageReport("train", 30, 30, seconds=0.0))  # it began after that
    assert taint_of(context, training) is None


def test_a_night_between_asking_and_erasing_does_not_begin_while_it_is_carried_out(letter: Path) -> None:
    context = open_context("siding", "x")
    ask(context, f"email: {MAIL}")
    with context.ledger.lease("erase/siding", "someone"), pytest.raises(TransientError, match="An erasure of siding"):
        gather.begin("siding", "two")


def test_a_source_whose_consent_is_withdrawn_goes_whole(letter: Path, state: Path) -> None:
    context = open_context("siding", "x")
    certificate = erasure.erase("siding", ask(context, "source: house"))
    assert certificate["documents"] == 11
    assert sum(context.ledger.snapshots("siding")[-1].counts.values()) == 0
    assert found_in(state) == set()
    with pytest.raises(UserError, match="none is enabled but house, whose consent was withdrawn; enable another"):
        gather.begin("siding", "two")


def test_a_training_that_learned_from_it_is_tainted_and_another_is_due(letter: Path, tmp_path: Path) -> None:
    context = open_context("siding", "x")
    ledger, base = context.ledger, str(tmp_path / "base")
    ledger.record_base("siding", "sha256:b", base, "c", 1)
    training = TrainingRun("siding", "run-1", 1, base, "sha256:b", "c", 1, str(tmp_path / "adapter"), "h", {})
    ledger.record_training("retrain", training)
    ledger.decide("siding", "promotion", "retrain", "promoted", "", version="1", run_id="run-1", snapshot=1)
    later = replace(training, run_id="run-2", base_hash="h", started_from="run-1", snapshot=1)
    ledger.record_training("later", later)
    certificate = erasure.erase("siding", ask(context, f"email: {MAIL}"))
    assert certificate["trainings_tainted"] == ["run-1", "run-2"]
    assert ledger.taints("siding").keys() == {"run-1", "run-2", "sha256:b"}
    during = replace(later, run_id="run-3", started_from="run-2")  # it ran while that was erased
    assert known_taint(context, during) == ledger.taints("siding")["run-2"]
    assert ledger.taints("siding")["sha256:b"] == (1, True)
    from sovereign_tasks.stages.due import check_due

    verdict = check_due({"model": "siding", "build_id": certificate["request"]})
    assert verdict["due"]
    assert "rows that were erased on request: due" in verdict["reason"]
    assert retrain.preflight("siding", "again", None, by_hand=False)["snapshot"] == 2


def test_scores_exports_and_log_lines_of_it_go_too(letter: Path, state: Path, tmp_path: Path) -> None:
    context = open_context("siding", "run")
    splits = snapshots.load_splits(context, context.ledger.snapshot("siding", 1))
    ids = sorted(e.example_id for rows in splits.values() for e in rows if "lake" in e.question)
    scores, slices = {"nll": [1.0, 2.0, 3.0], "facts": [0.5, None, None]}, {"kind": ["faq", "mail", "spec"]}
    report = EvalReport("candidate", "holdout", [*ids, "ff"], ["g"] * 3, scores, [WORDS, WORDS, "x"], slices)
    write_reports(context, {"candidate": {"holdout": report}})
    inside, outside = state / "exports" / "one", tmp_path / "given away"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        (folder / "data.txt").write_text(WORDS)
        context.ledger.record_export("siding", str(folder), 1)
    log = state / "logs" / "mail.log"
    log.parent.mkdir()
    log.write_text(f"one line\na line of {MAIL}\nanother line\n")
    certificate = erasure.erase("siding", ask(context, f"email: {MAIL}"))
    left_scores = {"nll": [3.0], "facts": [None]}
    left = EvalReport("candidate", "holdout", ["ff"], ["g"], left_scores, ["x"], {"kind": ["spec"]})
    assert read_reports(context)["candidate"]["holdout"] == left
    assert not inside.exists()
    assert outside.exists()
    assert log.read_text() == "one line\nanother line\n"
    assert (certificate["scores"], certificate["exports_removed"], certificate["log_lines"]) == (2, 1, 1)
    assert len(certificate["copies_elsewhere"]) == 1
    assert "given away" not in str(certificate)
    assert found_in(state) == set()


def test_what_a_killed_export_left_goes_too(letter: Path, state: Path, tmp_path: Path) -> None:
    context = open_context("siding", "x")
    inside, outside = state / "exports" / "one", tmp_path / "given away" / "two"
    for folder in (inside, outside):
        assert not nights.run_export(folder)
        free_leases(context.ledger)
        assert not folder.exists()
        assert "words" in found_in(folder.parent)
    certificate = erasure.erase("siding", ask(context, f"email: {MAIL}"))
    assert (certificate["exports_removed"], len(certificate["copies_elsewhere"])) == (1, 1)
    assert found_in(state) == set()
    assert list(inside.parent.iterdir()) == []

    neighbours = [outside.parent / name for name in (".two", ".two.keep", ".two.b.unfinished")]
    for neighbour in neighbours:
        neighbour.mkdir()
    export(context, None, outside, sealed=False)
    assert found_in(outside.parent) == set()
    assert sorted(outside.parent.iterdir()) == sorted([*neighbours, outside])


def test_an_erasure_that_was_cut_off_anywhere_is_gone_on_with(letter: Path, state: Path, tmp_path: Path) -> None:
    request = ask(open_context("siding", "x"), f"email: {MAIL}")
    start = tmp_path / "start"
    shutil.copytree(state, start)
    writes = itertools.count(1, 7)
    for killed_after, again in nights.killed(start, tmp_path, lambda n: nights.run_erasure(request, n), writes):
        free_leases(open_ledger(again))
        erasure.erase("siding", request)
        assert found_in(again) == set(), f"killed after write {killed_after}"
        assert open_ledger(again).open_requests("siding") == []
        snapshots.verify(open_context("siding", "x"), lambda line: None)
    assert killed_after > 8, "the erasure was never cut off after its commit"


def test_a_request_is_sealed(letter: Path, state: Path) -> None:
    context = open_context("siding", "x")
    request = ask(context, "name: Jane Roe")
    assert context.ledger.request("siding", request) == [("name", "Jane Roe")]
    assert b"Jane" not in (state / "ledger.db").read_bytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The request is empty"),
        ("jane", "Line 1 of the request begins with none of author, name"),
        ("email: a@b.example\nage: 40", "Line 2 of the request begins with none"),
        ("text: the roof", "Line 1 of the request: text needs 12 characters"),
    ],
)
def test_a_request_of_another_form_is_refused_without_its_words(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        read_request(text)
    assert "40" not in str(refused.value)


def test_what_is_unknown_is_said(letter: Path) -> None:
    context = open_context("siding", "x")
    assert locate(context, read_request("email: nobody@kitchens.example")) == {}
    with pytest.raises(UserError, match="siding has no source 'shop'"):
        locate(context, read_request("source: shop"))
    with pytest.raises(UserError, match="has nothing that the request concerns"):
        ask(context, "email: nobody@kitchens.example")
