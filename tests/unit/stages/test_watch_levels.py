"""Looks at a champion share one level, also where the owner names others in between."""

from __future__ import annotations

import pytest

from sovereign_tasks.evaluate.compare import ALPHA
from sovereign_tasks.stages.watch import _level

LOOKS = [100, 200, 400]


@pytest.mark.parametrize(
    ("looks", "due", "spent", "share"),
    [
        (LOOKS, 100, [], 1 / 3),
        (LOOKS, 200, [1 / 3], 1 / 3),
        (LOOKS, 400, [], 1 / 3),  # those that were passed over are lost
        (LOOKS, 400, [1 / 3, 1 / 3], 1 / 3),
        ([100, 200], 200, [1], 0),
        ([100, 200, 400, 800], 200, [1 / 2], 1 / 6),
        ([400], 400, [1 / 3, 1 / 3], 1 / 3),
    ],
)
def test_a_look_spends_no_more_than_is_left(looks: list[int], due: int, spent: list[float], share: float) -> None:
    assert _level(looks, due, [ALPHA * each for each in spent]) == pytest.approx(ALPHA * share)
