"""Splits are by group and stay; what comes near a held-out row is found."""

from __future__ import annotations

from collections import Counter

from sovereign_tasks.dataset.split import assign, digest_examples, find_near
from sovereign_tasks.records import Example


def example(example_id: str, question: str, answer: str) -> Example:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Example(example_id, "heading", "web", example_id, "en", messages, [], [])


def split(groups: list[str], known: dict[str, str], holdout: float, sealed: float = 0.0) -> dict[str, str]:
    return assign(groups, known, holdout_share=holdout, sealed_share=sealed)


def test_shares_of_the_groups_are_held_out_and_sealed() -> None:
    splits = Counter(split([f"group {n}" for n in range(2000)], {}, 0.15, 0.05).values())
    assert 240 < splits["holdout"] < 360
    assert 60 < splits["sealed"] < 140
    assert splits.total() == 2000


def test_a_known_group_is_not_assigned_again() -> None:
    groups = [f"group {n}" for n in range(50)]
    known = dict.fromkeys(groups, "train")
    assert split(groups, known, 0.9) == {}


def test_the_split_of_a_group_does_not_depend_on_the_others() -> None:
    alone, among = split(["a page"], {}, 0.5), split(["a page", "b", "c"], {}, 0.5)
    assert among["a page"] == alone["a page"]


def test_a_reworded_copy_of_a_held_out_row_is_near_and_another_topic_is_not() -> None:
    held = example("h", "How long does slate last?", "A slate roof lasts between 75 and 150 years if it is cared for.")
    copy = example("t1", "How long does slate last?", "A slate roof lasts between 75 and 150 years if cared for.")
    other = example("t2", "What does slate cost?", "Slate costs between 15 and 30 dollars a square foot installed.")
    near = find_near(digest_examples([copy, other]), digest_examples([held]), 0.5)
    assert near.keys() == {"t1"}
    assert near["t1"][0] == "h"
    assert near["t1"][1] >= 0.5
