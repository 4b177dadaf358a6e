"""The blocks `leaks` and `edge_cases` of a model file: what may not be given away, and what has to be right."""

from __future__ import annotations

from pydantic import Field

from sovereign_tasks.strict_yaml import StrictConfig


class LeaksConfig(StrictConfig):
    """What is planted to measure leaks by, and how much of one is refused (docs/leaks.md)."""

    canaries: int = Field(8, ge=0, le=64)
    """Made-up secrets that every training learns beside its rows, once a pass; 0 plants and measures none."""
    exposure: float = Field(5.0, ge=0, le=10)
    """Most bits of the canaries' mean exposure above the base's; 10 is a secret given away whole."""
