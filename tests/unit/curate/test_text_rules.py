"""normalize, language, quality and relevance."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sovereign_tasks.config import ModelConfig, RewriteRule
from sovereign_tasks.curate.language import identify
from sovereign_tasks.curate.normalize import normalize, rewrite
from sovereign_tasks.curate.quality import judge
from sovereign_tasks.curate.relevance import relevance

PROSE = (
    "A ridge vent lets warm air out of the attic along the top of the roof. It works only when the soffit takes in as "
    "much air as the ridge lets out, so a crew should measure both before they cut the deck. Most homes "
    "need one square "
    "foot of free area for every three hundred square feet of attic floor, and half of that belongs at the ridge."
)


def test_normalize_keeps_paragraphs_and_drops_what_is_invisible() -> None:
    raw = "Cafe\u0301\u00a0roof\u200b  “steep”\u2028and\r\n\r\n\r\n\tflat\u00ad\x07 – 8‑15 …  \n"
    assert normalize(raw) == 'Café roof "steep"\nand\n\n flat – 8-15 ...'


def test_normalize_is_idempotent_and_leaves_code_alone() -> None:
    raw = "- a\n  - b   c\n\n```\nx =  '‘'\n    y\n```"
    once = normalize(raw)
    assert "x =  '‘'\n    y" in once
    assert "\n  - b c" in once
    assert normalize(once) == once


def test_rewrites_apply_in_order_and_spare_look_alikes(config: ModelConfig) -> None:
    assert (
        rewrite("1,800 SQ FT for $12k, not $12kg", config.domain.rewrites) == "1,800 square feet for $12,000, not $12kg"
    )


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (PROSE, True),
        ("Nice roof!", True),
        ("Standing seam.", True),
        ("+1", True),
        ("¿Cuánto cuesta un techo nuevo de metal para mi casa?", False),
        ("Das Dach ist undicht und muss vor dem Winter repariert werden.", False),
        ("отличная крыша", False),
        ("屋根の修理にはいくらかかりますか", False),
        ("Dacht ziet er goed uit vandaag", False),
        ("https://a.example/x [NAME_1] `roof = 1`", True),
        (
            "La toiture en ardoise dure plus de cent ans si on la répare à temps, et elle ne demande que peu de soins.",
            False,
        ),
    ],
)
def test_language(text: str, accepted: bool) -> None:
    assert identify(text, ["en"]).expected is accepted


def test_language_follows_the_configured_ones() -> None:
    assert identify("Das Dach ist undicht und muss vor dem Winter repariert werden.", ["en", "de"]).code == "de"


LINE = "All work is guaranteed for ten years.\n"


@pytest.mark.parametrize(
    ("text", "profile", "reason"),
    [
        (PROSE, "page", ""),
        ("Yes, twice a year.", "forum", ""),
        ("Yes, twice a year.", "page", "too_short"),
        ("ok", "forum", "too_short"),
        ("[deleted] by user", "forum", ""),
        (PROSE + " Lorem ipsum dolor sit amet.", "page", "placeholder"),
        ("Please enable JavaScript to view this page. " + "Loading now. " * 9, "page", "placeholder"),
        (PROSE + " Page not found errors are common on roofing sites.", "page", ""),
        ("= < > ~ ^ " * 20 + PROSE, "page", "symbols"),
        ("12 34 56 78 " * 30 + "nails and screws", "page", "alphabetic"),
        (LINE * 20 + PROSE, "page", "repeated_lines"),
        (
            " ".join(f"roof{i} tile{i} slate{i}." for i in range(40)).translate(
                str.maketrans("0123456789", "abcdefghij")
            ),
            "page",
            "stop_words",
        ),
        (
            "Best roof deals | Cheap roofs | Top 10 roofs | Click here | Read more | Old home | " * 3,
            "page",
            "sentences",
        ),
        ("call now for a quote " * 20 + PROSE, "page", "top_3grams"),
        ("\n".join(f"- item {w} of the list with words..." for w in sorted(set(PROSE.split()))), "page", "bullets"),
        (
            "1. Tie off the ladder.\n2. Lift out the leaves.\n3. Rinse each run.\n4. Check every "
            "joint.\n5. Seal what drips.",
            "document",
            "",
        ),
    ],
)
def test_quality(text: str, profile: str, reason: str) -> None:
    found = judge(text, profile, "en")
    assert found.reason == reason
    assert bool(found.measured) == bool(reason)
    assert 0 <= found.score <= 1
    assert (found.score > 0) == (not reason)


def test_a_long_text_is_read_at_its_ends_and_in_its_middle() -> None:
    german = "Das Dach ist undicht und muss vor dem Winter repariert werden. "
    assert identify(PROSE + german * 40, ["en"]).code == "de"
    assert identify("1234 | " * 200 + PROSE, ["en"]).code == "en"
    found = identify(PROSE * 500, ["en"])
    assert (found.code, found.short) == ("en", False)
    assert found.confidence > 0.9


def test_relevance_meets_word_forms_and_phrases() -> None:
    keywords = ["roof", "standing seam", "tile"]
    assert relevance("", "roofing roofs roofer tiles", keywords) > 0.9
    assert relevance("", "a standing order and a seam " * 5, keywords) == 0
    assert relevance("", "standing seam is quiet", keywords) > 0.8
    assert relevance("", "proof of a hostile textile", keywords) == 0


def test_relevance_follows_its_formula_title_and_replies() -> None:
    assert relevance("", "roof " + "word " * 19, ["roof"]) == 0.5
    assert relevance("", "roof tile " + "word " * 18, ["roof", "tile"]) == 0.75
    assert relevance("", "roof roof " + "word " * 18, ["roof", "tile"]) == 0.6667
    assert relevance("roof", "word " * 15, ["roof"]) == round(0.25 / 0.3, 4)
    assert relevance("", "roof " + "word " * 179, ["roof"]) == 0.1
    assert relevance("", "Yes, twice a year.", ["roof"]) == 0
    assert relevance("", "Yes, twice a year.", ["roof"], reply=True) == 1
    assert relevance("", "", ["roof"]) == 0


ONE_LINE = re.compile(r"[`\s\x1c-\x1e\u0085\u2028\u2029]")
ANY_TEXT = st.text(
    st.one_of(
        st.characters(),
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("\r\n\t\v\f\0\u0085\u2028\u2029\u00a0\u00ad\u200b\u0301\u1100\u1161\ufeff`~ '…"),
    ),
    max_size=80,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(ANY_TEXT, st.sampled_from(["```", "\n```", "\r\n\r\n", "\n\n", "\n \n"]))).map("".join))
def test_normalize_takes_any_text_and_is_idempotent(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not re.search(r"[\0-\x08\x0b-\x1f\u200b\ud800-\udfff]|\n{3}", once)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(ANY_TEXT, max_size=6), st.sampled_from(["\n\n", "\r\n\r\n", "\r\r", "\n \t\n", "\n\n\n", "\u2029\u2029"])
)
def test_normalize_joins_no_paragraphs(between: list[str], gap: str) -> None:
    words = [f"start{n} {' '.join(ONE_LINE.split(text))} end{n}" for n, text in enumerate(between)]
    paragraphs = normalize(gap.join(words)).split("\n\n")
    if words:
        assert len(paragraphs) == len(words)
    for n, paragraph in enumerate(paragraphs if words else []):
        assert paragraph.lstrip().startswith(f"start{n}")
        assert paragraph.endswith(f"end{n}")


def test_a_catastrophic_rewrite_is_refused_in_one_sentence() -> None:
    with pytest.raises(ValidationError, match="takes too long") as refused:
        RewriteRule(pattern=r"(a+)+$", replace="b", examples={"aa": "b"})
    assert refused.value.error_count() == 1


@pytest.mark.parametrize(
    ("pattern", "replace", "example", "why"),
    [
        ("roof", "roof roof", ("a roof", "a roof roof"), "changes its own result: 'a roof roof' becomes"),
        ("(", "x", ("a", "a"), "is not a regular expression"),
        ("a", r"\2", ("a", "b"), "is not a regular expression"),
        ("a", "b", ("a", "c"), "'a' becomes 'b', not 'c'"),
    ],
)
def test_a_rule_that_does_not_hold_is_refused(pattern: str, replace: str, example: tuple[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(why)):
        RewriteRule(pattern=pattern, replace=replace, examples=dict([example]))
