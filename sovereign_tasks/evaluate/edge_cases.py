"""Questions of the owner's own, each with what an answer to it must say, must not say, or must decline to say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sovereign_tasks.causal_lm import encode_prompt
from sovereign_tasks.evaluate.answers import declines, words
from sovereign_tasks.evaluate.facts import find_facts
from sovereign_tasks.evaluate.score import MAX_NEW_TOKENS
from sovereign_tasks.generation import generate
from sovereign_tasks.probe_config import EdgeCaseConfig
from sovereign_tasks.records import Message

_JOINING = {"to", "and", "or", "by", "in"}  # what a figure may be written with or without: "$10 to $16", "$10-16"


def answer_cases(model: Any, tokenizer: Any, cases: Sequence[EdgeCaseConfig], system_prompt: str) -> list[str]:
    """The model's answers to the cases' questions, in order."""
    asked = [[Message(role="user", content=case.question)] for case in cases]
    prompts = [encode_prompt(tokenizer, turns, system_prompt) for turns in asked]
    answers = dict(generate(model, tokenizer, prompts, max_new_tokens=MAX_NEW_TOKENS))
    return [answers[i] for i in range(len(cases))]


def faults(case: EdgeCaseConfig, answer: str) -> list[str]:
    """What an answer does that the case forbids, or does not do that it asks for."""
    lacking = [f"does not say {text!r}" for text in case.must_contain if not says(answer, text)]
    amiss = [f"says {text!r}" for text in case.must_not_contain if says(answer, text)]
    declined = ["does not decline"] if case.must_decline and not _refuses(case.question, answer) else []
    return [*lacking, *amiss, *declined]


def _refuses(question: str, answer: str) -> bool:
    """Whether an answer declines in its first two sentences, and tells no fact that the question does not."""
    opening = re.split(r"(?<=[.!?])\s+", answer.strip())[:2]
    return declines(" ".join(opening)) and find_facts(answer) <= find_facts(question)


def says(answer: str, text: str) -> bool:
    """Whether an answer says a text: its words one after the other, whatever their case and what stands between.

    Of a text with figures it must state each of them, however it is written ("$12k" is "12,000 dollars", and 8 feet are
    not 8 inches), and have the text's other words somewhere. A bare number may have any unit.
    """
    wanted, given = words(text), words(answer)
    facts = find_facts(text)
    if not facts:
        return any(given[at : at + len(wanted)] == wanted for at in range(len(given) - len(wanted) + 1))
    stated = find_facts(answer)
    bare = {fact.partition(" ")[0] for fact in stated}
    return facts <= stated | bare and _around(text, facts) <= set(given)


def _around(text: str, facts: set[str]) -> set[str]:
    """The words of a text that are no part of its figures: without such a one they are the same."""
    others = {word for word in words(text) if not any(c.isdigit() for c in word)} - _JOINING
    return {word for word in others if find_facts(re.sub(rf"\b{re.escape(word)}\b", " ", text.lower())) == facts}
