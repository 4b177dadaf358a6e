"""The table of towns, and what the national table of materials comes to in each of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sovereign_tasks.demo.facts import Material, Range, money, read_yaml, span

NATIONAL_DAY_RATE = 1900  # dollars for a crew of four with a truck


def nearest(amount: float, step: float) -> float:
    """The multiple of `step` next to `amount`, halves upward."""
    return math.floor(amount / step + 0.5) * step


@dataclass(frozen=True)
class Town:
    """One row of the table: units as in towns.yaml."""

    name: str
    state: str
    factor: float
    permit: int
    wind: int
    snow: int
    wait: Range
    season: str
    hazard: str
    from_day: int = 1

    @property
    def path(self) -> str:
        return f"/prices/{self.name.lower().replace(' ', '-')}.html"

    @property
    def day_rate(self) -> float:
        """Dollars a day for a crew, to the nearest 50."""
        return nearest(NATIONAL_DAY_RATE * self.factor, 50)

    @property
    def day_rate_text(self) -> str:
        return money(self.day_rate)

    @property
    def wait_text(self) -> str:
        return span(self.wait, "weeks")

    @property
    def level(self) -> str:
        percent = round(100 * self.factor) - 100
        return f"about {abs(percent)} percent {'above' if percent > 0 else 'below'}" if percent else "level with"

    def local(self, material: Material) -> Material:
        """The material at this town's prices: to the quarter dollar per square foot, and $25 for a repair."""
        low, high = (nearest(price * self.factor, 0.25) for price in material.price)
        first, last = (nearest(cost * self.factor, 25) for cost in material.repair)
        return replace(material, price=(low, high), repair=(first, last))


@functools.cache
def all_towns() -> Mapping[str, Town]:
    """Every town of the table by name, those of the second day too."""
    rows = read_yaml("towns.yaml")
    return {name: Town(name=name, **{**row, "wait": tuple(row["wait"])}) for name, row in rows.items()}
