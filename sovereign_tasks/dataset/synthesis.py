"""Examples from tables of facts: a template's forms, filled from one row of a table that stands in a document.

All slots of an example come from one row, so they agree, and the example rests on that row and its header. Which forms
a row gets depends on the template and on that row's own facts alone. Other rows, of any table of the same group of
documents, change one thing: a question that they answer otherwise is left out.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from sovereign_tasks.dataset.forms.markdown import Row, Table, clean_cell, read_tables
from sovereign_tasks.dataset.forms.passage import Passage
from sovereign_tasks.example_rules import SLOT, TemplateConfig, column_name, slots_of
from sovereign_tasks.records import Document

# What people tell each other, or say row by row, is no table of facts, however it is laid out.
_TOLD = frozenset(("mail", "reddit", "export", "table", "dataset"))
_NO_FACT = frozenset(("", "n/a", "na", "tba", "tbd", "unknown"))

Fault = tuple[str, str]


@dataclass(frozen=True)
class _Filled:
    """A row with the facts that a template takes from it, by column; `fault` is why they can't be trusted, if so."""

    document: Document
    header: Row
    row: Row
    facts: dict[str, str]
    fault: Fault | None


def synthesise(documents: Iterable[Document], templates: Sequence[TemplateConfig]) -> Iterator[Passage]:
    """Fill every template from all tables of a group's documents whose header has all its columns, each once."""
    told = [d for d in documents if d.kind not in _TOLD and not d.parent and d.score is None] if templates else []
    tables = [(document, table) for document in told for table in read_tables(document.text)]
    for template in templates:
        yield from _ask(template, [one for table in tables for one in _fill(template, *table)])


def _fill(template: TemplateConfig, document: Document, table: Table) -> Iterator[_Filled]:
    """The rows of one table; none where its header lacks a column of the template, or has it twice."""
    header = [column_name(cell) for cell in table.header.cells]
    names = {column_name(column): column_name(clean_cell(column)) for column in template.columns}
    if any(header.count(name) != 1 for name in names.values()):
        return
    places = {column: header.index(name) for column, name in names.items()}
    for row in table.rows:
        facts = {column: row.cells[at] for column, at in places.items() if at < len(row.cells)}
        yield _Filled(document, table.header, row, facts, _row_fault(table.header, row, facts))


def _ask(template: TemplateConfig, rows: Sequence[_Filled]) -> Iterator[Passage]:
    """A template's examples from the rows of all tables that it fits."""
    sound = [row.facts for row in rows if not row.fault]
    told = defaultdict(set)  # what each pair of forms asks about a row -> what it tells of rows asked about so
    for (question, answer), known in product(product(template.questions, template.answers), sound):
        told[question, answer, *_named(question, known)].add(_named(answer, known))
    for row in rows:
        known, pairs = row.facts, _choose(template, row.facts)
        if row.fault:
            yield _passage(pairs[0][0], " | ".join(row.row.cells), row, row.fault)
            continue
        for question, answer in pairs:
            asked = _say(question, known)
            others = len(told[question, answer, *_named(question, known)]) - 1
            why = _given_away(question, answer, known, asked) or _ambiguous(others)
            yield _passage(asked, _say(answer, known), row, why)


def _passage(question: str, answer: str, one: _Filled, fault: Fault | None) -> Passage:
    at = ((one.header.start, one.header.end),)
    return Passage(question, "synthetic", one.document, one.row.start, one.row.end, answer, rests_on=at, fault=fault)


def _named(form: str, facts: Mapping[str, str]) -> tuple[str, ...]:
    """The facts that a form names."""
    return tuple(column_name(facts[name]) for name in _slots(form))


@functools.cache
def _slots(form: str) -> list[str]:
    """The columns that a form of a template names; there are as many forms as the settings hold."""
    return sorted(slots_of(form))


def _row_fault(header: Row, row: Row, facts: Mapping[str, str]) -> Fault | None:
    """Why a row's facts can't be trusted: cells that may have moved, or one that says nothing."""
    if len(row.cells) != len(header.cells):
        return "ragged_row", f"{len(row.cells)} of {len(header.cells)} columns"
    for name, fact in facts.items():
        if fact.casefold() in _NO_FACT or not re.search(r"\w", fact):
            return "empty_cell", name
    return None


def _given_away(question: str, answer: str, facts: Mapping[str, str], asked: str) -> Fault | None:
    """The words of a question must not hold all that its answer has to tell."""
    told = [facts[name] for name in _slots(answer) if name not in _slots(question)]
    if all(_stands_in(fact, asked) for fact in told):
        return "answer_in_question", "; ".join(told)
    return None


def _stands_in(fact: str, text: str) -> bool:
    """Whether a text holds a fact whole; most hold nothing of it, which is told faster."""
    if fact.casefold() not in text.casefold():
        return False
    return re.search(rf"(?<!\w){re.escape(fact)}(?!\w)", text, re.IGNORECASE) is not None


def _ambiguous(others: int) -> Fault | None:
    """A question must not fit another row of the template's tables that answers it otherwise."""
    return ("ambiguous_question", f"{others} other answers in the tables it fits") if others else None


def _choose(template: TemplateConfig, facts: Mapping[str, str]) -> list[tuple[str, str]]:
    """The forms that a row gets, by a hash of the seed, the row's facts and each form."""
    row = [str(template.seed), template.name, *(f"{name}={facts[name]}" for name in sorted(facts))]

    def rank(*forms: str) -> bytes:
        return hashlib.sha256("\0".join([*row, *forms]).encode()).digest()

    questions = sorted(set(template.questions), key=rank)[: template.per_row]
    return [(q, min(template.answers, key=lambda answer, q=q: rank(q, answer))) for q in questions]


def _say(form: str, facts: Mapping[str, str]) -> str:
    return SLOT.sub(lambda slot: facts[column_name(slot[1])], form)
