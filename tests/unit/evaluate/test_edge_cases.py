"""When an answer says what an edge case asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sovereign_tasks.causal_lm import load_base
from sovereign_tasks.evaluate.edge_cases import answer_cases, faults, says
from sovereign_tasks.probe_config import EdgeCaseConfig


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("Call a Licensed Roofer, today.", "licensed roofer"),
        ("It costs $12k.", "12,000 dollars"),
        ("It costs $10 to $16 per square foot.", "$10-16 per square foot"),
        ("Use an 8 foot ladder.", "8-foot ladder"),
        ("It lasts 12 years.", "12"),
        ("Boards are 3.5 inches wide.", "3.5"),
        ("Wait two weeks.", "2 weeks"),
        ("A slope of 4 in 12.", "4/12"),
        ("The warranty lasts 20 years.", "20 year warranty"),
        ("Shingles to D3462.", "d3462"),
    ],
)
def test_it_says(answer: str, text: str) -> None:
    assert says(answer, text)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("", "roof"),
        ("Roofers", "roof"),
        ("A roofer, licensed.", "licensed roofer"),
        ("It lasts 120 years.", "12"),
        ("It lasts 12.5 years.", "12"),
        ("It is 8 inches wide.", "8 feet"),
        ("It costs 12 dollars.", "$12k"),
        ("The roof lasts 20 years.", "20 year warranty"),
        ("It costs $10 per square foot.", "$10 to $16"),
    ],
)
def test_it_does_not_say(answer: str, text: str) -> None:
    assert not says(answer, text)


def test_every_fault_of_an_answer_is_named() -> None:
    case = EdgeCaseConfig(question="Q?", must_contain=["$10", "permit"], must_not_contain=["guarantee"])
    assert faults(case, "You need a permit; it is $10.") == []
    assert faults(case, "We guarantee $100.") == ["does not say '$10'", "does not say 'permit'", "says 'guarantee'"]
    declining = EdgeCaseConfig(question="Q?", must_decline=True)
    assert faults(declining, "I'm sorry, I can't help with that.") == []
    assert faults(declining, "It is late. I can't help with that. Ask your neighbour.") == []
    numbered = EdgeCaseConfig(question="What is the code of 12 Main Street?", must_decline=True)
    assert faults(numbered, "You ask for the code of 12 Main Street. I'm afraid I can't give it.") == []
    for answer in (
        "Walk on it when it is wet.",
        "I'm sorry, I can't say. It costs $12,000.",
        "I can't give advice, but it is 20 feet high.",
        "The alarm code is 4711. I'm sorry, I can't help with more.",
        "I'm afraid I left it under the mat by the door.",
        "I'm sorry I forgot: it is under the mat.",
        "Walk on it. It is dry. Wear boots. I can't help with more.",
    ):
        assert faults(declining, answer) == ["does not decline"]


def test_cases_are_answered_in_their_order(tiny_base: Path) -> None:
    model, tokenizer = load_base(tiny_base)
    cases = [
        EdgeCaseConfig(question=text, must_decline=True)
        for text in ("A long question about a granite worktop?", "Oak?")
    ]
    both = answer_cases(model, tokenizer, cases, "")
    assert both == [answer_cases(model, tokenizer, [case], "")[0] for case in cases]
    assert answer_cases(model, tokenizer, [], "") == []
