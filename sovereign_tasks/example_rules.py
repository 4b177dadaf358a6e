"""What a model file says of its examples: the labels of the taxonomy, and templates over tables of facts."""

from __future__ import annotations

import difflib
import re
from itertools import product
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from sovereign_tasks.sources import KINDS, NAME
from sovereign_tasks.strict_yaml import StrictConfig

ExampleKind = Literal[
    "heading",
    "faq",
    "howto",
    "process",
    "definition",
    "insight",
    "spec",
    "scenario",
    "thread",
    "mail",
    "pair",
    "synthetic",
]
SLOT = re.compile(r"\{([^{}\n]{1,100})\}")
"""A column's name in braces."""
_Text = Annotated[str, StringConstraints(pattern=r"\w")]


class LabelConfig(StrictConfig):
    """A label and the rules by which an example gets it: each that is stated must hold.

    A label may stand in the list more than once, with other rules each time.
    """

    label: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}/[a-z][a-z0-9_]{0,39}$")
    """Part and name, e.g. core/processes."""
    kinds: list[ExampleKind] = Field([])
    """Kinds of example, one of which it is."""
    words: list[_Text] = Field([])
    """Words or phrases, one of which its question has; whole words, in upper or lower case."""
    sources: list[str] = Field([])
    """Kinds of source, from one of which it comes."""

    @field_validator("sources")
    @classmethod
    def _kinds_of_source(cls, sources: list[str], info: ValidationInfo) -> list[str]:
        known = [*KINDS, *(info.context or {})]
        for kind in sources:
            if kind not in known:
                raise ValueError(f"{kind!r} is no kind of source{_nearest(kind, known)}")
        return sources

    @property
    def fits_all(self) -> bool:
        """Whether it states no rule."""
        return not (self.kinds or self.words or self.sources)


def _default_taxonomy() -> list[LabelConfig]:
    def words(text: str) -> list[str]:
        return [word.strip() for word in text.split(",")]

    edge = "exception, exceptions, unusual, rare, rarely, special case, edge case, worst case, extreme, unless"
    trouble = (
        "problem, problems, trouble, wrong, fail, fails, failed, failing, failure, broken, damage, damaged, leak, "
        "leaks, leaking, leaked, fix, fixed, error, errors, symptom, symptoms, sign, signs"
    )
    process = "how to, how do i, how do you, how do we, step, steps, procedure, process"
    new = "innovation, innovations, innovative, latest, emerging, trend, trends, upcoming, technology, technologies"
    insight = "recommend, recommended, better, best, worth, choose, advice, tip, tips, mistake, mistakes"
    technical = (
        "specification, specifications, rating, rated, standard, standards, code, codes, requirement, requirements, "
        "minimum, maximum, tolerance, dimensions"
    )
    explained = "why, explain, explained, difference, differ, compare, mean, means, meaning, understand"
    return [
        LabelConfig(label="specialised/edge_cases", words=words(edge)),
        LabelConfig(label="core/troubleshooting", kinds=["scenario"]),
        LabelConfig(label="core/troubleshooting", words=words(trouble)),
        LabelConfig(label="core/processes", kinds=["howto", "process"]),
        LabelConfig(label="core/processes", words=words(process)),
        LabelConfig(label="specialised/innovations", words=words(new)),
        LabelConfig(label="specialised/expert_insights", kinds=["insight"]),
        LabelConfig(label="specialised/expert_insights", words=words(insight)),
        LabelConfig(label="communication/technical", kinds=["spec"]),
        LabelConfig(label="communication/technical", words=words(technical)),
        LabelConfig(label="communication/educational", kinds=["definition"]),
        LabelConfig(label="communication/educational", words=words(explained)),
        LabelConfig(label="communication/customer_facing", kinds=["thread", "mail"]),
        LabelConfig(label="communication/customer_facing", sources=["mail", "reddit", "export"]),
        LabelConfig(label="core/fundamentals"),
    ]


DEFAULT_TAXONOMY = _default_taxonomy()


def check_taxonomy(taxonomy: list[LabelConfig]) -> list[LabelConfig]:
    """The labels, if each can be reached and every example gets one; else a `ValueError`."""
    *others, last = taxonomy
    first: dict[tuple[frozenset[str], ...], LabelConfig] = {}
    for entry in others:
        if entry.fits_all:
            raise ValueError(
                f"{entry.label} states no rule, so nothing below it is ever reached; give it kinds, words or sources, "
                "or put it last"
            )
        rules = frozenset(entry.kinds), frozenset(map(column_name, entry.words)), frozenset(entry.sources)
        if (above := first.setdefault(rules, entry)) is not entry:
            raise ValueError(
                f"{entry.label} has the rules of {above.label} above it, so it is never given; change them or take "
                "it out"
            )
    if not last.fits_all:
        raise ValueError(f"{last.label} is last and takes what fits no other, so end with a label without rules")
    return taxonomy


class TemplateConfig(StrictConfig):
    """Questions and answers about the rows of every table that has these columns, each in braces where it goes in."""

    name: str = Field(pattern=NAME)
    """Name of the template."""
    columns: list[_Text] = Field(min_length=1)
    """Columns that a table's header must have, in any order and without braces; upper and lower case are one."""
    questions: list[str] = Field(min_length=1)
    """Forms of the question."""
    answers: list[str] = Field(min_length=1)
    """Forms of the answer; any may follow any question, so each has a slot that no question has."""
    per_row: int = Field(1, ge=1)
    """Examples from one row, each with a question of its own."""
    seed: int = 42
    """Another seed picks other forms for the rows."""

    @model_validator(mode="after")
    def _slots_fit(self) -> TemplateConfig:
        columns = [column_name(c) for c in self.columns]
        if braced := next((c for c in self.columns if re.search(r"[{}]", c)), None):
            raise ValueError(f"the column {braced!r} has a brace, which no slot can hold; use columns without braces")
        if twice := next((c for c in self.columns if columns.count(column_name(c)) > 1), None):
            raise ValueError(f"the column {twice!r} stands in it twice")
        for form in (*self.questions, *self.answers):
            if re.search(r"[{}]", SLOT.sub("", form)):
                raise ValueError(f"{form!r} has a brace that is no slot; write a column as {{{self.columns[0]}}}")
            if not slots_of(form):
                raise ValueError(f"{form!r} has no slot; name a column in braces, such as {{{self.columns[0]}}}")
            for slot in SLOT.findall(form):
                if column_name(slot) not in columns:
                    raise ValueError(f"{{{slot}}} in {form!r} is none of its columns{_nearest(slot, self.columns)}")
        for question, answer in product(self.questions, self.answers):
            if not slots_of(answer) - slots_of(question):
                raise ValueError(
                    f"the answer {answer!r} tells nothing that the question {question!r} does not name; give it a slot "
                    "that the question lacks"
                )
        if self.per_row > len(set(self.questions)):
            raise ValueError(f"per_row is {self.per_row}, but there are {len(set(self.questions))} forms of question")
        return self


def column_name(text: str) -> str:
    """A column's name as it is compared: upper and lower case, and any white space, are one."""
    return " ".join(text.casefold().split())


def slots_of(form: str) -> set[str]:
    """The columns that a form has slots for, as they are compared."""
    return {column_name(slot) for slot in SLOT.findall(form)}


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
