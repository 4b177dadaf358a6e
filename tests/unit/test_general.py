"""Everyday prose and chats."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from sovereign_tasks.evaluate.answers import declines
from sovereign_tasks.evaluate.score import GENERAL_ROWS, SEED
from sovereign_tasks.evaluate.slices import LEAST_ROWS
from sovereign_tasks.general import KINDS, SKILLS, WORDS, general_examples, general_text, skill_of


def test_the_splits_share_no_question_whatever_the_seeds() -> None:
    train = {e.question for seed in range(4) for e in general_examples(seed, 400, "train")}
    regression = {e.question for seed in range(4) for e in general_examples(seed, 120, "regression")}
    assert len(regression) > 120
    assert not train & regression


def test_examples_repeat_by_seed_and_differ_from_each_other() -> None:
    examples = general_examples(3, 300, "train")
    assert examples == general_examples(3, 300, "train")
    assert len({e.example_id for e in examples}) == 300
    assert {e.group for e in examples} == set(KINDS)
    assert examples != general_examples(4, 300, "train")


def test_text_is_as_long_as_asked_and_does_not_repeat_itself() -> None:
    text = list(general_text(1, 50_000))
    assert text == list(general_text(1, 50_000))
    assert 0.99 < sum(map(len, text)) / 4 / 50_000 < 1.01
    assert len(set(text)) > 0.99 * len(text)
    assert not any("{" in paragraph for paragraph in text)


def test_no_question_about_a_story_can_be_answered_without_it() -> None:
    for example in general_examples(5, 400, "train"):
        if example.group in ("owner", "whose", "where", "bought", "weather"):
            answer = example.answer.rstrip(".").split()[-1]
            assert answer in example.question


def test_the_measured_rows_tell_every_skill_apart() -> None:
    rows = Counter(skill_of(e) for e in general_examples(SEED, GENERAL_ROWS, "regression"))
    assert rows.keys() == SKILLS.keys()
    assert min(rows.values()) >= LEAST_ROWS
    (own,) = general_examples(1, 1, "train")
    assert skill_of(replace(own, group="a chat of the owner's")) == "own"


def test_what_nobody_can_know_or_do_is_declined_and_nothing_else() -> None:
    for example in general_examples(2, 600, "train"):
        assert declines(example.answer) == (skill_of(example) == "declining"), example.answer


def test_instructions_are_followed_to_the_word() -> None:
    for example in general_examples(2, 600, "train"):
        asked = example.question.rstrip(".?").split()
        match example.group:
            case "repeat":
                assert example.answer.endswith(
                    " it is " + " ".join([asked[3]] * (2 if asked[-1] == "twice" else 3)) + "."
                )
            case "commas":
                assert example.answer == f"With commas it is {', '.join(asked[-3:])}."
            case "swap":
                assert example.answer == f"The other way round it is {asked[-1]} {asked[-2]}."
            case "begin":
                assert example.answer.startswith(f"{asked[2].rstrip(':')}, the opposite of {asked[-1]} is ")
            case "yes_no":
                assert example.answer == ("Yes." if asked[6] in WORDS["groups"][asked[-1]] else "No.")
