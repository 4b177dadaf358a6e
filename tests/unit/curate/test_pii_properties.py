"""What holds of every text: arbitrary Unicode, and texts put together from what personal data is made of."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovereign_tasks.config import PersonalDataConfig
from sovereign_tasks.curate.language import identify
from sovereign_tasks.curate.pii import PLACEHOLDER, find, scrub, scrub_together

FRAGMENTS = (
    "ann@mail.example", "(207) 555-0134", "+44 20 7946 0958", "555-123-4567 x89", "4111 1111 1111 1111", "219-09-9999",
    "GB82 WEST 1234 5698 7654 32", "203.0.113.9", "2001:db8::7", "00:1B:44:11:3A:B7", "[PHONE_1]", "[EMAIL_3f9a1c0b]",
    "[NAME_12345678]", "[NAME_2", "PHONE_1]", "[", "]", "_", "Dana Whitfield", "Mrs. O'Brien", "my name is ", "Dana",
    "SSN", "call ", "Tel. ", "password: ", "hunter2!", "PIN: 4821", "geb. ", "12.03.1985", "passport no. ", "X1234567",
    "DNI ", "12345678Z", "1600 Alder Creek Pkwy", "40.712776, -74.005974", "@roof_guy88", "u/", "https://", "x.com/ann",
    "AKIAIOSFODNN7EXAMPLE", "order ", "12", "7", "-", ".", ",", ":", " ", "\n", "\t", "\u00a0", "\u2011", "\u200b",
    "٣", "１２３", "İ", "ß", "@", "+", "(", "Regards,\n", "Hi ", "VIN 1HGCM82633A004352",
)  # fmt: skip
PUT_TOGETHER = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join)
TEXTS = st.one_of(PUT_TOGETHER, st.lists(st.sampled_from(FRAGMENTS), max_size=10).map(" ".join), st.text(max_size=120))
KNOWN = st.lists(
    st.sampled_from(["Dana Whitfield", "O'Brien", "roof_guy88", "İnci", "[", "PHONE_1", "x.com"]), max_size=2
)
KINDS = st.sampled_from([PersonalDataConfig(), PersonalDataConfig(region="DE", placeholders="keyed")])
SOME = settings(max_examples=150, deadline=None)


@SOME
@given(TEXTS, KNOWN)
def test_spans_are_in_range_in_order_and_apart(text: str, names: list[str]) -> None:
    spans = find(text, names=names)
    ends = [0, *(s.end for s in spans)]
    assert all(end <= s.start < s.end <= len(text) for end, s in zip(ends, spans, strict=False))
    held = {at for m in PLACEHOLDER.finditer(text) for at in range(*m.span())}
    assert not any(held & set(range(s.start, s.end)) for s in spans)


@SOME
@given(TEXTS, KNOWN, KINDS)
def test_what_was_replaced_stays_so(text: str, names: list[str], how: PersonalDataConfig) -> None:
    once = scrub(text, names=names, settings=how)
    again = scrub(once.text, names=names, settings=how)
    assert (again.text, again.counts) == (once.text, {})
    before = Counter(m[0] for m in PLACEHOLDER.finditer(text))
    after = Counter(m[0] for m in PLACEHOLDER.finditer(once.text))
    assert not before - after
    assert sum(after.values()) - sum(before.values()) == sum(once.counts.values())


@SOME
@given(TEXTS)
def test_what_a_span_holds_is_what_goes(text: str) -> None:
    spans = find(text)
    ends = [0, *(s.end for s in spans)]
    starts = [*(s.start for s in spans), len(text)]
    kept = [text[a:b] for a, b in zip(ends, starts, strict=True)]
    replaced = "".join(f"{part}{'[' + s.kind + '_1]'}" for part, s in zip(kept, spans, strict=False)) + kept[-1]
    once = scrub(text)
    if sum(once.counts.values()) == len(spans):  # no second round found more
        assert PLACEHOLDER.sub("#", once.text) == PLACEHOLDER.sub("#", replaced)


def test_keyed_placeholders_are_the_same_in_every_document(monkeypatch: pytest.MonkeyPatch) -> None:
    how = PersonalDataConfig(placeholders="keyed")
    first = scrub("Call (207) 555-0134 or mail ann@mail.example", settings=how)
    scrubbed = scrub_together(["ANN@mail.example", "207.555.0134 is my cell"], settings=how)
    texts, counts = scrubbed.texts, scrubbed.counts
    phone, mail = (m[0] for m in re.finditer(r"\[(?:PHONE|EMAIL)_[0-9a-f]{8}\]", first.text))
    assert texts == [mail, f"{phone} is my cell"]
    assert counts == {"EMAIL": 1, "PHONE": 1}
    monkeypatch.setenv("SOVEREIGN_KEY", "7b" * 32)
    assert phone not in scrub("(207) 555-0134", settings=how).text


def test_placeholders_say_nothing_of_the_language() -> None:
    prose = "Die Dachdecker haben gestern den First neu eingedeckt, und heute kommt die Rinne dran, sagt der Meister"
    held = " ".join(["[PHONE_1]", "[EMAIL_3f9a1c0b]"] * 20)
    assert identify(f"{prose} {held}", ["de"]) == identify(prose, ["de"])
