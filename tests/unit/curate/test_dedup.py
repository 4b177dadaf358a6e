from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sovereign_tasks.curate.dedup import Bands, Decided, decide, digest
from sovereign_tasks.records import Document

WORDS = [f"word{i % 97}x{i}" for i in range(200)]
TEXT = " ".join(WORDS)
NEAR = " ".join([*WORDS[:195], "five", "other", "words", "end", "here"])
HALF = " ".join([*WORDS[:120], *(f"else{i}" for i in range(80))])


@pytest.fixture
def bands(tmp_path: Path) -> Bands:
    return Bands(tmp_path / "deep" / "bands.db")


def run(documents: list[Document], bands: Bands, **changes: Any) -> Decided:
    arguments: dict[str, Any] = {
        "model": "m",
        "builds": {"b1", "b2"},
        "superseded": set(),
        "threshold": 0.8,
        "priorities": {},
    }
    return decide(documents, bands, **{**arguments, **changes})


def keep(bands: Bands, build: str, decided: Decided, model: str = "m") -> None:
    bands.add(build, model, [d.doc_id for d in decided.kept], decided.digests)


def test_within_a_night_priority_then_length_then_id_decide(bands: Bands, document: Callable[..., Document]) -> None:
    a, b, c = document("a", TEXT), document("b", TEXT), document("c", NEAR, source="house")
    for order in ([a, b, c], [c, b, a]):
        decided = run(order, bands, priorities={"house": 3})
        assert [d.doc_id for d in decided.kept] == ["c"]
        assert [(r.row_id, r.reason) for r in decided.rejections] == [("a", "near_duplicate"), ("b", "near_duplicate")]
    decided = run([b, a], bands)
    assert [d.doc_id for d in decided.kept] == ["a"]
    assert decided.rejections[0].reason == "duplicate"
    (rejection,) = decided.rejections
    assert rejection.measured == "1.00 >= 0.80 with a"
    assert (rejection.stage, rejection.doc_ids, rejection.twin) == ("deduplicate", ["b"], "a")


def test_case_and_punctuation_make_no_difference_but_half_a_text_does(
    bands: Bands, document: Callable[..., Document]
) -> None:
    decided = run([document("a", TEXT), document("b", TEXT.upper() + "!"), document("c", HALF)], bands)
    assert [d.doc_id for d in decided.kept] == ["b", "c"]  # b is a letter longer
    assert decided.rejections[0].reason == "duplicate"


def test_across_nights_the_first_kept_copy_stays(bands: Bands, document: Callable[..., Document]) -> None:
    keep(bands, "b1", run([document("z", TEXT)], bands))
    decided = run([document("a", NEAR, source="house")], bands, priorities={"house": 9})
    assert decided.kept == []
    assert decided.rejections[0].measured.endswith("with z")


def test_uncommitted_builds_other_models_and_superseded_documents_do_not_count(
    bands: Bands, document: Callable[..., Document]
) -> None:
    keep(bands, "b1", run([document("z", TEXT)], bands))
    new = [document("a", NEAR)]
    assert run(new, bands, builds={"b2"}).kept
    assert run(new, bands, model="other").kept
    assert run(new, bands, superseded={"z"}).kept
    assert not run(new, bands, builds=None).kept


def test_a_document_is_not_its_own_duplicate_and_only_its_newest_revision_counts(
    bands: Bands, document: Callable[..., Document]
) -> None:
    keep(bands, "b1", run([document("z", TEXT)], bands))
    assert run([document("z", TEXT)], bands).kept
    keep(bands, "b2", run([document("z", HALF)], bands, superseded={"z"}))
    assert run([document("a", TEXT)], bands).kept
    assert not run([document("a", TEXT)], bands, builds={"b1"}).kept  # b2 never committed


def test_a_retry_replaces_its_build_and_forget_removes(bands: Bands, document: Callable[..., Document]) -> None:
    first = run([document("y", TEXT), document("z", HALF)], bands)
    keep(bands, "b1", first)
    keep(bands, "b1", run([document("z", HALF)], bands, builds=set()))
    assert run([document("a", TEXT)], bands).kept
    assert not run([document("a", HALF)], bands).kept
    keep(bands, "b2", first)
    bands.forget("other", ["z"])  # another model may know the same document
    bands.forget("m", ["z"], except_build="b2")
    assert not run([document("a", HALF)], bands).kept
    bands.forget("m", ["z"])
    assert run([document("a", HALF)], bands).kept
    assert Bands(bands._path).candidates("m", digest([document("q", HALF)]), None) == [[]]


def test_short_comments_are_duplicates_in_their_own_thread_only(
    bands: Bands, document: Callable[..., Document]
) -> None:
    thanks = [document(i, "Thanks, that worked!", group=g) for i, g in (("a", "t1"), ("b", "t1"), ("c", "t2"))]
    similar = document("d", "Thanks, that one worked!", group="t1")
    decided = run([*thanks, similar], bands)
    assert [d.doc_id for d in decided.kept] == ["a", "c", "d"]
    keep(bands, "b1", decided)
    assert not run([document("e", "thanks that worked", group="t2")], bands).kept
    assert run([document("f", "thanks that worked", group="t3")], bands).kept


def test_no_documents(bands: Bands) -> None:
    assert run([], bands) == Decided([], [], [])
