"""Questions and answers that stand in the documents: question headings, how-to steps, threads, answered mail.

The answer is the source's own words, less Markdown; nothing is invented. What does not make a good example is
rejected with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import ClassVar

from sovereign_tasks.config import DatasetConfig
from sovereign_tasks.dataset.synthesis import Filled, synthesise
from sovereign_tasks.records import Document, Example, Rejection, Span, keyed_hash

# Bounded, and never across lines: the text comes from anywhere.
_HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.{0,300}?)[ \t#]*$", re.MULTILINE)
_ORDERED = re.compile(r"^[ \t]*\d{1,3}[.)][ \t]+", re.MULTILINE)
_HOW_TO = re.compile(r"^how (?:to|do you|do i)\s+(.+?)[?.]?$", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\]\n]{0,300})\]\([^)\n]{0,2000}\)")
_EMPHASIS = re.compile(r"(\*\*|__|`)([^\n]{1,300}?)\1|(?<!\w)([*_])(?=\S)([^\n]{1,300}?)(?<=\S)\3(?!\w)")
_WORD = re.compile(r"[a-z0-9$%']+")
# Kinds of source that say which reply is an answer of the owner's side (score 1), and the form of its example.
_ANSWERED = {"mail": "mail", "table": "pair", "dataset": "pair", "files": "pair"}


RULES = 2
"""Counts up when the same documents give other examples: every group is then derived anew."""


@dataclass(frozen=True)
class Passage:
    """A question, and where its answer stands in a document; `asked_in` is the post or letter that asks, if any."""

    question: str
    kind: str
    document: Document
    start: int
    end: int
    answer: str
    asked_in: Document | None = None
    fault: ClassVar[None] = None  # each is measured by `_fault`

    @property
    def spans(self) -> list[Span]:
        """What question and answer rest on."""
        answer: Span = {"doc_id": self.document.doc_id, "start": self.start, "end": self.end}
        if self.asked_in is None:
            return [answer]
        return [{"doc_id": self.asked_in.doc_id, "start": 0, "end": len(self.asked_in.text)}, answer]


def derive(documents: Iterable[Document], config: DatasetConfig) -> tuple[list[Example], list[Rejection]]:
    """Turn whole document groups into examples, sorted by id; each example once.

    `documents` must hold every live document of each group it touches, since a thread's best answer depends on
    all of them.
    """
    examples: dict[str, Example] = {}
    rejections: dict[str, Rejection] = {}
    ordered = sorted(documents, key=lambda d: (d.group, d.doc_id))
    for group, documents in groupby(ordered, key=lambda d: d.group):
        members = list(documents)
        for passage in (*_passages(members), *synthesise(members, config.synthesis)):
            example = _example(passage, group)
            if reason := passage.fault or _fault(passage, config):
                text = f"{passage.question}\n\n{passage.answer}"
                rejections[example.example_id] = Rejection(
                    "examples", example.example_id, example.source, reason[0], reason[1], text, example.doc_ids
                )
            else:
                examples[example.example_id] = example
    return [examples[i] for i in sorted(examples)], [rejections[i] for i in sorted(rejections)]


def _passages(group: Sequence[Document]) -> Iterator[Passage]:
    roots = [d for d in group if not d.parent]
    for document in roots:
        if document.kind not in _ANSWERED or (document.kind == "files" and document.score is None):
            yield from _sections(document)  # what a customer writes is no answer, however it is laid out
    for root in roots:
        if root.kind not in _ANSWERED:
            yield from _thread(root, [d for d in group if d.parent])
    yield from _answered([d for d in group if d.kind in _ANSWERED])


def _sections(document: Document) -> Iterator[Passage]:
    """Question headings with the text below them, and how-to headings with their steps."""
    text = document.text
    headings = list(_HEADING.finditer(text))
    for heading, following in pairwise([*headings, None]):
        start, end = heading.end(), following.start() if following else len(text)
        title, body = _plain(heading[2]), text[start:end]
        start += len(body) - len(body.lstrip())
        end = start + len(body.strip())
        if start >= end:
            continue
        how_to = _HOW_TO.match(title)
        if how_to and len(_ORDERED.findall(text[start:end])) >= 2:
            yield Passage(f"How do I {how_to[1]}?", "howto", document, start, end, _plain(text[start:end]))
        elif title.endswith("?"):
            yield Passage(title, "heading", document, start, end, _plain(text[start:end]))


def _thread(root: Document, replies: Sequence[Document]) -> Iterator[Passage]:
    """A thread's question with the best-scored direct reply; ties go to the longer, then to the smaller id."""
    asked = f"{root.title}\n{root.text}"
    direct = [r for r in replies if r.parent == root.group and (r.author != root.author or not r.author)]
    if "?" not in asked or not direct:
        return
    best = min(direct, key=lambda d: (-(d.score or 0), -len(d.text), d.doc_id))
    yield Passage(_asked(root), "thread", best, 0, len(best.text), _plain(best.text), root)


def _answered(group: Sequence[Document]) -> Iterator[Passage]:
    """Each question of a thread with the owner's side's own answer to it; of several the longest, then the least id."""
    asked = {d.item: d for d in group if d.score != 1}
    answers: dict[str, list[Document]] = {}
    for answer in group:
        if answer.score == 1 and answer.parent in asked:
            answers.setdefault(answer.parent, []).append(answer)
    for item in sorted(answers):
        best = min(answers[item], key=lambda d: (-len(d.text), d.doc_id))
        form = _ANSWERED[best.kind]
        yield Passage(_asked(asked[item]), form, best, 0, len(best.text), _plain(best.text), asked[item])


def _asked(document: Document) -> str:
    """The words of a question: title and text, or a post's title that asks it all; a reply's title is its thread's."""
    detail, title = _plain(document.text), "" if document.parent else document.title
    if title.endswith("?") and document.kind not in _ANSWERED:
        return title
    return "\n\n".join(part for part in (title, detail) if part)


def _example(passage: Passage | Filled, group: str) -> Example:
    document, spans = passage.document, passage.spans
    doc_ids = [*dict.fromkeys(span["doc_id"] for span in spans)]
    return Example(
        example_id=keyed_hash("example", passage.question, passage.answer, *doc_ids),
        kind=passage.kind,
        source=document.source,
        group=group,
        language=document.language,
        messages=[
            {"role": "user", "content": passage.question},
            {"role": "assistant", "content": passage.answer},
        ],
        doc_ids=doc_ids,
        spans=spans,
        dated=document.created_at or document.added_at,
    )


def _fault(passage: Passage | Filled, config: DatasetConfig) -> tuple[str, str] | None:
    """The reason code and measured value that keep a passage out, if any."""
    length = len(passage.answer)
    if length < config.min_answer_chars:
        return "answer_too_short", f"{length} < {config.min_answer_chars}"
    if length > config.max_answer_chars:
        return "answer_too_long", f"{length} > {config.max_answer_chars}"
    asked = passage.answer.count("?")
    if asked > config.max_answer_questions:
        return "too_many_questions", f"{asked} > {config.max_answer_questions}"
    answer, question = set(_WORD.findall(passage.answer.lower())), set(_WORD.findall(passage.question.lower()))
    given = len(answer & question) / len(answer) if answer else 1.0
    if given > 0.8:
        return "answer_in_question", f"{given:.2f} > 0.80"
    return None


def _plain(markdown: str) -> str:
    """The words without links, emphasis and heading marks; paragraphs and numbered steps stay."""
    text = _LINK.sub(r"\1", markdown)
    text = _EMPHASIS.sub(lambda m: m[2] or m[4], text)
    text = _HEADING.sub(r"\2", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()
