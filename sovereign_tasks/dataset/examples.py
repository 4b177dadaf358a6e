"""Questions and answers that stand in the documents: in the forms of `forms`, in threads and in answered mail.

The answer is the source's own words, less Markdown; nothing is invented. What does not make a good example is
rejected with a reason.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from sovereign_tasks.config import DatasetConfig
from sovereign_tasks.dataset.forms import find_passages
from sovereign_tasks.dataset.forms.answers import find_fault, words
from sovereign_tasks.dataset.forms.passage import Passage, plain
from sovereign_tasks.dataset.synthesis import synthesise
from sovereign_tasks.records import Document, Example, Rejection, keyed_hash

# Kinds of source that say which reply is an answer of the owner's side (score 1), and the form of its example.
_ANSWERED = {"mail": "mail", "table": "pair", "dataset": "pair", "files": "pair"}
_MOST_COMPARED = 50  # answers of a page that share a long word
_ALIKE = 0.8  # of two answers' words, from which one page says the same twice

RULES = 4
"""Counts up when the same documents give other examples: every group is then derived anew."""


def derive(documents: Iterable[Document], config: DatasetConfig) -> tuple[list[Example], list[Rejection]]:
    """Turn whole document groups into examples, sorted by id; each example once.

    `documents` must hold every live document of each group it touches, since a thread's best answer depends on
    all of them.
    """
    examples: dict[str, Example] = {}
    rejections: dict[str, Rejection] = {}
    ordered = sorted(documents, key=lambda d: (d.group, d.doc_id))
    for group, together in groupby(ordered, key=lambda d: d.group):
        members = list(together)
        # A template may say again what a form found: that is what it is for.
        made = (
            (passage, passage.fault or find_fault(passage, config)) for passage in synthesise(members, config.synthesis)
        )
        for passage, reason in (*_choose(_passages(members), config), *made):
            example = _example(passage, group)
            if reason:
                text = f"{passage.question}\n\n{passage.answer}"
                rejections[example.example_id] = Rejection(
                    "examples", example.example_id, example.source, reason[0], reason[1], text, example.doc_ids
                )
            else:
                examples[example.example_id] = example
    left_out = sorted(rejections.keys() - examples.keys())  # a pair that stands twice is an example nonetheless
    return [examples[i] for i in sorted(examples)], [rejections[i] for i in left_out]


def _choose(passages: Iterable[Passage], config: DatasetConfig) -> Iterator[tuple[Passage, tuple[str, str] | None]]:
    """Passages with the fault that keeps each out, if any; the first form that makes an example of a text has it."""
    pages: defaultdict[tuple[str, str], _Page] = defaultdict(_Page)
    for passage in passages:
        page = pages[passage.document.doc_id, passage.asked_in.doc_id if passage.asked_in else ""]
        if page.taken.meets(passage):
            continue
        reason = passage.fault or find_fault(passage, config) or page.repeated(passage)
        if reason and page.faulty.meets(passage):
            continue  # one reason for one text
        page.add(passage, reason)
        yield passage, reason


class _Ranges:
    """Characters of a text that passages stand in, none of them twice."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def meets(self, passage: Passage) -> bool:
        """Whether a passage overlaps one that is here."""
        place = bisect_left(self._ranges, (passage.end, 0))
        return place > 0 and self._ranges[place - 1][1] > passage.start

    def add(self, passage: Passage) -> None:
        insort(self._ranges, (passage.start, passage.end))


class _Page:
    """What of a document makes examples so far, and what doesn't."""

    def __init__(self) -> None:
        self.taken, self.faulty = _Ranges(), _Ranges()
        self._asked: set[str] = set()
        self._answers: defaultdict[str, list[set[str]]] = defaultdict(list)  # by their longest words

    def add(self, passage: Passage, reason: tuple[str, str] | None) -> None:
        if reason:
            self.faulty.add(passage)
            return
        self.taken.add(passage)
        self._asked.add(passage.question.casefold())
        said = words(passage.answer)
        for word in _longest(said):
            self._answers[word].append(said)

    def repeated(self, passage: Passage) -> tuple[str, str] | None:
        """Whether another passage of the page asks the same, or answers in nearly the same words."""
        if passage.question.casefold() in self._asked:
            return "repeated_on_page", "the question"
        said = words(passage.answer)
        for word in _longest(said):
            for other in self._answers[word][:_MOST_COMPARED]:
                alike = len(said & other) / len(said | other)
                if alike >= _ALIKE:
                    return "repeated_on_page", f"{alike:.2f} >= {_ALIKE:.2f}"
        return None


def _longest(said: set[str]) -> list[str]:
    return sorted(said, key=lambda w: (-len(w), w))[:3]


def _passages(group: Sequence[Document]) -> Iterator[Passage]:
    roots = [d for d in group if not d.parent]
    for document in roots:
        if document.kind not in _ANSWERED or (document.kind == "files" and document.score is None):
            yield from find_passages(document)  # what a customer writes is no answer, however it is laid out
    for root in roots:
        if root.kind not in _ANSWERED:
            yield from _thread(root, [d for d in group if d.parent])
    yield from _answered([d for d in group if d.kind in _ANSWERED])


def _thread(root: Document, replies: Sequence[Document]) -> Iterator[Passage]:
    """A thread's question with the best-scored direct reply; ties go to the longer, then to the smaller id."""
    asked = f"{root.title}\n{root.text}"
    direct = [r for r in replies if r.parent == root.group and (r.author != root.author or not r.author)]
    if "?" not in asked or not direct:
        return
    best = min(direct, key=lambda d: (-(d.score or 0), -len(d.text), d.doc_id))
    yield Passage(_asked(root), "thread", best, 0, len(best.text), plain(best.text), asked_in=root)


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
        yield Passage(_asked(asked[item]), form, best, 0, len(best.text), plain(best.text), asked_in=asked[item])


def _asked(document: Document) -> str:
    """The words of a question: title and text, or a post's title that asks it all; a reply's title is its thread's."""
    detail, title = plain(document.text), "" if document.parent else document.title
    if title.endswith("?") and document.kind not in _ANSWERED:
        return title
    return "\n\n".join(part for part in (title, detail) if part)


def _example(passage: Passage, group: str) -> Example:
    document, spans = passage.document, passage.spans
    doc_ids = list(dict.fromkeys(span["doc_id"] for span in spans))
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
