"""Floods: more near-equal items from one source in one night than a source has reason to bring.

Copies are dropped by `dedup`; this is for what differs a little from item to item, such as spun texts or one
form filled in a thousand times, and would otherwise be kept. None of it is judged: it is held for a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence

from sovereign_tasks.curate.dedup import Digest, band_keys, digest, likeness
from sovereign_tasks.records import Document, Rejection

ALIKE = 0.5
"""Estimated Jaccard similarity of word 3-shingles from which two items are near-equal."""


def hold_floods(
    documents: Sequence[Document], most: Mapping[str, int], known: Container[str] = ()
) -> tuple[list[Document], list[Rejection]]:
    """Split a night's documents into those that go on and those held with the reason `flood`.

    Near-equal is passed on: what is like a member of a flood belongs to it. `most` is, by source, how many may be;
    equal texts count as one. `known` documents go on: they were kept before.
    """
    digests = digest(documents)
    heads = _clusters(documents, digests)
    texts: defaultdict[int, set[str]] = defaultdict(set)
    for document, own, head in zip(documents, digests, heads, strict=True):
        if document.doc_id not in known:
            texts[head].add(own.exact)
    sizes = {head: len(found) for head, found in texts.items()}
    held = [d.doc_id not in known and sizes[head] > most[d.source] for d, head in zip(documents, heads, strict=True)]
    rejections = [
        Rejection(
            "deduplicate",
            d.doc_id,
            d.source,
            "flood",
            f"{sizes[head]} > {most[d.source]} near-equal",
            d.text,
            [d.doc_id],
        )
        for d, head, flood in zip(documents, heads, held, strict=True)
        if flood
    ]
    return [d for d, flood in zip(documents, held, strict=True) if not flood], rejections


def _clusters(documents: Sequence[Document], digests: Sequence[Digest]) -> list[int]:
    """For each document the least position in its cluster; documents of two sources are never in one."""
    head = list(range(len(documents)))

    def find(i: int) -> int:
        while head[i] != i:
            head[i] = i = head[head[i]]
        return i

    met: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for i, (document, own) in enumerate(zip(documents, digests, strict=True)):
        for key in band_keys(own):
            others = met[document.source, key]
            for j in others:
                if find(i) != find(j) and likeness(own, digests[j]) >= ALIKE:
                    a, b = sorted((find(i), find(j)))
                    head[b] = a
            if all(find(i) != find(j) for j in others):  # one of a cluster stands for it
                others.append(i)
    return [find(i) for i in range(len(documents))]
