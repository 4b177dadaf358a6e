"""The forms in which a document answers a question, one module a family; the most specific comes first.

markdown (lines, tables) -> outline (blocks, sections) -> questions, steps, statements, scenarios, tables -> Passage
"""

from __future__ import annotations

from collections.abc import Iterator

from sovereign_tasks.dataset.forms.outline import read_outline
from sovereign_tasks.dataset.forms.passage import Passage
from sovereign_tasks.dataset.forms.questions import find_faq, find_headings
from sovereign_tasks.dataset.forms.scenarios import find_cases, find_scenarios
from sovereign_tasks.dataset.forms.statements import find_definitions, find_insights
from sovereign_tasks.dataset.forms.steps import find_how_to, find_processes, find_titled_how_to
from sovereign_tasks.dataset.forms.tables import find_specifications
from sovereign_tasks.records import Document

_OF_ANY_LANGUAGE = (find_faq, find_headings)
_OF_ENGLISH = (
    find_faq,
    find_how_to,
    find_headings,
    find_titled_how_to,
    find_cases,
    find_processes,
    find_insights,
    find_definitions,
    find_specifications,
    find_scenarios,
)


def find_passages(document: Document) -> Iterator[Passage]:
    """All that may make an example of a document, the most specific form of a passage first; they may overlap."""
    outline = read_outline(document)
    for find in _OF_ENGLISH if document.language == "en" else _OF_ANY_LANGUAGE:
        yield from find(outline)
