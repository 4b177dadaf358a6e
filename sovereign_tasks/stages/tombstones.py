"""What was erased stays away: its copies are known by keyed hashes of its bands, all that is kept of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.records import Rejection
from sovereign_tasks.stages.clean_texts import CLEAN, clean_texts, text_of
from sovereign_tasks.stages.context import Context, among, live_documents, open_bands
from sovereign_tasks.stages.parts import staged_parts

if TYPE_CHECKING:
    from sovereign_tasks.curate.dedup import Entry, Fault
    from sovereign_tasks.digests import Digest

COPIES = ("duplicate", "near_duplicate")
ERASED_COPY = "erased_copy"
ON_REQUEST = "on request"
"""Why a row was erased, of those that no author deleted."""
ERASED_ITSELF = "its source still has it"
MATCHES = 4
"""Bands of 25 that make a copy of what was erased. One agrees with the probability J^5: at a similarity of 0.8 as many
do 98.3% of the time, at 0.5 0.7% and at 0.4 0.01%; three would take in 4% at 0.5, five would miss 5% at 0.8."""
_BATCH = 1000
ERASED = pa.schema([(name, pa.string()) for name in ("doc_id", "source", "address", "item")])


def find_erased_copies(
    context: Context, entries: Sequence[Entry], builds: Collection[str], deleted: Collection[str]
) -> dict[str, Fault]:
    """Find the documents of a night that are copies of what was erased, or is deleted by its author tonight.

    A known document that was like it already before goes on: it was there in its own right.
    """
    from sovereign_tasks.curate.dedup import Fault

    tonight, erased = bands_of(context, deleted, builds), context.ledger.tombstones(context.model)
    if not tonight and not erased:
        return {}
    found: dict[str, str] = {}
    for start in range(0, len(entries), _BATCH):
        found |= _match(context, {e.doc_id: e.digest for e in entries[start : start + _BATCH]}, tonight)
    known = [e.doc_id for e in entries if e.known and e.doc_id in found]
    before = open_bands().digests(context.model, known, builds)
    standing = _match(context, before, tonight).keys()
    faults = {doc_id: Fault(ERASED_COPY, why) for doc_id, why in found.items() if doc_id not in standing}
    return faults | {e.doc_id: Fault(ERASED_COPY, ERASED_ITSELF) for e in entries if e.doc_id in erased}


def erased_tonight(context: Context, night: Mapping[str, Any]) -> pa.Table:
    """What this build erases on request: doc_id, and the source, address and item of those that the ledger knows."""
    if night.get("erased"):
        return context.store.staged(context.run, "erased")
    return ERASED.empty_table()


def bands_of(context: Context, doc_ids: Collection[str], builds: Collection[str]) -> dict[str, list[str]]:
    """The keyed bands of documents that were kept, and of others by their clean text."""
    if not doc_ids:
        return {}
    from sovereign_tasks.digests import keyed_bands

    kept = open_bands().digests(context.model, doc_ids, builds)
    found = {doc_id: keyed_bands(own) for doc_id, own in kept.items()}
    if left := set(doc_ids) - found.keys():
        for part in clean_texts(context, list(builds), left):
            for doc_id, own in _digest_clean(part, left):
                found[doc_id] = [*found.get(doc_id, ()), *keyed_bands(own)]  # of all that it ever said
    return found


def withhold_copies(
    context: Context,
    rejected: pa.Table,
    sources: Sequence[str],
    builds: Sequence[str],
    tonight: Mapping[str, list[str]],
) -> pa.Table:
    """The night's rejections; what curation rejected and is a copy of what was erased says only that, without words.

    `tonight` has the keyed bands of what is erased tonight.
    """
    curated = (pc.field("stage") == "curate") & (pc.field("text") != "")
    left = set(rejected.filter(curated)["row_id"].to_pylist())
    if not left or not (tonight or context.ledger.tombstones(context.model)):
        return rejected
    found: dict[str, str] = {}
    for part in (part for source in sources for part in staged_parts(context, f"cleaned-{source}", CLEAN)):
        own = dict(_digest_clean(part, left))
        found |= _match(context, own, tonight)
        left -= own.keys()
    for part in clean_texts(context, builds, left):  # of what was judged anew only
        found |= _match(context, dict(_digest_clean(part, left)), tonight)
    copies = rejected.filter(curated & among("row_id", found)).select(["stage", "row_id", "source"]).to_pylist()
    silent = [Rejection(**r, reason=ERASED_COPY, measured=found[r["row_id"]], text="") for r in copies]
    return pa.concat_tables([rejected.filter(~among("row_id", found)), Rejection.to_table(silent)])


def rejected_copies(
    context: Context, builds: Sequence[str], tonight: Mapping[str, list[str]], kept: Iterable[str]
) -> set[str]:
    """The documents that wait in quarantine, for whatever reason, with words that are erased tonight.

    What stands or is `kept` tonight is not among them.
    """
    if not tonight:
        return set()
    rows = context.store.read("quarantine", builds, ["row_id", "reason"]).filter(pc.field("reason") != ERASED_COPY)
    stands = live_documents(context, list(builds), ["doc_id"])["doc_id"].to_pylist()
    waiting = set(rows["row_id"].to_pylist()) - {*stands, *kept}
    parts = clean_texts(context, builds, waiting)
    return {doc_id for part in parts for doc_id in _match(context, dict(_digest_clean(part, waiting)), tonight)}


def _digest_clean(part: pa.Table, doc_ids: Collection[str]) -> Iterator[tuple[str, Digest]]:
    """The digests of these documents by their clean texts, made as those of documents are."""
    from sovereign_tasks.digests import digest

    rows = part.filter(among("doc_id", doc_ids)).to_pylist()
    return zip((row["doc_id"] for row in rows), digest([text_of(row) for row in rows]), strict=True)


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
