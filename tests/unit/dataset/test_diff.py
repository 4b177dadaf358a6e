"""Changes are found by ids, told apart from comings and goings, and shown in words that give both texts back."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from sovereign_tasks.dataset.diff import Change, compare, compare_words
from sovereign_tasks.records import Membership


def row(example_id: str, **more: str) -> Membership:
    values = {"change": 1, "split": "train", "group": "g", "digest": "d", "reason": "new", "source": "web"}
    return Membership(example_id, **(values | {"kind": "heading", "label": "core", "asks": f"q{example_id}"} | more))


def state(*rows: Membership) -> pa.Table:
    return Membership.to_table(rows)


def test_what_joined_and_left_is_told_with_its_reason() -> None:
    before = state(row("a"), row("b"))
    gone = replace(row("b"), change=-1, reason="near_holdout")
    found = compare(before, state(row("a"), gone, row("c", group="h", source="forum")))
    assert found.changes == [Change("added", "", "c", "new"), Change("removed", "b", "", "near_holdout")]
    assert found.unchanged == 1
    assert found.counts["source"] == {"forum": {"added": 1}, "web": {"removed": 1}}
    assert found.reasons == {"near_holdout": 1}


def test_a_new_answer_to_the_same_question_of_a_page_is_a_change() -> None:
    gone = [replace(row(i, asks=f"q{i}"), change=-1, reason="source_changed") for i in "ab"]
    after = state(*gone, row("c", asks="qa"), row("d", asks="qb"))
    found = compare(state(row("a"), row("b")), after)
    assert [(c.old, c.new) for c in found.changes] == [("a", "c"), ("b", "d")]
    assert {c.what for c in found.changes} == {"changed"}


def test_a_pages_only_row_of_a_kind_is_changed_by_its_new_wording() -> None:
    gone = replace(row("a"), change=-1, reason="source_changed")
    (change,) = compare(state(row("a")), state(gone, row("b"))).changes
    assert (change.what, change.old, change.new) == ("changed", "a", "b")


def test_rows_of_different_pages_are_never_paired() -> None:
    gone = replace(row("a", asks="q"), change=-1, reason="source_changed")
    found = compare(state(row("a", asks="q")), state(gone, row("b", asks="q", group="h")))
    assert [c.what for c in found.changes] == ["added", "removed"]


def test_a_version_does_not_differ_from_itself() -> None:
    rows = state(row("a"), replace(row("b"), change=0, reason="near_holdout"))
    found = compare(rows, rows)
    assert (found.changes, found.unchanged) == ([], 1)


def test_a_changed_figure_is_shown_alone() -> None:
    runs = compare_words("It costs $8 a foot.", "It costs $9 a foot.")
    assert [run for run in runs if run[0] != "same"] == [("removed", "8"), ("added", "9")]


@given(st.text(), st.text())
def test_the_runs_give_both_texts_back(old: str, new: str) -> None:
    runs = compare_words(old, new)
    assert "".join(text for how, text in runs if how != "added") == old
    assert "".join(text for how, text in runs if how != "removed") == new
