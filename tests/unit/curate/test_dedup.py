from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sovereign_tasks.bands import Bands
from sovereign_tasks.curate.dedup import Entry, Fault, decide
from sovereign_tasks.digests import Text, digest
from sovereign_tasks.records import Document

WORDS = [f"word{i % 97}x{i}" for i in range(200)]
TEXT = " ".join(WORDS)
NEAR = " ".join([*WORDS[:195], "five", "other", "words", "end", "here"])
HALF = " ".join([*WORDS[:120], *(f"else{i}" for i in range(80))])


@pytest.fixture
def bands(tmp_path: Path) -> Bands:
    return Bands(tmp_path / "deep" / "bands.db")


def entries(documents: list[Document], known: set[str] = frozenset()) -> list[Entry]:
    digests = digest([Text(d.group, d.parent, d.title, d.text) for d in documents])
    return [
        Entry(d.doc_id, d.source, d.group, d.parent, len(d.text), d.doc_id in known, own)
        for d, own in zip(documents, digests, strict=True)
    ]


def find(documents: list[Document], bands: Bands, known: set[str] = frozenset(), **changes: Any) -> dict[str, Fault]:
    arguments: dict[str, Any] = {
        "model": "m",
        "builds": {"b1", "b2"},
        "superseded": set(),
        "threshold": 0.8,
        "priorities": {},
    }
    return decide(entries(documents, known), bands, **{**arguments, **changes})


def kept(documents: list[Document], bands: Bands, **changes: Any) -> list[str]:
    copies = find(documents, bands, **changes)
    return sorted(d.doc_id for d in documents if d.doc_id not in copies)


def keep(bands: Bands, build: str, documents: list[Document], model: str = "m") -> None:
    bands.add(build, model, [d.doc_id for d in documents], [e.digest for e in entries(documents)])


def test_within_a_night_priority_then_length_then_id_decide(bands: Bands, document: Callable[..., Document]) -> None:
    a, b, c = document("a", TEXT), document("b", TEXT), document("c", NEAR, source="house")
    for order in itertools.permutations([a, b, c]):
        copies = find(list(order), bands, priorities={"house": 3})
        assert {doc_id: (copy.reason, copy.twin) for doc_id, copy in copies.items()} == {
            "a": ("near_duplicate", "c"),
            "b": ("near_duplicate", "c"),
        }
    assert find([b, a], bands) == {"b": Fault("duplicate", "1.00 >= 0.80 with a", "a")}


def test_case_and_punctuation_make_no_difference_but_half_a_text_does(
    bands: Bands, document: Callable[..., Document]
) -> None:
    copies = find([document("a", TEXT), document("b", TEXT.upper() + "!"), document("c", HALF)], bands)
    assert {doc_id: copy.reason for doc_id, copy in copies.items()} == {"a": "duplicate"}  # b is a letter longer


def test_across_nights_the_first_kept_copy_stays(bands: Bands, document: Callable[..., Document]) -> None:
    keep(bands, "b1", [document("z", TEXT)])
    better = document("a", NEAR, source="house")
    assert find([better], bands, priorities={"house": 9})["a"].twin == "z"
    changed = document("z", NEAR + " still")
    copies = find([better, changed], bands, known={"z"}, superseded={"z"}, priorities={"house": 9})
    assert {doc_id: copy.twin for doc_id, copy in copies.items()} == {"a": "z"}


def test_uncommitted_builds_other_models_and_superseded_documents_do_not_count(
    bands: Bands, document: Callable[..., Document]
) -> None:
    keep(bands, "b1", [document("z", TEXT)])
    new = [document("a", NEAR)]
    assert kept(new, bands) == []
    assert kept(new, bands, builds={"b2"})
    assert kept(new, bands, model="other")
    assert kept(new, bands, superseded={"z"})


def test_a_document_is_not_its_own_duplicate_and_only_its_newest_revision_counts(
    bands: Bands, document: Callable[..., Document]
) -> None:
    keep(bands, "b1", [document("z", TEXT)])
    assert kept([document("z", TEXT)], bands)
    keep(bands, "b2", [document("z", HALF)])
    assert kept([document("a", TEXT)], bands)
    assert not kept([document("a", TEXT)], bands, builds={"b1"})  # b2 never committed


def test_a_retry_replaces_its_build_and_forget_removes(bands: Bands, document: Callable[..., Document]) -> None:
    both = [document("y", TEXT), document("z", HALF)]
    keep(bands, "b1", both)
    keep(bands, "b1", both[1:])
    assert kept([document("a", TEXT)], bands)
    assert not kept([document("a", HALF)], bands)
    keep(bands, "b2", both)
    bands.forget("other", ["z"])  # another model may know the same document
    bands.forget("m", ["z"], except_build="b2")
    assert not kept([document("a", HALF)], bands)
    bands.forget("m", ["z"])
    assert kept([document("a", HALF)], bands)
    assert bands.candidates("m", [e.digest for e in entries([document("q", HALF)])], {"b1", "b2"}) == [[]]


def test_what_a_build_that_was_never_committed_left_goes(bands: Bands, document: Callable[..., Document]) -> None:
    keep(bands, "b1", [document("y", TEXT)])
    keep(bands, "b2", [document("z", HALF)])
    bands.drop_uncommitted("other", [])
    assert bands.builds("m") == {"b1", "b2"}
    bands.drop_uncommitted("m", ["b1"])
    assert bands.builds("m") == {"b1"}


def test_a_write_that_was_cut_off_leaves_nothing(bands: Bands, document: Callable[..., Document]) -> None:
    y, z = entries([document("y", TEXT), document("z", HALF)])
    with pytest.raises(ValueError, match="zip"):
        bands.add("b1", "m", ["y", "z"], [y.digest])
    assert kept([document("a", TEXT)], bands)
    bands.add("b1", "m", ["y", "z"], [y.digest, z.digest])
    assert kept([document("a", TEXT), document("b", HALF)], bands) == []


def test_short_comments_are_duplicates_in_their_own_thread_only(
    bands: Bands, document: Callable[..., Document]
) -> None:
    thanks = [document(i, "Thanks, that worked!", group=g) for i, g in (("a", "t1"), ("b", "t1"), ("c", "t2"))]
    comments = [*thanks, document("d", "Thanks, that one worked!", group="t1")]
    assert kept(comments, bands) == ["a", "c", "d"]
    keep(bands, "b1", [c for c in comments if c.doc_id != "b"])
    assert not kept([document("e", "thanks that worked", group="t2")], bands)
    assert kept([document("f", "thanks that worked", group="t3")], bands)


def test_no_documents(bands: Bands) -> None:
    assert find([], bands) == {}


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_input_changes_nothing(bands: Bands, document: Callable[..., Document], seed: int) -> None:
    rng = random.Random(seed)
    keep(bands, "b1", [document("z", TEXT)])
    documents = [document("long", TEXT + " and more", source="house")]
    for n in range(60):  # chains of edits, so that who is whose copy hangs on who is kept
        words = documents[rng.randrange(len(documents))].text.split()
        words[(at := rng.randrange(len(words) - 20)) : at + rng.randrange(12)] = [f"new{n}"] * rng.randrange(12)
        documents.append(document(f"d{n:02}", " ".join(words), source=rng.choice(["site", "house"])))
    changes = {"known": {"d03", "d11"}, "superseded": {"d03"}, "priorities": {"house": 1}}
    wanted = find(documents, bands, **changes)
    assert 5 < len(wanted) < 55
    for _ in range(5):
        rng.shuffle(documents)
        assert find(documents, bands, **changes) == wanted


def test_digests_of_another_format_are_dropped(bands: Bands, document: Callable[..., Document]) -> None:
    with sqlite3.connect(bands._path) as db:
        db.executescript("DROP TABLE doc; CREATE TABLE doc (id INTEGER, signature BLOB); PRAGMA user_version=0")
    again = Bands(bands._path)
    keep(again, "b1", [document("z", TEXT)])
    assert not kept([document("a", NEAR)], again)


def test_the_newest_counted_digests_come_back(bands: Bands, document: Callable[..., Document]) -> None:
    old, new = entries([document("z", TEXT), document("z", HALF)])
    bands.add("b1", "m", ["z"], [old.digest])
    bands.add("b2", "m", ["z"], [new.digest])
    assert bands.digests("m", ["z", "y"], {"b1", "b2"}) == {"z": new.digest}
    assert bands.digests("m", ["z"], {"b1"}) == {"z": old.digest}
    assert bands.digests("other", ["z"], {"b1"}) == {}


def test_its_builds_are_told_without_a_walk_through_its_rows(bands: Bands, monkeypatch: pytest.MonkeyPatch) -> None:
    (own,) = digest([Text("", "", "", "Thanks, that worked.")])
    for build_id, model in (("b1", "m"), ("b2", "other"), ("b3", "m")):
        bands.add(build_id, model, [str(n) for n in range(2000)], [own] * 2000)
    connect, steps = sqlite3.connect, itertools.count()

    def watched(*arguments: Any, **more: Any) -> sqlite3.Connection:
        db = connect(*arguments, **more)
        db.set_progress_handler(lambda: next(steps) < 0, 1000)
        return db

    monkeypatch.setattr(sqlite3, "connect", watched)
    assert (bands.builds("m"), bands.builds("none")) == ({"b1", "b3"}, set())
    assert next(steps) < 2
