from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.curate import cleaning, curate
from sovereign_tasks.curate.extract import Extracted
from sovereign_tasks.records import Document, RawItem

from .conftest import NOW

BODY = (
    "# Steel roofs\n\nA standing seam roof of 1,800 sq ft costs about $12k in most towns, and it lasts "
    "longer than any shingle. "
    "Dana Whitfield of our crew answers at (555) 123-4567.\n\n## How long does it last?\n\nFrom forty "
    "to seventy years, if the "
    "gutters are kept clean and the screws are checked every ten years."
)


def test_a_page_becomes_a_scrubbed_document(config: ModelConfig, item: Callable[..., RawItem]) -> None:
    raw = item(BODY, author="Dana Whitfield", score=3)
    done = curate([raw], config, now=NOW)
    (document,) = done.documents
    assert document.doc_id == raw.doc_id
    assert document.title == "Steel roofs"
    assert "1,800 square feet costs about $12,000" in document.text
    assert "\n\n## How long does it last?\n\n" in document.text
    assert "Whitfield" not in str(document)
    assert "555" not in document.text
    assert json.loads(document.pii) == {"NAME": 1, "PHONE": 1}
    assert (document.added_at, document.language, document.score) == (NOW, "en", 3)
    assert 0 < document.quality <= 1
    assert 0 < document.relevance <= 1
    assert len(document.author) == 32
    assert Document.to_table(done.documents).num_rows == 1


def test_revision_is_of_the_content_and_the_thread(config: ModelConfig, item: Callable[..., RawItem]) -> None:
    def revision(body: str = BODY, days: int = 0, **fields: object) -> str:
        return curate([item(body, **fields)], config, now=NOW + timedelta(days=days)).documents[0].revision

    first = revision()
    assert revision(days=3, score=99, kind="post", address="https://a.example/other") == first
    assert revision(BODY + " And more.") != first
    assert revision(title="Other title") != first
    assert revision(group="another") != first
    assert revision(parent="t3_x", kind="comment") != first


def test_authors_are_pseudonyms_within_their_source(config: ModelConfig, item: Callable[..., RawItem]) -> None:
    def author(name: str, source: str) -> str:
        return curate([item(BODY, author=name, source=source)], config, now=NOW).documents[0].author

    assert author("Kim", "site") == author("Kim", "site") != author("Kim", "forum")
    assert author("[deleted]", "forum") == ""


def test_who_writes_in_a_thread_is_known_throughout_it(config: ModelConfig, item: Callable[..., RawItem]) -> None:
    post = item(BODY, source="forum", item="t1", author="DaveTheRoofer88")
    words = "DaveTheRoofer88 check the step flashing, and ask Thandi"
    inside = item(words, source="forum", item="c1", parent="t1", author="Thandi")
    outside = item(words, source="forum", item="c2", parent="t2", group="other")
    texts = {d.doc_id: d.text for d in curate([inside, post, outside], config, now=NOW).documents}
    assert texts[inside.doc_id] == "[NAME_1] check the step flashing, and ask [NAME_2]"
    assert texts[outside.doc_id] == words


def test_an_item_that_breaks_the_reader_is_rejected_alone(
    config: ModelConfig, item: Callable[..., RawItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract(body: bytes, *rest: str) -> Extracted:
        if body == b"bad":
            raise RecursionError("words of the page")
        return real(body, *rest)

    real = cleaning.extract
    monkeypatch.setattr(cleaning, "extract", extract)
    bad = item("bad", address="https://a.example/bad")
    done = curate([bad, item(BODY)], config, now=NOW)
    (rejection,) = done.rejections
    assert len(done.documents) == 1
    assert (rejection.row_id, rejection.doc_ids) == (bad.doc_id, [bad.doc_id])
    assert (rejection.reason, rejection.measured, rejection.text) == (
        "unreadable",
        "RecursionError",
        "https://a.example/bad",
    )


def test_every_drop_has_one_reason_a_measure_and_scrubbed_text(
    config: ModelConfig, item: Callable[..., RawItem]
) -> None:
    off_topic = (
        "The bakery on the corner sells bread and coffee from six in the morning, and people say that it is good. "
    )
    spanish = (
        "Un techo de metal cuesta entre ocho y quince dólares por pie cuadrado y dura muchos años si se cuida bien. "
    )
    bodies = {
        "no_text": "<!-- nothing -->",
        "too_short": "Mail me at a@b.example about the roof",
        "language": spanish * 2 + "Llame al (555) 123-4567.",
        "relevance": off_topic * 2 + "Ask for bread at x@y.example.",
        "placeholder": BODY + " Lorem ipsum.",
    }
    raws = [item(body, address=f"https://a.example/{reason}") for reason, body in bodies.items()]
    done = curate([*raws, item(BODY)], config, now=NOW)
    by_id = {r.row_id: r for r in done.rejections}
    assert {reason: by_id[raw.doc_id].reason for reason, raw in zip(bodies, raws, strict=True)} == {
        r: r for r in bodies
    }
    assert all(r.measured and r.stage == "curate" and r.source == "site" for r in done.rejections)
    assert all(r.doc_ids == [r.row_id] and r.twin == "" for r in done.rejections)
    assert not any(secret in r.text for r in done.rejections for secret in ("a@b", "x@y", "123-4567"))
    assert by_id[raws[3].doc_id].measured == "0.00 < 0.10"
    assert (len(done.cleaned), len(done.documents), len(done.rejections)) == (6, 1, 5)


def test_order_and_company_of_items_make_no_difference(config: ModelConfig, item: Callable[..., RawItem]) -> None:
    raws = [item(BODY + f" Visit number {n}.", address=f"https://a.example/{n}") for n in ("one", "two", "six")]
    together = curate(raws, config, now=NOW).documents
    assert together == curate(raws[::-1], config, now=NOW).documents
    assert together == sorted((curate([r], config, now=NOW).documents[0] for r in raws), key=lambda d: d.doc_id)


def test_a_post_that_is_all_title_stays(config: ModelConfig, item: Callable[..., RawItem]) -> None:
    post = item("", source="forum", item="t9", title="Is a standing seam roof loud in the rain?")
    (document,) = curate([post], config, now=NOW).documents
    assert document.text == document.title == "Is a standing seam roof loud in the rain?"


def test_a_short_reply_stays_and_a_short_post_off_topic_goes(config: ModelConfig, item: Callable[..., RawItem]) -> None:
    reply = item("Yes, twice a year.", source="forum", item="c1", parent="t1")
    post = item("Yes, twice a year.", source="forum", item="t2")
    done = curate([reply, post], config, now=NOW)
    assert [d.doc_id for d in done.documents] == [reply.doc_id]
    assert [r.reason for r in done.rejections] == ["relevance"]
