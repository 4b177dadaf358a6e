"""Questions that a page asks and answers itself: headings, and questions without one ("Q:", bold, question lines)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from sovereign_tasks.dataset.forms.outline import Block, Outline, Section
from sovereign_tasks.dataset.forms.passage import Passage, plain
from sovereign_tasks.dataset.forms.subject import Fault, Subject, asks_nothing, find_subject

# A mark ends in a colon, stop or bracket before a space, or in a dash between spaces: "A-frame", "A 3-tab" are none.
_ENDS = r"(?:[.:)](?:[ \t]+|(?:\*\*|__)[ \t]*)|[ ][-–—][ \t]+)(?=\S)(?:\*\*|__)?"
_NUMBER = r"(?:[ ]?#\d{1,3}|\d{1,3})?"
_ASKED = re.compile(rf"(?:\*\*|__)?(?:Q{_NUMBER}|Question(?:[ ]?#?\d{{1,3}})?){_ENDS}([^\n]{{3,}})")
_ANSWERED = re.compile(rf"(?:\*\*|__)?(?:A{_NUMBER}|Answer(?:[ ]?#?\d{{1,3}})?){_ENDS}")
_ANSWERED_UNASKED = re.compile(r"(?:\*\*|__)?(?:A|Answer):(?:[ \t]+|(?:\*\*|__)[ \t]*)(?=\S)")  # below no mark "Q:"
_BOLD = re.compile(r"(?:\*\*|__)([^\n*_]{3,300}\?)(?:\*\*|__)[ \t]*(?:\n|(?=\S)|$)")
_LINE = re.compile(r"([A-Z¿][^\n.!?]{5,200}\?)[ \t]*(?:\n|$)")
_PROSE = {"paragraph", "bullets", "steps"}
_FEWEST_LINES = 2  # of bare question lines: one may be a turn of speech
_MOST_CHARS = 400  # of a question


def find_faq(outline: Outline) -> Iterator[Passage]:
    """Questions with answers below that have no heading of their own."""
    text, lines = outline.document.text, _question_lines(outline)
    for section in outline.sections:
        blocks = section.blocks
        opened = [(n, asked) for n, block in enumerate(blocks) if (asked := _opens(block, outline, lines))]
        for (n, (question, after, mark)), (following, _) in pairwise([*opened, (len(blocks), ("", 0, _ANSWERED))]):
            block, rest = blocks[n], blocks[n + 1 : following]
            start = after if after < block.end else rest[0].start if rest else block.end
            end = (rest or [block])[-1].end
            if block.kind == "entry":
                end = block.end
            start += len(text[start:end]) - len(text[start:end].lstrip())
            if rest and start >= block.end and rest[0].kind not in _PROSE:
                continue
            if marked := mark.match(text, start, end):
                start = marked.end()
            if start < end:
                subject = find_subject(outline.title, _above(section), outline.document.text)
                asked, fault = _standing(plain(question), subject, outline.document.language)
                if len(question) > _MOST_CHARS:
                    fault = "question_too_long", f"{len(question)} > {_MOST_CHARS}"
                yield _passage(outline, asked, "faq", (block.start, after), start, end, fault)


def find_headings(outline: Outline) -> Iterator[Passage]:
    """Question headings with all that stands below them, subsections that ask nothing themselves included."""
    for section in outline.sections:
        if section.heading is None or not section.title.endswith("?") or not section.whole:
            continue
        blocks = _own(section, outline)
        if not blocks:
            continue
        subject = find_subject(outline.title, section.above, outline.document.text)
        question, fault = _standing(section.title, subject, outline.document.language)
        heading = section.heading
        yield _passage(
            outline, question, "heading", (heading.start, heading.end), blocks[0].start, blocks[-1].end, fault
        )


def _standing(question: str, subject: Subject, language: str) -> tuple[str, Fault | None]:
    """The question so that it stands alone; of languages other than English only a label before it is seen."""
    question = re.sub(r"[ ?]*\?[ ?]*$", "?", question)
    question = question[:1].upper() + question[1:]
    if language == "en":
        return subject.put(question)
    return question, ("no_question", question[:60]) if re.search(r"\s?:\s", question) else None


def _own(section: Section, outline: Outline) -> Sequence[Block]:
    """What answers a question heading: up to the next question among its subsections."""
    for n, block in enumerate(section.whole):
        if block.kind == "heading" and plain(block.text).endswith("?"):
            return section.whole[:n]
    return section.whole


def _above(section: Section) -> tuple[str, ...]:
    return (*section.above, section.title) if section.heading else section.above


def _question_lines(outline: Outline) -> set[int]:
    """Where bare lines ask a question, if there are enough of them to be a form."""
    starts = {
        block.start
        for block, after in pairwise([*outline.blocks, None])
        if block.kind == "paragraph"
        and (line := _LINE.match(block.text))
        and not asks_nothing(line[1])
        and (line.end() < len(block.text) or (after is not None and after.kind in _PROSE))
    }
    return starts if len(starts) >= _FEWEST_LINES else set()


def _opens(block: Block, outline: Outline, lines: set[int]) -> tuple[str, int, re.Pattern[str]] | None:
    """The question that a block opens with, where in the text it ends, and the mark that its answer may have."""
    if block.kind == "entry":
        term, _, _ = block.text.partition("\n")
        return (term, block.start + len(term) + 3, _ANSWERED_UNASKED) if term.rstrip().endswith("?") else None
    if block.kind != "paragraph":
        return None
    for pattern in (_ASKED, _BOLD, _LINE):
        found = pattern.match(block.text)
        if found and (pattern is _ASKED or ": " not in found[1]) and (pattern is not _LINE or block.start in lines):
            mark = _ANSWERED if pattern is _ASKED else _ANSWERED_UNASKED
            return found[1].rstrip("*_ "), block.start + found.end(), mark
    return None


def _passage(
    outline: Outline,
    question: str,
    kind: str,
    asked: tuple[int, int],
    start: int,
    end: int,
    fault: Fault | None,
) -> Passage:
    document = outline.document
    return Passage(question, kind, document, start, end, plain(document.text[start:end]), (asked,), fault=fault)
