"""The towns' price sheets: every figure on them, worked out again from the tables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import pytest

from sovereign_tasks.demo.facts import Material, all_materials, metal
from sovereign_tasks.demo.prices import AREAS, write_price_sheets
from sovereign_tasks.demo.towns import Town, all_towns

STOCK = [*all_materials().values(), metal()]
SHEETS = {article.path: article for day in (1, 2) for article in write_price_sheets(day)}


def _answers() -> Iterator[tuple[Town, str, str]]:
    for town in all_towns().values():
        for question, answer in SHEETS[town.path].questions:
            yield town, question, answer


def _figures(text: str) -> list[float]:
    """The dollars in a text, in order."""
    return [float(number.replace(",", "")) for number in re.findall(r"\$([\d,]*\d(?:\.\d+)?)", text)]


def _subject(question: str) -> Material:
    return max((m for m in STOCK if m.an in question), key=lambda m: len(m.an))


def _area(text: str) -> int:
    (area,) = {int(found.replace(",", "")) for found in re.findall(r"(\d,\d{3}) square f", text)}
    return area


def _local(price: float, town: Town, step: float) -> float:
    return math.floor(price * town.factor / step + 0.5) * step


def test_every_town_has_a_page_of_nine_questions_that_name_it() -> None:
    assert 40 <= len(SHEETS) <= 48
    assert set(SHEETS) == {town.path for town in all_towns().values()}
    for town in all_towns().values():
        asked = [question for question, _ in SHEETS[town.path].questions]
        assert len(set(asked)) == 9
        assert [question for question in asked if town.name not in question] == []
    assert {_area(q) for _, q, _ in _answers() if " square foot home" in q} == set(AREAS)
    priced = {_subject(q).key for _, q, _ in _answers() if " square foot home" in q}
    assert priced >= {m.key for m in STOCK if m.from_day == 1}


def test_answers_are_short_and_repeat_the_subject_of_the_question() -> None:
    for town, question, answer in _answers():
        assert 80 <= len(answer) <= 250, (question, len(answer))
        assert town.name in answer.split(". ")[0], answer
        named = [m for m in STOCK if m.an in question]
        assert [m.name for m in named if m.name not in answer] == [], answer
        assert set(re.findall(r"\d,\d{3} square f", question)) <= set(re.findall(r"\d,\d{3} square f", answer)), answer


def test_prices_are_the_national_ones_times_the_towns_factor() -> None:
    seen = 0
    for town, question, answer in _answers():
        if " square foot home" not in question and "per square foot in" not in question:
            continue
        material = _subject(question)
        low, high = (_local(price, town, 0.25) for price in material.price)
        assert abs(low - material.price[0] * town.factor) <= 0.125
        found, seen = _figures(answer), seen + 1
        if "per square foot in" in question:
            assert found[:2] == [low, high], answer
            assert not found[2:] or found[2:] in ([100 * low, 100 * high], [*material.price]), answer
            continue
        area = _area(question)
        assert found[:4] == [area * low, area * high, low, high], answer
        then = ([], [area * (low + high) / 2], [100 * low, 100 * high])  # nothing, the middle, another square
        assert found[4:] in then, answer
    assert seen == 4 * len(SHEETS)


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("repair", lambda t, m, a: [_local(cost, t, 25) for cost in m.repair]),
        ("deposit", lambda t, m, a: [round(0.1 * a * _local(price, t, 0.25)) for price in m.price]),
        ("second", lambda t, m, a: [a, 1.5 * a, 1, 1.5]),
        ("permit", lambda t, m, a: [t.permit]),
        ("roofing crew", lambda t, m, a: [_local(1900, t, 50)]),
    ],
)
def test_the_other_sums_follow_from_the_tables(marker: str, expected) -> None:
    rows = [(town, question, answer) for town, question, answer in _answers() if marker in question]
    assert len(rows) >= 8
    for town, question, answer in rows:
        material = _subject(question) if marker in ("repair", "deposit") else STOCK[0]
        area = _area(answer) if marker in ("deposit", "second") else 0
        want = expected(town, material, area)
        assert _figures(answer)[: len(want)] == want, answer


def test_labor_snow_squares_and_level_are_worked_out() -> None:
    seen: set[str] = set()
    for town, question, answer in _answers():
        if match := re.search(r"(\d+)(?: to (\d+))? days.*At \$([\d,]+) a day the labor in it is", answer):
            rate = _figures(answer)[0]
            days = {int(match[1]), int(match[2] or match[1])}
            assert set(_figures(answer)[1:]) == {rate * day for day in days}, answer
            assert rate == town.day_rate
            seen.add("labor")
        if "snow" in question:
            assert f"{town.snow} pounds" in answer
            assert f" {town.snow * _area(answer):,} pounds" in answer
            seen.add("snow")
        if "How many squares" in question:
            area = _area(question)
            assert f"{area / 100:g} squares" in answer
            assert f"{area * 1.1 / 100:g}" in answer
            seen.add("squares")
        if "national range" in question:
            percent = re.search(r"(\d+) percent (above|below)", answer)
            assert (town.factor == 1) == (percent is None)
            if percent:
                sign = 1 if percent[2] == "above" else -1
                assert 1 + sign * int(percent[1]) / 100 == pytest.approx(town.factor)
            seen.add("level")
        if "wind" in question:
            for material in (m for m in STOCK if m.name in answer and m.key != "metal"):
                assert f"{material.wind} mph" in answer
                assert (material.wind >= town.wind) != bool(
                    re.search(rf"{material.name} falls|{material.name} at", answer)
                )
            seen.add("wind")
    assert seen == {"labor", "snow", "squares", "level", "wind"}


def test_towns_stay_inside_what_the_site_says_elsewhere() -> None:
    for town in all_towns().values():
        assert 200 <= town.permit <= 500
        assert town.snow <= 50
        assert (town.wind >= 130) == (town.hazard == "salt" or town.name == "Baton Rouge")
        for material in STOCK:
            assert town.local(material).price[0] < material.price[1], "the local range meets the national one"
    assert not any("synthetic slate" in article.markdown for article in write_price_sheets(1))
