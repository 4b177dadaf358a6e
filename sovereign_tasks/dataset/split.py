"""Which document groups are held out, and which training rows come too near to them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from sovereign_tasks.records import Example, keyed_hash

_WORD = re.compile(r"\w+")


def assign(groups: Iterable[str], known: dict[str, str], holdout_share: float) -> dict[str, str]:
    """Splits of the groups not yet in `known`, by the keyed hash of the group's key."""
    fresh = sorted(set(groups) - known.keys())
    return {g: "holdout" if _fraction(g) < holdout_share else "train" for g in fresh}


def find_near_holdout(
    train: Iterable[Example], holdout: Iterable[Example], threshold: float
) -> dict[str, tuple[str, float]]:
    """Training examples whose words (3-shingles of question and answer) come near a held-out example.

    Returns example_id -> (nearest held-out example_id, Jaccard similarity) at or above `threshold`. Cost grows with
    the training rows, since only shingles of held-out rows are indexed.
    """
    sizes: dict[str, int] = {}
    index: dict[str, list[str]] = defaultdict(list)
    for example in holdout:
        shingles = _shingles(example)
        sizes[example.example_id] = len(shingles)
        for shingle in shingles:
            index[shingle].append(example.example_id)
    near: dict[str, tuple[str, float]] = {}
    for example in train:
        shingles = _shingles(example)
        shared = Counter(held for s in shingles for held in index.get(s, ()))
        scored = [(n / (len(shingles) + sizes[held] - n), held) for held, n in shared.items()]
        if scored and (best := max(scored))[0] >= threshold:
            near[example.example_id] = (best[1], round(best[0], 3))
    return near


def _fraction(group: str) -> float:
    return int(keyed_hash("split", group), 16) / 16**32


def _shingles(example: Example) -> set[str]:
    words = _WORD.findall(f"{example.question} {example.answer}".lower())
    return {" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))}
