"""Floods: more near-equal items from one source in one night than a source has reason to bring.

Copies are dropped by `dedup`; this is for what differs a little from item to item, such as spun texts or one
form filled in a thousand times, and would otherwise be kept. None of it is judged: it is held for a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sovereign_tasks.curate.dedup import Entry, Fault, shared_keys
from sovereign_tasks.digests import band_keys, similarity

ALIKE = 0.5
"""Jaccard similarity of word 3-shingles from which two items are near-equal."""


def find_floods(entries: Sequence[Entry], most: Mapping[str, int]) -> dict[str, Fault]:
    """Find the documents of a night that are to be held with the reason `flood`.

    Near-equal is passed on: what is like a member of a flood belongs to it. `most` is, by source, how many may be;
    equal texts count as one. Known documents go on: they were kept before.
    """
    entries = sorted(entries, key=lambda e: e.doc_id)
    heads = _clusters(entries)
    texts: defaultdict[int, set[str]] = defaultdict(set)
    for entry, head in zip(entries, heads, strict=True):
        if not entry.known:
            texts[head].add(entry.digest.exact)
    return {
        entry.doc_id: Fault("flood", f"{len(texts[head])} > {most[entry.source]} near-equal")
        for entry, head in zip(entries, heads, strict=True)
        if not entry.known and len(texts[head]) > most[entry.source]
    }


def _clusters(entries: Sequence[Entry]) -> list[int]:
    """For each document the least position in its cluster; documents of two sources are never in one."""
    head, shared = list(range(len(entries))), shared_keys(entries)

    def find(i: int) -> int:
        while head[i] != i:
            head[i] = i = head[head[i]]
        return i

    met: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        for key in shared.intersection(band_keys(entry.digest)):
            others = met[entry.source, key]
            for j in others:
                if find(i) != find(j) and similarity(entry.digest, entries[j].digest) >= ALIKE:
                    a, b = sorted((find(i), find(j)))
                    head[b] = a
            if all(find(i) != find(j) for j in others):  # one of a cluster stands for it
                others.append(i)
    return [find(i) for i in range(len(entries))]
