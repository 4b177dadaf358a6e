"""Which document groups are held out, and which training rows come too near to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from sovereign_tasks.digests import Digest, Text, band_keys, compare, digest
from sovereign_tasks.records import Example, keyed_hash


def assign(
    groups: Iterable[str], known: dict[str, str], *, holdout_share: float, sealed_share: float
) -> dict[str, str]:
    """Splits of the groups not yet in `known`, by the keyed hash of the group's key: holdout, sealed or train.

    Both shares are held out of training; the sealed one is for the decision on a promotion alone.
    """
    fresh = {group: _fraction(group) for group in sorted(set(groups) - known.keys())}
    return {
        g: "holdout" if f < holdout_share else "sealed" if f >= 1 - sealed_share else "train" for g, f in fresh.items()
    }


def digest_examples(examples: Iterable[Example]) -> dict[str, Digest]:
    """What examples are compared by: question and answer together, in bands that find half-similar texts.

    A pair at a similarity of 0.5 is found 98.4% of the time, one at 0.55 99.8%.
    """
    examples = list(examples)
    digests = digest([Text("", "", e.question, e.answer) for e in examples], bands=64, rows=4)
    return {e.example_id: own for e, own in zip(examples, digests, strict=True)}


def find_near(
    asked: Mapping[str, Digest], held: Mapping[str, Digest], threshold: float
) -> dict[str, tuple[str, float]]:
    """For examples that come near held-out ones: example_id -> (nearest held-out example_id, Jaccard similarity)."""
    index: defaultdict[str | int, list[str]] = defaultdict(list)
    for held_id, own in held.items():
        for key in (own.exact, *band_keys(own)):
            index[key].append(held_id)
    near: dict[str, tuple[str, float]] = {}
    for example_id, own in asked.items():
        met = {held_id for key in (own.exact, *band_keys(own)) for held_id in index.get(key, ())}
        if best := nearest(own, ((held_id, held[held_id]) for held_id in met), threshold):
            near[example_id] = best
    return near


def nearest(own: Digest, others: Iterable[tuple[str, Digest]], threshold: float) -> tuple[str, float] | None:
    """The most similar of others that are similar enough, the greatest id of equals."""
    found = []
    for other_id, other in others:
        similarity, least = compare(own, other, threshold)
        if similarity >= least:
            found.append((round(similarity, 3), other_id))
    return max(found)[::-1] if found else None


def _fraction(group: str) -> float:
    return int(keyed_hash("split", group), 16) / 16**32
