"""What to do in a case: "If SITUATION, ACTION" at the head of a paragraph, and headings that name the case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from sovereign_tasks.dataset.forms.actions import says_what_to_do
from sovereign_tasks.dataset.forms.outline import Outline
from sovereign_tasks.dataset.forms.passage import Passage, plain
from sovereign_tasks.dataset.forms.subject import Fault, Subject, find_subject

_CASE = re.compile(r"(if(?!\s\w+ing\b)|when|in case(?: of)?|in the event (?:of|that))\s+(?=\S)", re.IGNORECASE)
_WHEN_TO = re.compile(r"when to\s+(\S+\s.{2,120})", re.IGNORECASE)
_POINTS_BACK = re.compile(
    r"(?:so|not|possible|necessary|needed|desired|applicable|in doubt|you (?:do|don't|can|can't|like|wish|want"
    r"|prefer|must|know|agree|don't know|don't agree|don't understand))$"
    r"|\b(?:above|previous|below|following|this|that|these|those|it|they|them|such|he|she|same|persists?"
    r"|continues?|still)\b",
    re.IGNORECASE,
)
_YOU = re.compile(r"\byou(?:r|rs|rself|'\w+)?\b", re.IGNORECASE)
_FEWEST_WORDS, _MOST_CHARS = 3, 160  # of a situation
_MOST_LISTED = 4  # words between two commas of its own


def find_cases(outline: Outline) -> Iterator[Passage]:
    """Headings that name a case, with the text below that says what to do."""
    for section in outline.sections:
        if section.heading is None or not section.blocks or section.title.endswith("?"):
            continue
        title = section.title.rstrip(":.")
        if not (_WHEN_TO.match(title) or _CASE.match(title)):
            continue
        subject = find_subject(outline.title, section.above, outline.document.text)
        start, end = section.blocks[0].start, section.blocks[-1].end
        said = plain(outline.document.text[start:end])
        if when := _WHEN_TO.fullmatch(title):
            who = "you" if _YOU.search(title) else "I"
            question, fault = subject.put(f"When should {who} {subject.small(when[1])}?")
        elif (case := _CASE.match(title)) and _tells(said):
            question, fault = _ask(subject.small(title), case.end(), subject)
        else:
            continue
        rests_on = ((section.heading.start, section.heading.end),)
        yield Passage(question, "scenario", outline.document, start, end, said, rests_on, fault=fault)


def find_scenarios(outline: Outline) -> Iterator[Passage]:
    """Paragraphs that open with a case and say what to do in it."""
    for section in outline.sections:
        above = (*section.above, section.title) if section.heading else section.above
        for n, block in enumerate(section.blocks):
            said = " ".join(plain(block.text).split()) if block.kind == "paragraph" else ""
            case = _CASE.match(said)
            if not case:
                continue
            situation = _situation(said, case.end())
            if not situation:
                continue
            subject = find_subject(outline.title, above, outline.document.text)
            end = block.end
            if (
                block.text.endswith(":")
                and n + 1 < len(section.blocks)
                and section.blocks[n + 1].kind in ("bullets", "steps")
            ):
                end = section.blocks[n + 1].end
            question, fault = _ask(situation, case.end(), subject)
            said = plain(outline.document.text[block.start : end])
            yield Passage(question, "scenario", outline.document, block.start, end, said, fault=fault)


def _situation(said: str, begins: int) -> str:
    """The case up to the comma behind which the action begins; empty where there is none in the first sentence."""
    sentence = re.split(r"(?<=[.!?:])\s", said, maxsplit=1)[0]
    commas = list(re.finditer(r",\s+(?:then\s+)?", sentence[: begins + _MOST_CHARS]))
    for comma, following in pairwise([*commas, None]):
        if says_what_to_do(sentence, comma.end()):
            return sentence[: comma.start()]
        part = sentence[comma.end() : following.start() if following else None]
        if len(part.split()) > _MOST_LISTED:  # no more of a list: what stands there is the action, and isn't one
            break
    return ""


def _ask(situation: str, begins: int, subject: Subject) -> tuple[str, Fault | None]:
    who = "you" if _YOU.search(situation) else "I"
    words = situation[begins:]
    question = f"What should {who} do {situation[0].lower()}{situation[1:]}?"
    if len(words.split()) < _FEWEST_WORDS or _POINTS_BACK.search(words):
        return question, ("points_back", situation[:60])
    if subject.is_in(words):
        return question, None
    return subject.lead(question)


def _tells(said: str) -> bool:
    """Whether one of the first sentences says what to do."""
    return any(says_what_to_do(re.sub(r"^(?:\d+[.)]|[-*•])\s+", "", s)) for s in re.split(r"(?<=[.!?:])\s+", said)[:3])
