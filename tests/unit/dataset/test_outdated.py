"""The newer of two answers with other figures stands, and what is older than its source allows goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sovereign_tasks.dataset.outdated import figures, find_contradicted, find_too_old
from sovereign_tasks.records import Example

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def example(example_id: str, answer: str, days: int, question: str = "What does a slate roof cost?") -> Example:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Example(example_id, "faq", "web", example_id, "en", messages, [], [], NOW - timedelta(days=days))


def test_the_newer_answer_wins_and_is_named() -> None:
    old, new = example("a", "It costs $8,000.", 90), example("b", "It costs $9,500.", 3)
    assert find_contradicted([old, new]) == {"a": ("b", "8000, and others in b")}


def test_the_same_question_spelt_otherwise_is_the_same() -> None:
    old = example("a", "It costs $8,000.", 90, "what does a SLATE roof cost")
    assert find_contradicted([old, example("b", "It costs $9,500.", 3)]).keys() == {"a"}


def test_more_figures_or_none_are_no_contradiction() -> None:
    rows = [
        example("a", "It costs $8,000.", 90),
        example("b", "It costs $8000 and takes 3 days.", 3),
        example("c", "It costs more than you think.", 1),
    ]
    assert find_contradicted(rows) == {}


def test_other_questions_may_have_other_figures() -> None:
    rows = [example("a", "It costs $8,000.", 9), example("b", "It costs $9,500.", 3, "What does a tile roof cost?")]
    assert find_contradicted(rows) == {}


def test_of_three_only_what_agrees_with_the_newest_stands() -> None:
    rows = [example("a", "8 years.", 90), example("b", "9 years.", 30), example("c", "9 years, or 10.", 3)]
    assert find_contradicted(rows).keys() == {"a"}


def test_what_people_tell_of_their_own_cases_contradicts_nothing() -> None:
    rows = [example("a", "It cost me $8,000.", 9), example("b", "It cost me $9,500.", 3)]
    assert find_contradicted(replace(row, kind="thread") for row in rows) == {}


def test_numbers_of_steps_and_placeholders_are_no_figures() -> None:
    assert figures("1. Set 4 nails.\n2. Call [PHONE_1].\n10) Wait 2.5 hours.") == {"4", "2.5"}


def test_each_source_has_its_own_age() -> None:
    table = Example.to_table([example("a", "x", 31), example("b", "x", 29)])
    assert find_too_old(table, {"web": 30}, NOW) == {"a"}
    assert find_too_old(table, {"forum": 30}, NOW) == set()
