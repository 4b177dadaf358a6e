"""The blocks of a model file that say what to prove, to whom, and on how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from sovereign_tasks.endpoint import EndpointConfig
from sovereign_tasks.strict_yaml import StrictConfig

LEAST_GROUPS = 20
"""Groups below which an interval is too narrow to be believed."""


class GateConfig(StrictConfig):
    """What a candidate must prove: the interval of a paired difference clears a bound."""

    metric: Literal[
        "nll", "bits_per_byte", "token_f1", "rouge_l", "facts", "refused", "question_gain", "general_nll", "judge"
    ]
    """What is compared; differences are turned so that larger is better."""
    better_than: Literal["base", "champion"] | None = None
    """Whom it must beat; a champion gate is passed over while there is none."""
    no_worse_than: Literal["base", "champion"] | None = None
    """Whom it must not fall behind by more than `by`; instead of better_than."""
    by: float = Field(0.0, ge=0)
    """The least gain that counts or, with no_worse_than, the loss that is allowed; in the metric's own units."""
    one_of: str = ""
    """A word of your own: of the gates that share it one is enough, and the bar is higher for each of them."""

    @model_validator(mode="after")
    def _one_rule(self) -> GateConfig:
        if (self.better_than is None) == (self.no_worse_than is None):
            raise ValueError("needs better_than or no_worse_than, one of the two: base or champion")
        if self.no_worse_than and not self.by:
            raise ValueError("no_worse_than needs by: the loss that is allowed, above 0")
        return self

    @property
    def against(self) -> str:
        """The reference: base or champion."""
        return self.better_than or self.no_worse_than or ""

    @property
    def bound(self) -> float:
        """What the interval's lower end must exceed."""
        return self.by if self.better_than else -self.by


class GeneralConfig(StrictConfig):
    """What the model must be able to do beside its domain, by tasks of your own."""

    tasks: str | None = None
    """Folder of lm-evaluation-harness tasks as YAML, each with its questions beside it (docs/general-ability.md)."""
    allowed_loss: float = Field(0.05, gt=0, le=1)
    """By how much the share of right answers may fall below the base's, in each task."""


class JudgeConfig(EndpointConfig):
    """A model that says which of two answers is better; its verdicts are the metric `judge`."""

    rows: int = Field(50, ge=20, le=2000)
    """Held-out questions whose answers it compares."""
    minutes: float = Field(30.0, gt=0)
    """Time for all of them; a judge that takes longer has measured nothing."""


class EvidenceConfig(StrictConfig):
    """How much must be held out before a gate can tell anything, and how often it may be used."""

    min_groups: int = Field(100, ge=LEAST_GROUPS)
    """Held-out groups (pages, threads, documents) that a comparison needs."""
    max_uses: int = Field(20, ge=1)
    """Candidates that a held-out group judges before it retires, since who tries often enough wins by luck."""


DEFAULT_GATES = [
    GateConfig(metric="nll", better_than="base"),
    GateConfig(metric="question_gain", better_than="base", by=0.02),
    GateConfig(metric="nll", better_than="champion"),
    GateConfig(metric="general_nll", no_worse_than="base", by=0.1),
]


def check_gates(gates: Sequence[GateConfig]) -> Sequence[GateConfig]:
    """The gates, if each says something of its own; else a `ValueError`."""
    rules = Counter((gate.metric, gate.against, gate.better_than is None) for gate in gates)
    if twice := next(((metric, against) for (metric, against, _), count in rules.items() if count > 1), None):
        raise ValueError(f"{twice[0]} against the {twice[1]} is asked for twice; keep one of the two")
    lone = [word for word, count in Counter(gate.one_of for gate in gates if gate.one_of).items() if count == 1]
    if lone:
        raise ValueError(f"one_of: {lone[0]!r} is on one gate alone; give it to another, or leave it out")
    return gates
