"""Which of a night's documents stay: no exact or near copy of anything ever kept, nor of each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sovereign_tasks.bands import Bands
from sovereign_tasks.digests import Digest, band_keys, compare

_BATCH = 1000  # documents whose candidates are in memory at once


@dataclass(frozen=True, slots=True)
class Entry:
    """What is decided on of a document that is new or changed: `known` ones were kept on an earlier night."""

    doc_id: str
    source: str
    group: str
    parent: str
    length: int
    known: bool
    digest: Digest


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a document goes: its reason code, the measured value, and the document it gives way to or waits for."""

    reason: str
    measured: str
    twin: str = ""


def decide(
    entries: Sequence[Entry],
    bands: Bands,
    *,
    model: str,
    builds: Collection[str],
    superseded: Collection[str],
    threshold: float,
    priorities: Mapping[str, int],
) -> dict[str, Fault]:
    """Find the copies among a night's documents, serially and in a fixed order; what isn't named stays.

    Across nights the copy that was kept first stays, also when it comes in a new revision; within a night the one of
    the source with the highest priority, then the longest, then the least doc_id. `superseded` names documents that
    changed or are gone: what `bands` holds of them doesn't count, and a document is never its own copy.
    """
    order = sorted(entries, key=lambda e: (not e.known, -priorities.get(e.source, 0), -e.length, e.doc_id))
    shared = shared_keys(order)
    tonight: defaultdict[str | int, list[Entry]] = defaultdict(list)
    copies: dict[str, Fault] = {}
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        earlier = bands.candidates(model, [e.digest for e in batch], builds)
        for entry, rows in zip(batch, earlier, strict=True):
            known = {doc_id: own for doc_id, own in rows if doc_id != entry.doc_id and doc_id not in superseded}
            keys = [key for key in (entry.digest.exact, *band_keys(entry.digest)) if key in shared]
            known |= {other.doc_id: other.digest for key in keys for other in tonight[key]}
            if fault := _nearest(entry.digest, known, threshold):
                copies[entry.doc_id] = fault
                continue
            for key in keys:
                tonight[key].append(entry)
    return copies


def _nearest(own: Digest, known: Mapping[str, Digest], threshold: float) -> Fault | None:
    """The document this one is most like, if that makes it a copy."""
    found = []
    for doc_id, other in known.items():
        likeness, least = compare(own, other, threshold)
        if likeness >= least:
            found.append((own.exact != other.exact, -likeness, doc_id, least))
    if not found:
        return None
    near, likeness, twin, least = min(found)
    return Fault("near_duplicate" if near else "duplicate", f"{-likeness:.2f} >= {least:.2f} with {twin}", twin)


def shared_keys(entries: Sequence[Entry]) -> set[str | int]:
    """The exact hashes and band keys that more than one of these documents has: all that need be looked up."""
    exact = Counter(entry.digest.exact for entry in entries)
    keys = np.sort(np.frombuffer(b"".join(entry.digest.bands for entry in entries), np.uint32))
    return {one for one, count in exact.items() if count > 1} | set(keys[1:][keys[1:] == keys[:-1]].tolist())
