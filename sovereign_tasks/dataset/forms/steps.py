"""Numbered steps: below "How to …", and below headings that name a process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sovereign_tasks.dataset.forms.actions import are_actions
from sovereign_tasks.dataset.forms.outline import Block, Outline, Section
from sovereign_tasks.dataset.forms.passage import Passage, plain
from sovereign_tasks.dataset.forms.subject import Fault, Subject, find_subject

_HOW_TO = re.compile(r"how (?:to|do you|do i|can you|can i)\s+(.+?)[?.:]?$", re.IGNORECASE)
_PROCESS = re.compile(
    r"(?:(?:\S+ ){0,6}(?:process|procedure|steps|instructions|directions|method|installation|set-?up"
    r"|preparation|workflow"
    r"|assembly|removal)(?: (?:of|for) .{1,80})?|[A-Z][a-z]{2,20}ing (?:an?|the|your|new|old)? ?\S.{2,80})",
    re.IGNORECASE,
)
_SAYS_SO = re.compile(r"\b(?:process|procedure|steps|instructions|directions)\b", re.IGNORECASE)
_BARE = re.compile(r"(?:the )?(?:steps|instructions|directions|method|process|procedure)(?: to take)?", re.IGNORECASE)
_FEWEST_WORDS = 3  # of a step; what has fewer is a list of names


def find_how_to(outline: Outline) -> Iterator[Passage]:
    """Headings that say how to do something, with all that stands below them, if it has numbered steps."""
    for section in outline.sections:
        how_to = _HOW_TO.match(section.title)
        if section.heading and how_to and any(map(_are_steps, section.blocks)):
            yield _asked_how(outline, section, how_to[1], section.blocks)


def find_titled_how_to(outline: Outline) -> Iterator[Passage]:
    """The only numbered steps of a page whose title says how to do something."""
    how_to = _HOW_TO.match(outline.title)
    if how_to and (blocks := _only_steps(outline)):
        yield _asked_how(outline, outline.sections[0], how_to[1], blocks)


def _asked_how(outline: Outline, section: Section, task: str, blocks: Sequence[Block]) -> Passage:
    subject = find_subject(outline.title if section.heading else "", section.above, outline.document.text)
    who = "you" if re.search(r"\byou(?:r|rs|rself)?\b", task, re.IGNORECASE) else "I"
    verb, _, rest = task.partition(" ")
    verb = verb.lower() if verb.istitle() else verb
    question, fault = subject.put(f"How do {who} {verb} {subject.small(rest)}".strip() + "?")
    return _passage(outline, question, "howto", section, blocks[0], blocks[-1], fault)


def find_processes(outline: Outline) -> Iterator[Passage]:
    """Numbered steps below a heading that names a process, with the sentence that leads to them."""
    for section in outline.sections:
        title = re.sub(r"^(?:step )?\d{1,2}[.):]\s+", "", section.title).rstrip(":.")
        steps = [n for n, block in enumerate(section.blocks) if _are_steps(block)]
        if section.heading is None or len(steps) != 1 or not _PROCESS.fullmatch(title):
            continue
        (n,) = steps
        if not (are_actions(section.blocks[n].items) or _SAYS_SO.search(title)):
            continue
        before = section.blocks[n - 1] if n else None
        first = before if before and before.kind == "paragraph" and before.text.endswith(":") else section.blocks[n]
        subject = find_subject(outline.title, section.above, outline.document.text)
        question, fault = _steps_of(title, subject)
        yield _passage(outline, question, "process", section, first, section.blocks[n], fault)


def _steps_of(title: str, subject: Subject) -> tuple[str, Fault | None]:
    if _BARE.fullmatch(title):
        return subject.lead("What are the steps?")
    named = subject.small(title)
    named = re.sub(r"\s+(?:process|procedure|steps|instructions|directions)$", "", named, flags=re.IGNORECASE)
    single = " " not in named and not named.lower().endswith("ing")
    return subject.put(f"What are the steps of {'the ' if single else ''}{named}?")


def _only_steps(outline: Outline) -> list[Block]:
    """The only numbered list of a document, with the sentence that leads to it."""
    steps = [n for n, block in enumerate(outline.blocks) if _are_steps(block)]
    if len(steps) != 1:
        return []
    (n,) = steps
    before = outline.blocks[n - 1] if n else None
    leads = before and before.kind == "paragraph" and before.text.endswith(":")
    return [*([before] if before and leads else []), outline.blocks[n]]


def _are_steps(block: Block) -> bool:
    return (
        block.kind == "steps"
        and len(block.items) >= 2
        and all(len(item.split()) >= _FEWEST_WORDS for item in block.items)
        and not any(item.split("\n")[0].endswith("?") for item in block.items)
    )


def _passage(
    outline: Outline,
    question: str,
    kind: str,
    section: Section,
    first: Block,
    last: Block,
    fault: Fault | None,
) -> Passage:
    document, heading = outline.document, section.heading
    rests_on = ((heading.start, heading.end),) if heading else ()
    text = plain(document.text[first.start : last.end])
    return Passage(question, kind, document, first.start, last.end, text, rests_on, fault=fault)
