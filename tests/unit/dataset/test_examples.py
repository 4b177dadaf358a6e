"""Examples are found where questions are answered, in the source's own words, and weak ones are named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sovereign_tasks.config import DatasetConfig
from sovereign_tasks.dataset.examples import derive
from sovereign_tasks.records import Document

NIGHT = datetime(2026, 3, 1, tzinfo=UTC)
CONFIG = DatasetConfig(max_answer_chars=400)


def document(doc_id: str, text: str, *, group: str = "g", parent: str = "", title: str = "", **more) -> Document:
    values = {"source": "web", "kind": "web", "url": f"http://x/{doc_id}", "author": "", "score": None}
    return Document(
        doc_id=doc_id,
        revision="r",
        group=group,
        item=more.pop("item", group),
        parent=parent,
        title=title,
        text=text,
        created_at=None,
        added_at=NIGHT,
        language="en",
        language_confidence=1.0,
        quality=1.0,
        relevance=1.0,
        pii="{}",
        licence="owner",
        consent="own-content",
        **(values | more),
    )


PAGE = """# Standing seam

It is a metal roof.

## How long does a standing seam roof last?

A standing seam roof lasts **40 to 70 years**, far beyond [asphalt](/asphalt).

It wants little care.

## Care

Rinse it once a year.

## How to fasten a clip

1. Mark the line of the seam.
2. Set the clip and drive two screws.
"""


def test_a_question_heading_gives_its_section_in_the_sources_words() -> None:
    found, _ = derive([document("d1", PAGE)], CONFIG)
    example = next(e for e in found if e.kind == "heading")
    assert example.question == "How long does a standing seam roof last?"
    assert example.answer == ("A standing seam roof lasts 40 to 70 years, far beyond asphalt.\n\nIt wants little care.")
    asked, span = example.spans
    assert PAGE[asked["start"] : asked["end"]] == "## How long does a standing seam roof last?"
    assert PAGE[span["start"] : span["end"]].startswith("A standing seam roof lasts **40")
    assert PAGE[span["start"] : span["end"]].endswith("little care.")


def test_steps_below_a_how_to_heading_become_a_question() -> None:
    found, _ = derive([document("d1", PAGE)], CONFIG)
    example = next(e for e in found if e.kind == "howto")
    assert example.question == "How do I fasten a clip?"
    assert example.answer.startswith("1. Mark the line")


def test_a_pair_that_stands_twice_on_a_page_is_an_example_and_not_rejected_too() -> None:
    asked = "## How long does a slate roof last?\n\nIt lasts a hundred years where its nails are copper.\n\n"
    examples, rejections = derive([document("d1", asked * 2)], CONFIG)
    assert (len(examples), rejections) == (1, [])


def test_a_plain_heading_makes_no_question() -> None:
    found, _ = derive([document("d1", PAGE)], CONFIG)
    assert all("Rinse" not in e.answer for e in found)


def thread(*scores: int) -> list[Document]:
    root = document("t0", "Water drips by the chimney.", title="Why does my flashing leak?", author="ann")
    replies = [
        document(
            f"c{n}",
            f"Answer {n}: the counter flashing has pulled out of its joint, so reset and seal it.",
            parent="g",
            score=score,
            author=f"u{n}",
        )
        for n, score in enumerate(scores)
    ]
    return [root, *replies]


def test_a_thread_is_answered_by_its_best_scored_reply() -> None:
    (example,), _ = derive(thread(3, 12, 5), CONFIG)
    assert (example.kind, example.question) == ("thread", "Why does my flashing leak?")
    assert example.answer.startswith("Answer 1")
    assert example.doc_ids == ["t0", "c1"]
    assert [span["doc_id"] for span in example.spans] == ["t0", "c1"]


def test_a_reply_to_a_reply_is_no_answer_however_well_it_scored() -> None:
    text = "Haha exactly, my neighbour had that twice last winter and never fixed it."
    nested = document("c9", text, parent="t1_c0", score=99, author="u9")
    (example,), _ = derive([*thread(3), nested], CONFIG)
    assert example.answer.startswith("Answer 0")


@pytest.mark.parametrize("text", ["_a " * 20_000, "[" * 60_000, "# " * 30_000, "1. " * 20_000, "**a " * 20_000])
def test_text_made_to_stall_does_not(text: str) -> None:
    derive([document("d1", f"## Is this long?\n\n{text}\n")], CONFIG)


def test_a_lone_mark_is_no_heading_for_the_next_paragraph() -> None:
    found, _ = derive([document("d1", "##\n\nIs this a paragraph?\n\n" + "And this is its body. " * 5)], CONFIG)
    assert found == []


def test_one_does_not_answer_oneself() -> None:
    root, reply = thread(9)
    (found, _) = derive([root, document("c0", reply.text, parent="g", score=9, author="ann")], CONFIG)
    assert found == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("Forty years.", "answer_too_short"),
        ("It lasts a long time. " * 40, "answer_too_long"),
        ("Who laid it? When? With what? In which climate? That decides how long it will last.", "too_many_questions"),
        ("A roof of slate does last long: how long does a roof of slate last, a long long long time.", None),
        (
            "How long does a slate roof last? A slate roof does last. How long does a slate roof last!",
            "answer_in_question",
        ),
    ],
)
def test_weak_answers_are_rejected_with_one_reason(body: str, reason: str | None) -> None:
    text = f"## How long does a slate roof last?\n\n{body}\n"
    found, rejected = derive([document("d1", text)], CONFIG)
    assert [r.reason for r in rejected] == ([reason] if reason else [])
    assert len(found) == (0 if reason else 1)


def test_the_same_documents_in_another_order_give_the_same() -> None:
    documents = [document("d1", PAGE, group="a"), *thread(1, 2)]
    assert derive(documents, CONFIG) == derive(reversed(documents), CONFIG)


def letter(doc_id: str, item: str, parent: str, score: int, text: str) -> Document:
    thread = {"kind": "mail", "title": "Leaking valley", "group": "m1"}
    return document(doc_id, text, item=item, parent=parent, score=score, **thread)


def test_each_question_of_a_mail_thread_is_paired_with_the_owners_answer_to_it() -> None:
    thread = [
        letter("q1", "m1", "", 0, "Water comes in at the valley whenever it rains from the west, please advise."),
        letter("a1", "m2", "m1", 1, "The valley metal is most likely split: we replace it in a day, for about $400."),
        letter("q2", "m3", "m2", 0, "Thank you. Would the insurance pay for a valley that has split with age?"),
        letter("a2", "m4", "m3", 1, "No: wear is excluded. It pays only where a storm or a branch did the damage."),
        letter("c", "m5", "m3", 0, "My neighbour says that his insurance paid for the whole roof after hail."),
        letter("own", "m6", "m4", 1, "One more thing on that: send us a photo of the split before anybody touches it."),
    ]
    examples, rejections = derive(thread, CONFIG)
    assert not rejections
    assert sorted((e.question, e.answer, e.kind) for e in examples) == [
        (f"Leaking valley\n\n{thread[0].text}", thread[1].text, "mail"),
        (thread[2].text, thread[3].text, "mail"),
    ]
    assert {tuple(e.doc_ids) for e in examples} == {("q1", "a1"), ("q2", "a2")}
    assert {e.group for e in examples} == {"m1"}


def test_a_customers_headings_are_no_answers_and_a_subject_that_asks_keeps_its_letter() -> None:
    asked = letter("q1", "m1", "", 0, "# Is the warranty void after a year?\n\nMy neighbour says so.")
    asked = replace(asked, title="Quick question?")
    answer = letter("a1", "m2", "m1", 1, "No, it holds for ten years on material and for two on our own work.")
    (example,) = derive([asked, answer], CONFIG)[0]
    assert example.kind == "mail"
    assert example.question.startswith("Quick question?\n\nIs the warranty void")
