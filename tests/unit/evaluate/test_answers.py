"""Answers held against the right ones."""

from __future__ import annotations

import pytest

from sovereign_tasks.evaluate.answers import declines, rouge_l, score_answers, token_f1, words


def test_f1_and_rouge_by_hand() -> None:
    given, wanted = words("The cat sat on $1,200.50"), words("the CAT was on 1,200.50 sat")
    assert wanted == ["the", "cat", "was", "on", "1,200.50", "sat"]
    assert token_f1(given, wanted) == pytest.approx(2 * 5 / 11)
    assert rouge_l(given, wanted) == pytest.approx(2 * 4 / 11)
    assert token_f1([], wanted) == rouge_l([], wanted) == rouge_l(["dog"], wanted) == 0
    assert rouge_l(wanted, wanted) == token_f1(wanted, wanted) == 1


def test_every_answer_has_its_metrics_and_none_where_one_does_not_apply() -> None:
    scores = score_answers(["It costs $500.", "I don't know."], ["It costs $500 to $900.", "Ask a roofer."])
    assert scores["facts"] == [0.5, None]
    assert scores["length"] == [pytest.approx(14 / 22), 1.0]
    assert scores["refused"] == [0.0, 1.0]
    assert scores["token_f1"] == [pytest.approx(2 * 3 / 8), 0.0]
    assert score_answers(["", "x"], ["Wait 2 days.", ""])["length"] == [0.0, None]


@pytest.mark.parametrize(
    "answer",
    [
        "I can't help with that.",
        "I’m sorry, but I cannot answer this question.",
        "I'm sorry, I can't say.",
        "I am afraid that I don't have that information.",
        "As an AI, I have no opinion.",
        "Well, I do not know.",
        "I'm unable to give prices.",
        "That is beyond my expertise.",
    ],
)
def test_an_answer_that_declines(answer: str) -> None:
    assert declines(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "A cracked tile can't be repaired, and I would renew it.",
        "Ask a roofer if you don't know the slope.",
        "I can't recommend this enough: I know of no better roof.",
        "Sorry to hear of the leak. I would start at the flashing.",
        "The warranty won't help after five years.",
        "",
    ],
)
def test_an_answer_that_speaks_of_what_can_not_be_done_does_not_decline(answer: str) -> None:
    assert not declines(answer)
