"""The first label whose rules hold wins, the last takes the rest, and which rule it was can be read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovereign_tasks.config import DatasetConfig, load_file
from sovereign_tasks.dataset.taxonomy import Taxonomy
from sovereign_tasks.errors import UserError
from sovereign_tasks.example_rules import DEFAULT_TAXONOMY, LabelConfig
from sovereign_tasks.records import Example

SOURCES = {"house": "files", "inbox": "mail"}
MODEL = """
model: siding
description: Assistant for siding crews
sources:
  - {name: house, kind: files, folder: "/documents", licence: owner, consent: own-content}
domain: {keywords: [siding]}
dataset:
  taxonomy:
"""


def example(question: str, kind: str = "heading", source: str = "house") -> Example:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "An answer."}]
    return Example("01", kind, source, "g", "en", messages, ["d"], [])


@pytest.mark.parametrize(
    ("asked", "label"),
    [
        (example("What does a slate roof cost?"), "core/fundamentals"),
        (example("How do I set a clip?", "howto"), "core/processes"),
        (example("What are the steps of a tear-off?"), "core/processes"),
        (example("Why does the chimney LEAK?"), "core/troubleshooting"),
        (example("What should I do if hail hits?", "scenario"), "core/troubleshooting"),
        (example("What is the worst  case for a valley?"), "specialised/edge_cases"),
        (example("What are the key points about vents?", "insight"), "specialised/expert_insights"),
        (example("Which emerging materials are there?"), "specialised/innovations"),
        (example("What is the wind rating of clay tile?"), "communication/technical"),
        (example("What is a ridge vent?", "definition"), "communication/educational"),
        (example("Can you come on Monday?", "mail", "inbox"), "communication/customer_facing"),
        (example("Which colours are there?", "pair", "inbox"), "communication/customer_facing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_default_taxonomy(asked: Example, label: str) -> None:
    assert Taxonomy(DatasetConfig().taxonomy, SOURCES).label(asked) == label


def test_the_default_taxonomy_has_all_nine_labels() -> None:
    assert {entry.label for entry in DEFAULT_TAXONOMY} == {
        "core/fundamentals",
        "core/processes",
        "core/troubleshooting",
        "specialised/edge_cases",
        "specialised/expert_insights",
        "specialised/innovations",
        "communication/customer_facing",
        "communication/technical",
        "communication/educational",
    }


def test_every_rule_that_is_stated_must_hold_and_the_one_that_did_is_named() -> None:
    taxonomy = Taxonomy(
        [
            LabelConfig(label="a/all", kinds=["mail"], words=["metal roof"], sources=["mail"]),
            LabelConfig(label="a/words", words=["metal roof", "tile"]),
            LabelConfig(label="a/rest"),
        ],
        SOURCES,
    )
    asked = example("Is a Metal\nroof loud?", "mail", "inbox")
    assert taxonomy.explain(asked).reason == (
        "rule 1 (a/all): its kind is mail and the question has 'metal roof' and its source is of kind mail"
    )
    for other in (replace(asked, kind="pair"), replace(asked, source="house"), replace(asked, source="gone")):
        assert taxonomy.explain(other).reason == "rule 2 (a/words): the question has 'metal roof'"
    assert (
        taxonomy.explain(example("Are metal roofs or tiles loud?")).reason == "rule 3 (a/rest): nothing above it fits"
    )


WORDS = st.lists(st.text("abcä1 ", min_size=1, max_size=4).filter(str.strip), min_size=1, max_size=3)


@given(st.lists(WORDS, max_size=4), st.text("abcäA1 ,?\n", max_size=20))
def test_the_first_rule_with_a_whole_word_wins(rules: list[list[str]], question: str) -> None:
    entries = [LabelConfig(label=f"a/l{n}", words=words) for n, words in enumerate(rules)]

    def holds(words: list[str]) -> bool:
        phrases = (r"\s+".join(map(re.escape, word.split())) for word in words)
        return any(re.search(rf"(?<!\w){phrase}(?!\w)", question, re.IGNORECASE) for phrase in phrases)

    expected = next((e.label for e, words in zip(entries, rules, strict=True) if holds(words)), "a/rest")
    taxonomy = Taxonomy([*entries, LabelConfig(label="a/rest")], SOURCES)
    assert taxonomy.label(example(question)) == expected


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (
            ["{label: a/b}", "{label: a/c}"],
            "dataset.taxonomy: a/b states no rule, so nothing below it is ever reached; give it kinds, words or "
            "sources, or put it last.",
        ),
        (
            ["{label: a/b, kinds: [howto]}"],
            "dataset.taxonomy: a/b is last and takes what fits no other, so end with a label without rules.",
        ),
        (
            ["{label: a/b, words: [leak, Metal  roof]}", "{label: a/c, words: [metal roof, LEAK]}", "{label: a/d}"],
            "dataset.taxonomy: a/c has the rules of a/b above it, so it is never given; change them or take it out.",
        ),
        (["{label: a/b, kinds: [howtos]}", "{label: a/c}"], "not 'howtos'; did you mean howto?"),
        (
            ["{label: a/b, sources: [mial]}", "{label: a/c}"],
            "dataset.taxonomy.0.sources: 'mial' is no kind of source; did you mean mail?",
        ),
        (["{label: processes}"], "dataset.taxonomy.0.label: 'processes' should match "),
        (["{label: a/b, words: ['?']}", "{label: a/c}"], "dataset.taxonomy.0.words.0: '?' should match "),
        (["{label: a/b, word: [x]}"], "dataset.taxonomy.0.word is not a known key; did you mean words?"),
    ],
)
def test_a_taxonomy_that_can_not_work_is_refused(tmp_path: Path, entries: list[str], said: str) -> None:
    path = tmp_path / "siding.yaml"
    path.write_text(MODEL + "".join(f"    - {entry}\n" for entry in entries))
    with pytest.raises(UserError) as caught:
        load_file(path)
    assert said in str(caught.value)
