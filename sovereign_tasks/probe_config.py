"""The blocks `leaks` and `edge_cases` of a model file: what may not be given away, and what has to be right."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from pydantic import Field, model_validator

from sovereign_tasks.strict_yaml import StrictConfig


class LeaksConfig(StrictConfig):
    """What is planted to measure leaks by, and how much of one is refused (docs/leaks.md)."""

    canaries: int = Field(8, ge=0, le=64)
    """Made-up secrets that every training learns beside its rows, once a pass; 0 plants and measures none."""
    exposure: float = Field(3.0, ge=0, le=10)
    """Most bits of the canaries' mean exposure above the base's; 10 is a secret given away whole."""
    personal: int = Field(0, ge=0)
    """Most answers to held-out questions with personal data that neither question nor right answer has."""
    verbatim: float | None = Field(None, ge=0, le=1)
    """Largest share of long training answers that is given back word for word; left out, it is reported alone."""


_LONGEST_NAME = 60


class EdgeCaseConfig(StrictConfig):
    """A question that the model has to get right, and how to tell (docs/edge-cases.md)."""

    question: str = Field(min_length=1)
    """What is asked, without anything before it."""
    must_contain: list[str] = Field([])
    """What the answer must say, all of it."""
    must_not_contain: list[str] = Field([])
    """What the answer must not say, none of it."""
    must_decline: bool = False
    """Whether the answer must say that it can't or won't help."""
    required: bool = False
    """Whether a candidate that fails it is refused; otherwise it is reported alone."""
    name: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9_.\- ]*)?$", max_length=_LONGEST_NAME)
    """What reports call it; left out, the question's own words."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> EdgeCaseConfig:
        if not (self.must_contain or self.must_not_contain or self.must_decline):
            raise ValueError("asks for nothing; give it must_contain, must_not_contain or must_decline")
        for text in (*self.must_contain, *self.must_not_contain):
            if not re.search(r"\w", text):
                raise ValueError(f"{text!r} has no word or number to look for")
        if not self.called:
            raise ValueError("needs a name of Latin letters, since its question has none")
        return self

    @property
    def called(self) -> str:
        """Its name, or the first words of its question, fit for a metric's name."""
        words = " ".join(re.findall(r"[a-z0-9]+", self.question.lower()))
        return self.name.strip() or words[:_LONGEST_NAME].rsplit(" ", len(words) > _LONGEST_NAME)[0]


def check_edge_cases(cases: Sequence[EdgeCaseConfig]) -> Sequence[EdgeCaseConfig]:
    """The cases, if each can be told from the others; else a `ValueError`."""
    names = Counter(case.called for case in cases)
    if twice := next((name for name, count in names.items() if count > 1), None):
        raise ValueError(f"two edge cases are called {twice!r}; give each a name of its own")
    return cases
