"""Batches of like length in random order."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from sovereign_tasks.train.batches import LengthBatches

LENGTHS = [40 + 7 * i % 160 for i in range(203)]


def test_every_row_comes_once_in_another_order_each_epoch() -> None:
    sampler = LengthBatches(LENGTHS, 8, seed=1)
    first = list(sampler)
    assert sorted(first) == list(range(len(LENGTHS)))
    assert first == list(LengthBatches(LENGTHS, 8, seed=1))
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(second) == sorted(first)
    assert second != first


def test_batches_hold_rows_of_like_length_and_do_not_walk_from_long_to_short() -> None:
    rng = Random(1)
    lengths = [rng.choice([40, 100, 200, 400]) + rng.randrange(30) for _ in range(320)]
    order = list(LengthBatches(lengths, 8, seed=1))
    runs = [[lengths[i] for i in order[at : at + 8]] for at in range(0, 320, 8)]
    shuffled = rng.sample(lengths, 320)
    naive = sum(8 * max(shuffled[at : at + 8]) for at in range(0, 320, 8))
    assert sum(8 * max(run) for run in runs) < 0.75 * naive
    means = [sum(run) / 8 for run in runs]
    falls = sum(b < a for a, b in pairwise(means))
    assert 10 < falls < 30
