"""The label of an example: the first of the taxonomy whose rules all hold, and which rule that was."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sovereign_tasks.example_rules import LabelConfig
from sovereign_tasks.records import Example

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Labelled:
    """A label, and in words why: `rule 3 (core/troubleshooting): the question has 'leaks'`."""

    label: str
    reason: str


class Taxonomy:
    """The labels in their order; `source_kinds` is the kind of each source by its name."""

    def __init__(self, labels: Sequence[LabelConfig], source_kinds: Mapping[str, str]) -> None:
        self._rules = [(entry, [(word, _spaced(word)) for word in entry.words]) for entry in labels]
        self._source_kinds = source_kinds

    def label(self, example: Example) -> str:
        """The example's label."""
        return self.explain(example).label

    def explain(self, example: Example) -> Labelled:
        """The example's label with the rule that gave it."""
        asked, source_kind = _spaced(example.question), self._source_kinds.get(example.source, "")
        for number, (entry, words) in enumerate(self._rules, 1):
            found = next((word for word, spaced in words if spaced in asked), None)
            if (
                (entry.kinds and example.kind not in entry.kinds)
                or (entry.words and found is None)
                or (entry.sources and source_kind not in entry.sources)
            ):
                continue
            why = [f"its kind is {example.kind}"] if entry.kinds else []
            why += [f"the question has {found!r}"] if entry.words else []
            why += [f"its source is of kind {source_kind}"] if entry.sources else []
            reasons = " and ".join(why) or "nothing above it fits"
            return Labelled(entry.label, f"rule {number} ({entry.label}): {reasons}")
        raise AssertionError("the last label fits all")


def _spaced(text: str) -> str:
    """Words and marks with one space around each, so that a whole phrase is found as a part of it."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "
