"""Rules and bounds of quality, and the repetition that they weigh."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovereign_tasks.curate.quality import LEAST, MOST, PROFILES, judge
from sovereign_tasks.curate.repetition import AGAIN, TOP, repeated_ngrams, repeated_parts

from .test_text_rules import PROSE

LINES = "\n".join(f"{PROSE[i * 60 : i * 60 + 60]}." for i in range(6))
LONG = ("antidisestablishmentarianism", "counterrevolutionaries", "mischaracterisations", "uncharacteristically")
DISTINCT = " ".join(a + b + c for a in "bdfgk" for b in "aeiou" for c in "lmn")


@pytest.mark.parametrize(
    ("text", "profile", "reason"),
    [
        (f"{PROSE} {DISTINCT} of the and to", "page", ""),
        ("function() { return { } } " * 2 + PROSE, "page", "curly_braces"),
        (f"```\nfunction() {{ return {{ }} }}\n```\n{PROSE}", "page", ""),
        (PROSE + "\nRead our terms of use and why we use cookies." * 9, "page", "boilerplate"),
        (f"{PROSE}\nWe use cookies.", "page", ""),
        (f"{PROSE} {' '.join(LONG)}", "page", ""),
        (" ".join(LONG) * 9 + " of the and to", "page", "long_words"),
        (f"{PROSE} {' '.join('abcdefghijklmnopqrstuvwxyz' * 6)}", "page", "short_words"),
        (f"{PROSE} {'Jv8+' * 400}", "document", "blob"),
        (f"{LINES}\n" + "\n".join(f"It is the {w} of it" for w in DISTINCT.split()[:20]), "page", "short_lines"),
        ("\n".join(f"This line is of the {w} and has no end" for w in DISTINCT.split()), "page", "line_punctuation"),
        ("\n".join(f"This is what it is of the {w}..." for w in DISTINCT.split()[:20]), "page", "ellipses"),
        ("\n".join(f"{w} is." for w in DISTINCT.split()[:30]), "page", "newlines"),
        (f"{PROSE}\n\n{PROSE}\n\n{PROSE}", "page", "repeated_lines"),
        (f"{PROSE}\n\n{PROSE}\n\nOne more.\n\nAnd two.", "page", "repeated_line_chars"),
        (f"{PROSE} {PROSE}", "page", "repeated_5grams"),
        ("What is a ridge vent?\n\nWhat is a ridge vent?", "forum", ""),
        ("Is it slate?\n\nYes.", "qa", ""),
        ("What is 7 times 8?\n\n7 * 8 = 56", "qa", ""),
        ("42", "qa", "too_short"),
        ("Thanks, we will come on Monday.", "mail", ""),
        ("See you.", "mail", "too_short"),
        (f"{DISTINCT} " * 1, "mail", "stop_words"),
    ],
)  # fmt: skip
def test_each_rule_by_its_name(text: str, profile: str, reason: str) -> None:
    assert judge(text, profile, "en").reason == reason


def test_what_was_measured_stands_against_its_bound() -> None:
    assert judge("too few words", "page", "en").measured == "3 < 25"
    value, sign, bound = judge(f"{PROSE} {PROSE}", "page", "en").measured.split()
    assert (float(value) > float(bound), sign) == (True, ">")
    assert float(bound) == MOST["repeated_5grams"][PROFILES.index("page")]


def test_every_kind_of_writing_has_bounds_of_its_own() -> None:
    rows = {profile: [row[i] for row in (*LEAST.values(), *MOST.values())] for i, profile in enumerate(PROFILES)}
    assert all(len(row) == len(PROFILES) for row in (*LEAST.values(), *MOST.values()))
    assert len({tuple(row) for row in rows.values()}) == len(PROFILES)
    assert not LEAST.keys() & MOST.keys()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*"aab \n\n", "the ", "a--b'", "é", "屋", "```", "{", "..."]), max_size=120).map("".join)
)
def test_any_text_is_judged_in_bounds(text: str) -> None:
    for profile in PROFILES:
        found = judge(text, profile, "en")
        assert 0 <= found.score <= 1
        assert bool(found.reason) == bool(found.measured)


def test_repeated_parts_by_count_and_by_characters() -> None:
    assert repeated_parts(["ab", "cdef", " ab ", "ab"]) == (0.5, 0.4)
    assert repeated_parts([]) == (0, 0)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["a", "bb", "ccc", "dddd"]), min_size=10, max_size=60))
def test_ngram_shares_are_those_of_looking_at_every_ngram(words: list[str]) -> None:
    shares = dict(repeated_ngrams(words))
    total = len("".join(words))
    assert list(shares) == [*TOP, *AGAIN]
    for n, share in shares.items():
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        if n in TOP:
            most = max(map(grams.count, grams))
            longest = max(len("".join(g)) for g in grams if grams.count(g) == most)
            expected = most * longest if most >= 3 else 0
        else:
            again = {j for i, g in enumerate(grams) if g in grams[:i] for j in range(i, i + n)}
            expected = sum(len(words[j]) for j in again)
        assert share == pytest.approx(expected / total)
