"""What keeps an answer out: too short or long, cut in the middle, resting on what stands elsewhere, or said already."""

from __future__ import annotations

import re

from sovereign_tasks.config import DatasetConfig
from sovereign_tasks.dataset.forms.passage import Passage
from sovereign_tasks.dataset.forms.subject import Fault

# Of scripts without spaces (Thai, Lao, Burmese, Khmer, Chinese, Japanese) each character counts as a word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_MARKS = "\u0300-\u036f\u0900-\u0963\u0966-\u0dff"  # accents apart from their letters, and vowel signs of India
_WORD = re.compile(rf"[{_UNSPACED}]|(?:[^\W_{_UNSPACED}]|[$%'{_MARKS}])+")
_PLACEHOLDER = re.compile(r"\[[A-Z_]{1,30}_\d{1,6}\]")  # of what was personal: nobody asks about it by that name
_MOST_GIVEN = 0.8  # of an answer's words that its question may hold
_ASKED_WITH_PART = {"scenario", "definition"}  # whose question holds some of the answer
_BELOW_QUESTION = {"heading", "faq"}  # whose answers are all that stands up to the next question
# A line of its own within such an answer that reads like a heading: what follows may answer something else.
_UNMARKED = re.compile(r"(?:\A|\n\n|\n(?=: ))(?:: )?([A-Z][^\n.:;?|]{3,80}[\w)!])\n(?:\n|(?=: ))(?:: )?(?=[A-Z(])")
_WHOLE = {"heading", "faq", "scenario"}  # whose answers begin a paragraph; a term may begin with a small letter
_NEW_WORDS = 4  # that such an answer has to have beyond its question
_ITEM = r"(?:[-*+•]|\d{1,3}[.)])[ \t]"
_LEADING = (
    r"\b(?:includ(?:e|es|ing)|such as|are|is|on|of|by|for|to|may|can|following|who|with|if|when|that|the|an?|and|or|as)"
)
# A paragraph that leads to what isn't there, or to a list of one.
_PROMISE = re.compile(
    rf"^(?![ \t]*{_ITEM})[^\n]{{0,1000}}(?:{_LEADING}|:)\n\n(?![ \t]*{_ITEM}|[ \t]*[|>`]| {{4}})"
    rf"|^[^\n]{{0,1000}}\b(?:includ(?:e|es|ing)|such as|are|following):?\n\n?[ \t]*{_ITEM}[^\n]*\n\n(?![ \t]*{_ITEM})",
    re.MULTILINE,
)
_ELSEWHERE = re.compile(
    r"\b(?:click here|see (?:above|below)"
    r"|more information (?:(?:about|on) )?[^\n.]{0,120}?(?:is|can be) (?:provided|available|found) (?:in|at|on)"
    r"|(?:see|shown|listed|described|as in|in) (?:the )?(?:table|figure|chart|diagram|photo|picture"
    r"|image|video)s? (?:below|above|at (?:left|right))"
    r"|as (?:mentioned|described|discussed|noted|explained|shown) (?:above|earlier|previously)"
    r"|(?:table|figure|chart|diagram|photo|picture|image|video|graph)s? (?:below|above) shows?)\b",
    re.IGNORECASE,
)
_CHROME = re.compile(
    r"^(?:read|learn|find out|see) more\b[^\n]{0,100}$|^(?:share|tweet|print|email) this\b|^advertisement$"
    r"|^(?:more on|related|see also|(?:also )?read(?: also| next)?|you may also like|photo|image|credits?|source)"
    r"\s?: ?[^\n]{0,80}$"
    r"|^(?:more|further|additional) information\b[^\n]{0,300}$|^\*+ ?see\b|^back to top\b",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE = re.compile(r"[.!?:;)\]\"'`|。！？：；）」』”»।؟۔]$|^\d|^[-*+•|>`]|^\s", re.MULTILINE)


def find_fault(passage: Passage, config: DatasetConfig) -> Fault | None:
    """The reason code and measured value that keep a passage out, if any."""
    answer = passage.answer
    if passage.asked_in is None and (found := _PLACEHOLDER.search(passage.question)):
        return "placeholder_in_question", found[0]
    length = len(answer)
    if length < config.min_answer_chars:
        return "answer_too_short", f"{length} < {config.min_answer_chars}"
    if length > config.max_answer_chars:
        return "answer_too_long", f"{length} > {config.max_answer_chars}"
    asked = answer.count("?")
    if asked > config.max_answer_questions:
        return "too_many_questions", f"{asked} > {config.max_answer_questions}"
    if passage.asked_in is None and passage.kind != "spec" and (cut := _cut_off(answer, passage.kind)):
        return cut
    if passage.kind in _BELOW_QUESTION:
        raw = passage.document.text[passage.start : passage.end]
        if found := _UNMARKED.search(raw):
            return "glued", found[1]
    said, question = words(answer), words(passage.question)
    given = len(said & question) / len(said) if said else 1.0
    if given > _MOST_GIVEN:
        return "answer_in_question", f"{given:.2f} > {_MOST_GIVEN:.2f}"
    if passage.kind in _ASKED_WITH_PART and len(said - question) < _NEW_WORDS:
        return "answer_in_question", f"{len(said - question)} new words < {_NEW_WORDS}"
    return None


def words(text: str) -> set[str]:
    """The words of a text, to compare by."""
    return set(_WORD.findall(text.lower()))


def _cut_off(answer: str, kind: str) -> Fault | None:
    """Whether an answer begins or ends in the middle, needs what stands elsewhere, or is no prose."""
    if answer.endswith((":", ",", ";", "...", "…", "：", "，", "、", "；")):
        return "cut_off", answer[-40:]
    if found := _PROMISE.search(answer):
        return "cut_off", found[0].strip()[-40:]
    if answer[:2].islower() and kind in _WHOLE:
        return "cut_off", answer[:40]
    if found := _ELSEWHERE.search(answer) or _CHROME.search(answer):
        return "refers_elsewhere", found[0]
    paragraphs = answer.split("\n\n")
    whole = sum(bool(_SENTENCE.search(paragraph)) for paragraph in paragraphs)
    if 2 * whole < len(paragraphs) or re.fullmatch(r"\([^()]*\)", answer):
        return "no_sentence", f"{whole} of {len(paragraphs)} paragraphs"
    return None
