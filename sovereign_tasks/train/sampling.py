"""Which training rows a training samples, where a source, a label or synthetic rows would have too large a share.

The method: rows of the same source, label and sort (synthetic or not) are a cell. An integer programme finds the
greatest number of rows that the cells can give together within all caps; a second one, for that number, takes as equal
a part of each cell as the caps admit. Within a cell, rows come in the order of a hash of the seed and their id.
Where the first finds nothing in its time, what is over a cap is cut evenly instead; where the second finds nothing, the
numbers stay as they are.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np

from sovereign_tasks.records import Example
from sovereign_tasks.training_config import SamplingConfig

SYNTHETIC = "synthetic"
_CAPS = ("label", "source", SYNTHETIC)
_PARTS = 10  # into which a cell is cut: the second programme fills the first part of each, then the second, and so on
_SECONDS = 60  # for a programme to end; what it has found by then keeps to the caps, but may not be the greatest
_STEPS = 10_000  # of a share: a finer one could be lost in the programme's tolerance

Capped = tuple[str, str]
"""A cap, and which source or label it holds for."""
Cell = tuple[Capped, ...]


@dataclass(frozen=True)
class Sample:
    """The rows to train on by id, how many each cap left out, and the caps that no sample can keep to."""

    examples: list[Example]
    left_out: dict[str, int]
    not_capped: list[str]


def sample(examples: Sequence[Example], labels: Mapping[str, str], config: SamplingConfig, seed: int) -> Sample:
    """Sample rows within the caps; `labels` has each example's label by its id.

    Where nothing at all could be sampled, as where one source is all there is, as few caps as possible are set aside:
    labels before sources before synthetic rows. Shares count to four decimals.
    """
    shares = {cap: Fraction(str(getattr(config, f"max_{cap}_share"))) for cap in _CAPS}
    shares = {cap: Fraction(int(share * _STEPS), _STEPS) for cap, share in shares.items() if share < 1}
    cells: defaultdict[Cell, list[Example]] = defaultdict(list)
    for example in sorted(examples, key=lambda e: hashlib.sha256(f"{seed}:{e.example_id}".encode()).digest()):
        cells[_cell(example, labels)].append(example)
    whole = {cell: len(cells[cell]) for cell in sorted(cells)}
    for aside in (caps for size in range(len(shares) + 1) for caps in combinations(shares, size)):
        kept = {cap: share for cap, share in shares.items() if cap not in aside}
        taken = _allot(whole, kept)
        if any(taken.values()):
            break
    chosen = [example for cell, rows in cells.items() for example in rows[: taken[cell]]]
    left_out = _left_out(whole, taken, kept)
    return Sample(sorted(chosen, key=lambda e: e.example_id), left_out, [*aside] if examples else [])


def _cell(example: Example, labels: Mapping[str, str]) -> Cell:
    made = [(SYNTHETIC, "")] if example.kind == SYNTHETIC else []
    return (*made, ("source", example.source), ("label", labels.get(example.example_id, "")))


def _allot(whole: Mapping[Cell, int], shares: Mapping[str, Fraction]) -> dict[Cell, int]:
    """How many rows of each cell are sampled."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    capped = sorted({one for cell in whole for one in cell if one[0] in shares})
    if not capped:
        return dict(whole)
    is_in = np.array([[one in cell for cell in whole] for one in capped], float)
    share = np.array([[float(shares[cap])] for cap, _ in capped])
    rows = np.array([*whole.values()])
    most = milp(
        -np.ones(len(rows)),
        integrality=np.ones(len(rows)),
        bounds=Bounds(0, rows),
        constraints=LinearConstraint(is_in - share, -np.inf, 0),
        options={"mip_rel_gap": 0, "time_limit": _SECONDS},
    )
    given = _cut(rows, is_in > 0, [shares[cap] for cap, _ in capped]) if most.x is None else most.x.round().astype(int)
    total = int(given.sum())
    parts = np.diff(rows[:, None] * np.arange(_PARTS + 1) // _PARTS).ravel()
    room = [int(shares[cap] * total) for cap, _ in capped]
    even = milp(
        np.tile(np.arange(_PARTS), len(rows)),
        integrality=np.ones(len(parts)),
        bounds=Bounds(0, parts),
        constraints=LinearConstraint(
            np.vstack([np.repeat(is_in, _PARTS, axis=1), np.ones(len(parts))]),
            [*np.zeros(len(room)), total],
            [*room, total],
        ),
        options={"time_limit": _SECONDS},
    )
    if even.x is not None:
        given = even.x.round().astype(int).reshape(len(rows), _PARTS).sum(axis=1)
    return dict(zip(whole, given.tolist(), strict=True))


def _cut(rows: np.ndarray, is_in: np.ndarray, shares: Sequence[Fraction]) -> np.ndarray:
    """Rows of each cell within the caps, if not the most: whatever is over its cap is cut to its share of what is left.

    A cut makes every other share larger, so all are cut in turn until nothing is over.
    """
    given, before = rows.copy(), -1
    while given.sum() != before:
        before = given.sum()
        for inside, share in zip(is_in, shares, strict=True):
            own, room = given[inside], int(share * int(given.sum()))
            if own.sum() > room:
                given[inside] = np.diff(own.cumsum() * room // own.sum(), prepend=0)
    return given


def _left_out(whole: Mapping[Cell, int], taken: Mapping[Cell, int], shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Rows that are not sampled, by the cap of theirs that has the least room for one more."""
    counts, total = Counter[Capped](), sum(taken.values())
    for cell, rows in taken.items():
        counts.update(dict.fromkeys(cell, rows))
    left_out: Counter[str] = Counter()
    for cell, rows in whole.items():
        if rows > taken[cell]:
            room = {one[0]: shares[one[0]] * (total + 1) - counts[one] for one in cell if one[0] in shares}
            left_out[min(room, key=lambda cap: room[cap])] += rows - taken[cell]
    return dict(sorted(left_out.items()))
