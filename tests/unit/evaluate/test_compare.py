"""The paired bootstrap: what it calls better, and how often it is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sovereign_tasks.evaluate import compare as comparing
from sovereign_tasks.evaluate.compare import compare
from sovereign_tasks.gates_config import LEAST_GROUPS


def rows(n: int, groups: int) -> list[str]:
    return [f"g{i % groups}" for i in range(n)]


def test_the_interval_is_the_one_of_theory() -> None:
    values = np.random.default_rng(0).normal(0.3, 1.0, 400)
    result = compare(values, [str(i) for i in range(400)])
    half = 1.96 * values.std() / 20
    assert result.difference == pytest.approx(values.mean())
    assert result.low == pytest.approx(values.mean() - half, abs=0.02)
    assert result.high == pytest.approx(values.mean() + half, abs=0.02)
    assert compare(values, [str(i) for i in range(400)]) == result


def test_rows_that_belong_together_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    values = np.repeat(rng.normal(0, 1, 20), 10)
    together = compare(values, [f"g{i // 10}" for i in range(200)])
    apart = compare(values, [str(i) for i in range(200)])
    assert together.high - together.low > 2.5 * (apart.high - apart.low)


def test_false_proofs_are_rare_when_labels_are_swapped() -> None:
    rng = np.random.default_rng(2)
    groups = rows(120, 40)
    member = np.array([int(g[1:]) for g in groups])
    false = 0
    for _ in range(150):
        page = rng.normal(0, 0.4, 40)[member] + rng.normal(0, 0.4, 120)
        swapped = page * rng.choice([-1, 1], 40)[member]
        false += compare(swapped, groups).low > 0
    assert false <= 9  # 2.5% of 150 is 3.75; nine or more happen in under 2 of 100 such tests


def test_false_proofs_are_rare_at_the_fewest_groups_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "RESAMPLES", 2000)  # enough for a share of so many tries
    comparing._kept.cache_clear()
    rng = np.random.default_rng(3)
    groups = [f"g{i // 2}" for i in range(2 * LEAST_GROUPS)]
    false = sum(compare(rng.normal(0, 1, LEAST_GROUPS).repeat(2), groups).low > 0 for _ in range(1000))
    comparing._kept.cache_clear()
    # It is 23 with this seed; ends that are not taken further out make it 39.
    assert false <= 31


def test_what_rarely_goes_wrong_is_not_proven_right_by_few() -> None:
    rng, groups = np.random.default_rng(4), [str(i) for i in range(50)]
    lost = [-1.0 * (rng.random(50) < 0.05) for _ in range(400)]
    passed = sum(compare(values, groups, yes_or_no=True).low > -0.05 for values in lost)
    assert passed == 0
    assert sum(compare(values, groups).low > -0.05 for values in lost) > 20  # of which 7.7% lose none
    assert compare([0.0] * 72, [str(i) for i in range(72)], yes_or_no=True).low == pytest.approx(-0.05, abs=0.001)
    gains = compare([1.0] * 20 + [0.0] * 80, [str(i) for i in range(100)], yes_or_no=True)
    assert gains.low == pytest.approx(0.12, abs=0.02)


@pytest.mark.parametrize(
    ("values", "groups", "problem"),
    [
        ([1.0] * 19, rows(19, 10), "19 rows are too few"),
        ([1.0] * 40, rows(40, 19), "19 groups are too few"),
        ([1.0] * 39 + [math.nan], rows(40, 20), "1 of 40 rows have no score"),
        ([], [], "0 rows are too few"),
    ],
)
def test_what_can_not_be_told_has_no_interval(values: list[float], groups: list[str], problem: str) -> None:
    result = compare(values, groups)
    assert problem in result.problem
    assert math.isnan(result.low)
