"""The blocks `approval`, `rollback` and `erasure` of a model file: how another version becomes champion, and when."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from sovereign_tasks.gates_config import LEAST_GROUPS
from sovereign_tasks.strict_yaml import StrictConfig


class ApprovalConfig(StrictConfig):
    """Whether a person has the last word on a promotion."""

    needed: bool = False
    """A candidate that passed its gates waits in Airflow, in the task approve, for a person to promote it."""
    hours: float = Field(72, gt=0)
    """Hours it waits; after them it is rejected."""


class RollbackConfig(StrictConfig):
    """When the champion gives way by itself to the one before it, on rows that were gathered since it took over."""

    looks: list[Annotated[int, Field(ge=LEAST_GROUPS)]] = Field([100, 200, 400])
    """Held-out groups gathered since at which the two are compared, each once; none for never."""
    margin: float = Field(0.02, ge=0)
    """Bits per byte of right answers by which it must be worse, beyond doubt."""
    cooldown_days: int = Field(7, ge=0)
    """Days after such a rollback without another."""

    @field_validator("looks")
    @classmethod
    def _ascending(cls, looks: list[int]) -> list[int]:
        if looks != sorted(set(looks)):
            raise ValueError(f"{looks} must ascend")
        return looks


class ErasureConfig(StrictConfig):
    """How a champion goes that has learned from so much that was erased since that a retrain is due."""

    margin: float = Field(0.05, ge=0, lt=1)
    """Share of the champion's own figure by which a candidate may be worse, where its gates ask for a better one."""
    deadline_days: int = Field(30, ge=0)
    """Days in which a candidate may take over; after them the newest champion that has learned from none of it does."""
