"""What to do in a case: "If SITUATION, ACTION" at the head of a paragraph, and headings that name the case."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sovereign_tasks.dataset.forms.outline import Outline
from sovereign_tasks.dataset.forms.passage import Passage, plain
from sovereign_tasks.dataset.forms.subject import Fault, Subject, content, find_subject

_CASE = re.compile(r"(if|when|in case(?: of)?|in the event (?:of|that))\s+(?=\S)", re.IGNORECASE)
_WHEN_TO = re.compile(r"when to\s+(\S.{2,120})", re.IGNORECASE)
_VERBS = (
    "add adjust allow apply ask attach avoid bring build buy call change check choose clean clear click close collect "
    "compare connect consider consult contact continue cover cut disconnect discuss drain dry email empty enter fasten "
    "file fill find fit fix fold follow get give go hire hold insert inspect install keep leave let lift "
    "limit look lower make mark measure mix mount move open order pack pay phone photograph pick place plan plug pour "
    "press prime print pull push put raise read record reduce refer reinstall remember remove repair repeat replace "
    "report request reset restart return rinse roll run save schedule scrape seal seek select send set shut skip speak "
    "spray start stay stop store submit switch take talk tell test throw tie tighten touch treat trim try turn "
    "unplug update use verify visit wait walk wash watch wear wipe work write"
)
_ACTION = re.compile(
    r"(?:then )?(?:please |always |never |first,? |simply |just |immediately |carefully )?"
    rf"(?:(?:{'|'.join(_VERBS.split())})\b(?!,| and| or|ing\b)"
    r"|(?:do not|don't|make sure|be sure|be careful|do) \w"
    r"|you (?:should|must|need to|ought to|will need to|may need to|may want to|have to) \w"
    r"|we recommend |it(?:'s| is) (?:best|important|essential|a good idea) to )",
    re.IGNORECASE,
)
_POINTS_BACK = re.compile(
    r"(?:so|not|possible|necessary|needed|desired|applicable|in doubt|you (?:do|don't|can|can't|like|wish|want"
    r"|prefer|must))$"
    r"|\b(?:above|previous|below|following|this|that|these|those|it|they|them|such|he|she|same|persists?"
    r"|continues?|still)\b",
    re.IGNORECASE,
)
_YOU = re.compile(r"\byou(?:r|rs|rself|'\w+)?\b", re.IGNORECASE)
_FEWEST_WORDS, _MOST_CHARS = 3, 160  # of a situation


def find_cases(outline: Outline) -> Iterator[Passage]:
    """Headings that name a case, with the text below that says what to do."""
    for section in outline.sections:
        if section.heading is None or not section.blocks or section.title.endswith("?"):
            continue
        title = section.title.rstrip(":.")
        if not (_WHEN_TO.match(title) or _CASE.match(title)):
            continue
        subject = find_subject(outline.document.title, section.above, outline.document.text)
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
            said = plain(block.text)
            case = _CASE.match(said) if block.kind == "paragraph" else None
            if not case:
                continue
            situation = _situation(said, case.end())
            if not situation:
                continue
            subject = find_subject(outline.document.title, above, outline.document.text)
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
    for comma in re.finditer(r",\s+", sentence):
        if comma.start() > begins + _MOST_CHARS:
            break
        if _ACTION.match(sentence, comma.end()):
            return sentence[: comma.start()]
    return ""


def _ask(situation: str, begins: int, subject: Subject) -> tuple[str, Fault | None]:
    who = "you" if _YOU.search(situation) else "I"
    words = situation[begins:]
    question = f"What should {who} do {situation[0].lower()}{situation[1:]}?"
    if len(words.split()) < _FEWEST_WORDS or _POINTS_BACK.search(words):
        return question, ("points_back", situation[:60])
    if set(content(words)) & set(content(subject.name)):
        return question, None
    return subject.lead(question)


def _tells(said: str) -> bool:
    """Whether one of the first sentences says what to do."""
    return any(_ACTION.match(re.sub(r"^(?:\d+[.)]|[-*•])\s+", "", s)) for s in re.split(r"(?<=[.!?:])\s+", said)[:3])
