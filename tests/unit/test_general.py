"""Everyday prose and chats."""

from __future__ import annotations

from sovereign_tasks.general import KINDS, general_examples, general_text


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
