"""The label of an example: the first of the taxonomy whose rules all hold, and which rule that was."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sovereign_tasks.example_rules import LabelConfig
from sovereign_tasks.records import Example


@dataclass(frozen=True)
class Labelled:
    """A label, and in words why: `rule 3 (core/troubleshooting): the question has 'leaks'`."""

    label: str
    reason: str


class Taxonomy:
    """The labels in their order; `source_kinds` is the kind of each source by its name."""

    def __init__(self, labels: Sequence[LabelConfig], source_kinds: Mapping[str, str]) -> None:
        self._rules = [(entry, _whole(entry.words)) for entry in labels]
        self._source_kinds = source_kinds

    def label(self, example: Example) -> str:
        """The example's label."""
        return self.explain(example).label

    def explain(self, example: Example) -> Labelled:
        """The example's label with the rule that gave it."""
        for number, (entry, words) in enumerate(self._rules, 1):
            if (why := self._holds(entry, words, example)) is not None:
                reasons = " and ".join(why) or "nothing above it fits"
                return Labelled(entry.label, f"rule {number} ({entry.label}): {reasons}")
        raise AssertionError("the last label fits all")

    def _holds(self, entry: LabelConfig, words: re.Pattern[str] | None, example: Example) -> list[str] | None:
        """What of the example fulfils each rule of the entry; None where one is not fulfilled."""
        why = []
        if entry.kinds:
            if example.kind not in entry.kinds:
                return None
            why.append(f"its kind is {example.kind}")
        if words:
            if not (found := words.search(example.question)):
                return None
            why.append(f"the question has {found[0]!r}")
        if entry.sources:
            if (kind := self._source_kinds.get(example.source)) not in entry.sources:
                return None
            why.append(f"its source is of kind {kind}")
        return why


def _whole(words: Sequence[str]) -> re.Pattern[str] | None:
    """Any of the words, whole; white space in a phrase may be any."""
    if not words:
        return None
    phrases = (r"\s+".join(map(re.escape, word.split())) for word in words)
    return re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)", re.IGNORECASE)
