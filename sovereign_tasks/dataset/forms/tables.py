"""Tables of specifications: a question for each row, or one for a table of two columns.

The answer is a rewrite of the row, "column: value" for each cell that holds something, so that every value stands in
the row and every column's name in the header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from sovereign_tasks.dataset.forms.markdown import Row
from sovereign_tasks.dataset.forms.outline import Outline
from sovereign_tasks.dataset.forms.passage import Passage
from sovereign_tasks.dataset.forms.subject import Fault, Subject, content, find_subject

_PROPERTY = re.compile(
    r"(?:figure|property|properties|spec|specification|attribute|parameter|characteristic|measure|metric)s?",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?:values?|details?|descriptions?|specifications?|specs?|data|info(?:rmation)?|amounts?|figures?|)", re.IGNORECASE
)
_SAYS = re.compile(r"^(?!https?://\S+$).*\w", re.DOTALL)  # a value, and no bare address
_FEWEST_ROWS = 2
_MOST_ROWS = 30  # of one table; a catalogue is no page of specifications
_MOST_COLUMNS, _MOST_HEAD, _MOST_CELL = 8, 60, 200


def find_specifications(outline: Outline) -> Iterator[Passage]:
    """Tables whose columns have names, row by row or as one."""
    for section in outline.sections:
        above = (*section.above, section.title) if section.heading else section.above
        for block in section.blocks:
            if block.table and len(block.table.rows) >= _FEWEST_ROWS:
                subject = find_subject(outline.title, above, outline.document.text)
                yield from _table(outline, block.table.header, block.table.rows, subject)


def _table(outline: Outline, head: Row, rows: list[Row], subject: Subject) -> Iterator[Passage]:
    document, columns = outline.document, head.cells
    named = all(columns[1:]) and len(set(columns)) == len(columns) and max(map(len, columns)) <= _MOST_HEAD
    if not named or sum(any(map(str.isdigit, c)) for c in columns) * 2 > len(columns) or len(columns) > _MOST_COLUMNS:
        return
    if any(len(cell) > _MOST_CELL for row in rows for cell in row.cells) or any(
        len(r.cells) != len(columns) for r in rows
    ):
        return
    labels = [row.cells[0] for row in rows]
    if len(set(labels)) < len(labels) or not all(labels):
        return
    header = (head.start, head.end)
    if len(columns) == 2:
        if question := _of_pairs(columns, rows, subject):
            asked, fault = question
            said = "\n".join(f"- {label}: {value}" for label, value in (row.cells for row in rows) if value)
            yield Passage(asked, "spec", document, rows[0].start, rows[-1].end, said, (header,), fault=fault)
        return
    for row in rows[:_MOST_ROWS]:
        values = [(name, value) for name, value in zip(columns[1:], row.cells[1:], strict=True) if _SAYS.search(value)]
        if len(values) < 2:
            continue
        label = row.cells[0]
        figures = 2 * sum(any(map(str.isdigit, value)) for _, value in values) >= len(values)
        asked, fault = _of_row(columns[0], label, [name for name, _ in values], figures, subject)
        said = "; ".join(f"{name}: {value}" for name, value in values)
        lead = f"{columns[0]}: {label}; " if columns[0] else f"{label}: "
        yield Passage(asked, "spec", document, row.start, row.end, f"{lead}{said}", (header,), fault=fault)
    if len(rows) > _MOST_ROWS:
        rest = rows[_MOST_ROWS:]
        fault = ("table_too_long", f"{len(rows)} rows > {_MOST_ROWS}")
        said = "\n".join(" | ".join(row.cells) for row in rest)
        yield Passage(subject.name, "spec", document, rest[0].start, rest[-1].end, said, (header,), fault=fault)


def _of_row(first: str, label: str, names: list[str], figures: bool, subject: Subject) -> tuple[str, Fault | None]:
    about = (
        label
        if not first or (re.search(r"[^\W\d_]{3}", label) and not label[0].isdigit())
        else f"{subject.small(first)} {label}"
    )
    asked = "figures for" if figures else "details of"
    question = f"What are the {asked} {about} ({', '.join(names)})?"
    if subject.is_in(label):
        return question, None
    return subject.lead(question)


def _of_pairs(columns: list[str], rows: list[Row], subject: Subject) -> tuple[str, Fault | None] | None:
    first, second = columns
    told = bool(_VALUE.fullmatch(second.strip(":")))
    if told and re.search(r"\w", first) and not _PROPERTY.fullmatch(first.strip(":")):
        return subject.lead(f"What is the {second.lower()} of each {subject.small(first)}?")
    if _PROPERTY.fullmatch(first.strip(":")) or told:
        if not told and not set(content(second)) <= set(content(subject.name)):
            subject = replace(subject, name=", ".join(filter(None, (subject.name, second))))
        return subject.lead("What are the specifications?")
    if sum(any(map(str.isdigit, row.cells[1])) for row in rows) * 5 >= 4 * len(rows):
        return subject.lead(f"What are the figures for each {subject.small(first)} ({second})?")
    return None
