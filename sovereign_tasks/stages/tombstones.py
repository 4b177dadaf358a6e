"""What was erased stays away: its copies are known by keyed hashes of its bands, all that is kept of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from sovereign_tasks.stages.context import Context, among, live_documents, open_bands

if TYPE_CHECKING:
    from sovereign_tasks.curate.dedup import Entry, Fault
    from sovereign_tasks.digests import Digest

COPIES = ("duplicate", "near_duplicate")
ERASED_COPY = "erased_copy"
MATCHES = 4
"""Bands of 25 that make a copy of what was erased. One agrees with the probability J^5: at a similarity of 0.8 as many
do 98.3% of the time, at 0.5 0.7% and at 0.4 0.01%; three would take in 4% at 0.5, five would miss 5% at 0.8."""
_BATCH = 1000


def find_erased_copies(
    context: Context, entries: Sequence[Entry], builds: Collection[str], deleted: Collection[str]
) -> dict[str, Fault]:
    """Find the documents of a night that are copies of what was erased, or is deleted by its author tonight.

    A known document that was like it already before goes on: it was there in its own right.
    """
    from sovereign_tasks.curate.dedup import Fault

    tonight = bands_of(context, deleted, builds)
    if not tonight and not context.ledger.tombstones(context.model):
        return {}
    found: dict[str, str] = {}
    for start in range(0, len(entries), _BATCH):
        found |= _match(context, {e.doc_id: e.digest for e in entries[start : start + _BATCH]}, tonight)
    known = [e.doc_id for e in entries if e.known and e.doc_id in found]
    before = open_bands().digests(context.model, known, builds)
    standing = _match(context, before, tonight).keys()
    return {doc_id: Fault(ERASED_COPY, why) for doc_id, why in found.items() if doc_id not in standing}


def bands_of(context: Context, doc_ids: Collection[str], builds: Collection[str]) -> dict[str, list[str]]:
    """The keyed bands of documents that were kept, or wait in quarantine as copies; of others none."""
    if not doc_ids:
        return {}
    from sovereign_tasks.digests import Text, digest, keyed_bands

    kept = open_bands().digests(context.model, doc_ids, builds)
    found = {doc_id: keyed_bands(own) for doc_id, own in kept.items()}
    waiting = among("row_id", set(doc_ids) - found.keys()) & among("reason", COPIES)
    for rows in context.store.scan("quarantine", list(builds), ["row_id", "reason", "text"]):
        rows = rows.filter(waiting)
        texts = [Text("", "", "", text) for text in rows["text"].to_pylist()]
        for doc_id, own in zip(rows["row_id"].to_pylist(), digest(texts), strict=True):
            found[doc_id] = keyed_bands(own)
    return found


def waiting_copies(context: Context, builds: Sequence[str], doc_ids: Collection[str]) -> list[str]:
    """The documents that gave way to any of these, sorted; what is kept of them holds the same words."""
    rows = context.store.read("quarantine", builds, ["row_id", "reason", "twin"])
    copies = set(rows.filter(among("twin", doc_ids) & among("reason", COPIES))["row_id"].to_pylist())
    live = live_documents(context, list(builds), ["doc_id"]).filter(among("doc_id", copies))
    return sorted(copies - set(live["doc_id"].to_pylist()))


def _match(context: Context, digests: Mapping[str, Digest], tonight: Mapping[str, list[str]]) -> dict[str, str]:
    """How much each document has of anything erased, of those that have enough to be its copy."""
    from sovereign_tasks.digests import BANDS, keyed_bands

    own = {doc_id: keyed_bands(digest) for doc_id, digest in digests.items()}
    asked = {band for bands in own.values() for band in bands}
    erased = context.ledger.erased_with(context.model, asked)
    erased |= {row_id: asked.intersection(bands) for row_id, bands in tonight.items()}
    rows: defaultdict[str, list[str]] = defaultdict(list)
    for row_id, bands in erased.items():
        for band in bands:
            rows[band].append(row_id)
    found = {}
    for doc_id, (exact, *bands) in own.items():
        counts = Counter(row_id for band in bands for row_id in rows.get(band, ()))
        if exact in rows:
            found[doc_id] = "the same words"
        elif (most := max(counts.values(), default=0)) >= MATCHES:
            found[doc_id] = f"{most} of {BANDS} bands >= {MATCHES}"
    return found
