"""A passage that answers a question, and its text without Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sovereign_tasks.dataset.forms.markdown import without_marks
from sovereign_tasks.records import Document, Span

# Bounded, and never across lines: the text comes from anywhere.
_HEADING = re.compile(r"^#{1,6}[ \t]+(\S.{0,300}?)[ \t#]*$", re.MULTILINE)
_DEFINITION = re.compile(r"^:[ \t]+", re.MULTILINE)


@dataclass(frozen=True)
class Passage:
    """A question, and where its answer stands in a document.

    `rests_on` are other characters of the document that the question or the answer takes from; `asked_in` is the post
    or letter that asks, if any; `fault` is a reason code and measured value, known before the answer is looked at.
    """

    question: str
    kind: str
    document: Document
    start: int
    end: int
    answer: str
    rests_on: tuple[tuple[int, int], ...] = ()
    asked_in: Document | None = None
    fault: tuple[str, str] | None = None

    @property
    def spans(self) -> list[Span]:
        """What question and answer rest on; the answer's own is the last."""
        asked = self.asked_in
        spans: list[Span] = [{"doc_id": asked.doc_id, "start": 0, "end": len(asked.text)}] if asked else []
        for start, end in (*self.rests_on, (self.start, self.end)):
            spans.append({"doc_id": self.document.doc_id, "start": start, "end": end})
        return spans


def plain(markdown: str) -> str:
    """The words without links, emphasis and the marks of headings and definitions; lists and tables stay."""
    text = _DEFINITION.sub("", _HEADING.sub(r"\1", without_marks(markdown)))
    return re.sub(r"\n{3,}", "\n\n", text).strip()
