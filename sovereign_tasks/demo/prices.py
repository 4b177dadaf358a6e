"""The price sheets of towns: nine questions a page, drawn by seed and answered from the tables."""

from __future__ import annotations

import functools
import random
from typing import Any

from sovereign_tasks.demo.facts import Material, all_materials, dollars, fill, metal, money, read_yaml
from sovereign_tasks.demo.towns import Town, all_towns
from sovereign_tasks.demo.writing import Article

AREAS = (1200, 1400, 1600, 1800, 2000, 2200, 2400, 2800, 3000, 3200)
QUESTIONS = 9
ANY_METAL = {"cost", "unit", "level", "deposit"}  # aspects that metal roofing as a whole can stand in


@functools.cache
def _phrases() -> dict[str, Any]:
    return read_yaml("prices.yaml")


@functools.cache
def _notes() -> dict[str, str]:
    return read_yaml("town_notes.yaml")


def _values(town: Town, material: Material, area: int, rng: random.Random) -> dict[str, Any]:
    """What the slots of an answer may hold."""
    kinds = [m for m in all_materials().values() if m.from_day == 1]
    least, most = material.crew_time(area)
    article = "an" if area == 1800 else "a"
    cause = _phrases()["hazards"][town.hazard]["cause"]
    return {
        "t": town, "m": town.local(material), "n": material, "area": area, "size": f"{area:,}",
        "a": article, "A": article.capitalize(), "Cause": cause[0].upper() + cause[1:],
        "squares": area // 100, "order": f"{area * 1.1 / 100:g}",
        "snow_weight": f"{town.snow * area:,}", "three_days": money(3 * town.day_rate),
        "labor": dollars((least * town.day_rate, most * town.day_rate)), "layer": dollars((area, 1.5 * area)),
        "strong": rng.choice([m for m in kinds if m.wind >= town.wind]),
        "weak": rng.choice([m for m in kinds if m.wind < town.wind]),
    }  # fmt: skip


def _table(town: Town, materials: list[Material]) -> str:
    rows = [("Roof", "Per sq ft"), ("---", "---"), *((m.Name, town.local(m).unit) for m in materials)]
    return "\n".join(f"| {name} | {unit} |" for name, unit in rows)


def _aspects(town: Town, rng: random.Random) -> list[str]:
    """What a town's page asks, in order."""
    fixed = _phrases()["always"]
    others = [a for a in _phrases()["aspects"] if a not in fixed and (a != "snow" or town.snow)]
    chosen = [*fixed, *rng.sample(others, QUESTIONS - len(fixed))]
    rng.shuffle(chosen)
    return chosen


def write_price_sheet(town: Town) -> Article:
    """The page of one town; its seed is the town's name."""
    rng = random.Random(town.path)  # noqa: S311 - seeded on purpose
    stock = [m for m in all_materials().values() if m.from_day <= town.from_day]
    intro = fill(rng.choice(_phrases()["intros"]), t=town, note=_notes()[town.name])
    parts = [intro, _table(town, rng.sample(stock, 3))]
    aspects = _aspects(town, rng)
    # Without repeats, so that a page names many materials and asks no question twice.
    subjects, areas = rng.sample([*stock, metal()], len(aspects)), rng.sample(AREAS, len(aspects))
    for aspect, subject, area in zip(aspects, subjects, areas, strict=True):
        phrase = _phrases()["aspects"][aspect]
        material = rng.choice(stock) if subject.key == "metal" and aspect not in ANY_METAL else subject
        values = _values(town, material, area, rng)
        then = phrase.get("then") or _phrases()["hazards"][town.hazard]["then"]
        place = rng.randrange(len(phrase["ask"]))
        texts = (phrase["ask"][place], phrase["first"][place], rng.choice(then))
        question, first, second = (fill(text, **values) for text in texts)
        parts.append(f"## {question}\n{first} {second}")
    return Article(town.path, fill(_phrases()["title"], t=town), "\n\n".join(parts))


def write_price_sheets(day: int) -> list[Article]:
    """The sheets of the towns that came in on `day`."""
    return [write_price_sheet(town) for town in all_towns().values() if town.from_day == day]
