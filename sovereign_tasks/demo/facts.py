"""The table of roofing facts, and the arithmetic behind every figure on site, forum and documents."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import yaml

CONTENT = Path(__file__).parent / "content"
METALS = ("standing-seam", "ribbed-steel", "stone-coated", "aluminum")

Range = tuple[float, float]


def money(amount: float) -> str:
    """`$1,200` for whole dollars, `$0.23` otherwise."""
    return f"${amount:,.0f}" if float(amount).is_integer() else f"${amount:,.2f}"


def thousands(amount: float) -> str:
    """`$12k` where the amount is whole thousands, and `$12,500` where it is not."""
    return f"${amount / 1000:.0f}k" if amount % 1000 == 0 else money(amount)


def span(pair: Range, unit: str = "") -> str:
    """`10 to 15 years` of a pair and its unit, `2 days` where both ends are the same."""
    return f"{' to '.join(f'{end:g}' for end in dict.fromkeys(pair))} {unit}".strip()


def dollars(pair: Range) -> str:
    """`$10 to $15` of a pair of dollars, `$10` where both ends are the same."""
    return " to ".join(money(end) for end in dict.fromkeys(pair))


@dataclass(frozen=True)
class Material:
    """One row of the table: units as in materials.yaml; the methods word its figures for the templates."""

    key: str
    name: str
    a: str
    short: str
    family: str
    price: Range
    life: Range
    weight: Range
    slope: float
    wind: int
    hail: int
    fire: str
    days: Range
    repair: Range
    from_day: int = 1

    @property
    def an(self) -> str:
        return f"{self.a} {self.name}"

    @property
    def An(self) -> str:
        return self.an.capitalize() if "EPDM" not in self.an else f"An {self.name}"

    @property
    def Name(self) -> str:
        return self.name[0].upper() + self.name[1:]

    @property
    def unit(self) -> str:
        return dollars(self.price)

    @property
    def square(self) -> str:
        return self.total(100)

    @property
    def middle_price(self) -> float:
        return sum(self.price) / 2

    @property
    def middle_unit(self) -> str:
        return money(self.middle_price)

    @property
    def middle_life(self) -> str:
        return f"{sum(self.life) / 2:g}"

    @property
    def yearly(self) -> float:
        return round(2 * self.middle_price / sum(self.life), 2)

    @property
    def year_cost(self) -> str:
        return f"${self.yearly:.2f}"

    @property
    def life_text(self) -> str:
        return span(self.life, "years")

    @property
    def plan_year(self) -> int:
        return int(self.life[0]) - 5

    @property
    def weight_text(self) -> str:
        return span(self.weight)

    @property
    def load_verdict(self) -> str:
        if self.weight[1] <= 4:
            return "which any sound frame carries"
        return "so have an engineer look at the frame before you order"

    @property
    def slope_text(self) -> str:
        return "1/4 inch per foot" if self.slope < 1 else f"{self.slope:g} in 12"

    @property
    def slope_tip(self) -> str:
        if self.slope < 1:
            return "Where the joists are level, tapered insulation makes the fall that this membrane wants."
        if self.slope < 4:
            return f"That lets {self.short} cover porches on which shingles would fail, if the laps are sealed."
        return f"For a shallower porch next to {self.short} use a membrane such as EPDM and lap it well up."

    @property
    def days_text(self) -> str:
        return span(self.days, "days")

    @property
    def repair_text(self) -> str:
        return dollars(self.repair)

    def costs(self, area: int) -> Range:
        """The low and the high price in dollars of `area` square feet."""
        return self.price[0] * area, self.price[1] * area

    def total(self, area: int) -> str:
        return dollars(self.costs(area))

    def total_k(self, area: int) -> str:
        return " to ".join(thousands(cost) for cost in self.costs(area))

    def share(self, area: int, part: float) -> str:
        return " to ".join(money(round(cost * part)) for cost in self.costs(area))

    def middle(self, area: int) -> str:
        return money(self.middle_price * area)

    def year_total(self, area: int) -> str:
        return money(round(self.yearly * area))

    def load(self, area: int) -> str:
        return " to ".join(f"{pounds * area:,.0f}" for pounds in self.weight)

    def crew_time(self, area: int) -> Range:
        """The least and the most days that one crew takes over `area` square feet."""
        least, most = (math.ceil(day * area / 2000) for day in self.days)
        return least, most

    def crew_days(self, area: int) -> str:
        return span(self.crew_time(area), "days")


def read_yaml(name: str) -> dict[str, Any]:
    """A data file of the content folder."""
    return yaml.safe_load((CONTENT / name).read_text(encoding="utf-8"))


@functools.cache
def all_materials() -> Mapping[str, Material]:
    """Every material of the table, by key, those of the second day too."""
    rows = read_yaml("materials.yaml")
    pairs = ("price", "life", "weight", "days", "repair")
    return {
        key: Material(key=key, **{**row, **{name: tuple(row[name]) for name in pairs}}) for key, row in rows.items()
    }


@functools.cache
def metal() -> Material:
    """Metal roofing as a whole: the span of its four kinds."""
    kinds = [all_materials()[key] for key in METALS]
    price = (min(kind.price[0] for kind in kinds), max(kind.price[1] for kind in kinds))
    return replace(kinds[0], key="metal", name="metal roof", a="a", short="metal panels", price=price)


@functools.cache
def _environment() -> jinja2.Environment:
    strict = jinja2.StrictUndefined
    return jinja2.Environment(undefined=strict, keep_trailing_newline=True)  # noqa: S701 - our own Markdown


@functools.cache
def _template(text: str) -> jinja2.Template:
    return _environment().from_string(text)


def fill(text: str, **values: Any) -> str:
    """The text with its slots filled; `metal` and, unless given, `m` (all materials by key) stand ready."""
    return _template(text).render({"m": all_materials(), "metal": metal(), **values})
