"""Which of a night's documents stay, and which older ones go.

From here on one reference stands for the whole night: model, build_id, parent, the sources that were collected
from, and why others failed. Documents are read twice, part by part: for what is decided on, which is about 1 KB of
each that is new or changed, and to be handed on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Rejection, document_id
from sovereign_tasks.stages.clean_texts import text_of
from sovereign_tasks.stages.context import Context, among, live_documents, open_bands, open_context, timed
from sovereign_tasks.stages.parts import PartWriter, collected_state, curated_again, staged_parts
from sovereign_tasks.stages.tombstones import ERASED_COPY, find_erased_copies

if TYPE_CHECKING:
    from sovereign_tasks.curate.dedup import Entry, Fault

STAGE = "deduplicate"
DIGESTS = pa.schema([("doc_id", pa.string()), ("exact", pa.string()), ("bands", pa.binary()), ("sketch", pa.binary())])
_DECIDING = ["doc_id", "revision", "source", "group", "parent", "title", "text"]


def deduplicate(jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Decide, in one fixed order, which of the night's documents stay and which older ones go."""
    model, build_id = jobs[0]["model"], jobs[0]["build_id"]
    failed = {job["source"]: job["failed"] for job in jobs if "failed" in job}
    sources = sorted(job["source"] for job in jobs if "failed" not in job)
    if not sources:
        raise UserError(" ".join(failed[source] for source in sorted(failed)))
    night = {"model": model, "build_id": build_id, "parent": jobs[0]["parent"], "sources": sources, "failed": failed}
    return settle(night)


def settle(night: dict[str, Any], erased: Collection[str] = ()) -> dict[str, Any]:
    """Decide on a night's documents; those that are `erased` go, as what its author deleted does."""
    model, build_id, sources = night["model"], night["build_id"], night["sources"]
    context = open_context(model, build_id)
    if context.is_committed:
        return night
    with timed(context, STAGE) as figures:
        gone = {g["doc_id"]: g["by_author"] for s in sources for g in collected_state(context, s)["gone"]}
        gone |= dict.fromkeys(erased, True)
        live = live_documents(context, context.ledger.builds(model), ["group", "parent"])
        _complete_bands(context, live)
        entries, unchanged = _read(context, sources, live)
        superseded = (_asked(context, sources) | gone.keys()) - unchanged
        standing = live.filter(~among("doc_id", superseded))
        faults = _judge(context, entries, superseded, {i for i, by_author in gone.items() if by_author}, standing)
        kept = [e for e in entries if e.doc_id not in faults]
        stranded = _stranded(kept, standing)
        removed = {*stranded}
        removed |= set(live.filter(among("doc_id", superseded - {e.doc_id for e in kept}))["doc_id"].to_pylist())
        turned = _turned(context, kept)
        rejected = dict(Counter(fault.reason for fault in faults.values()).most_common())
        figures.update(
            rows_in=len(entries) + len(unchanged),
            rows_out=len(kept),
            rejected=rejected | ({"unchanged": len(unchanged)} if unchanged else {}),
            notes={"removed": len(removed), "stranded": len(stranded)},
        )
        _hand_on(context, sources, {e.doc_id: e for e in kept}, faults)
        _hand_on_stranded(context, stranded)
        context.store.stage(build_id, "turned", _ids(turned))
        context.store.stage(build_id, "removed", _ids(removed))
    return night


def _complete_bands(context: Context, live: pa.Table) -> None:
    """Give the index what it lacks of what stands, as it may be of an older form, or lost."""
    from sovereign_tasks.digests import digest

    bands, store, model = open_bands(), context.store, context.model
    lacking = live.filter(~among("build_id", bands.builds(model)))
    for build in lacking["build_id"].unique().to_pylist():
        ids = lacking.filter(pc.field("build_id") == build)["doc_id"].to_pylist()
        rows = store.read("documents", [build], ["doc_id", "group", "parent", "title", "text"])
        rows = rows.filter(among("doc_id", ids)).to_pylist()
        bands.add(build, model, [row["doc_id"] for row in rows], digest([text_of(row) for row in rows]))


def _asked(context: Context, sources: list[str]) -> set[str]:
    """The documents whose bytes were curated tonight."""
    found = {s: [*collected_state(context, s)["found"], *curated_again(context, s)] for s in sources}
    return {document_id(s, *pair) for s, pairs in found.items() for pair in pairs}


def _read(context: Context, sources: list[str], live: pa.Table) -> tuple[list[Entry], set[str]]:
    """What is decided on of the night's new and changed documents, and the ids of those that are as they were."""
    entries: list[Entry] = []
    unchanged: set[str] = set()
    for part in (part for source in sources for part in staged_parts(context, f"documents-{source}", _DECIDING)):
        from sovereign_tasks.curate.dedup import Entry
        from sovereign_tasks.digests import digest

        rows = part.to_pylist()
        there = live.filter(among("doc_id", (row["doc_id"] for row in rows)))
        revisions = dict(zip(there["doc_id"].to_pylist(), there["revision"].to_pylist(), strict=True))
        fresh = [row for row in rows if revisions.get(row["doc_id"]) != row["revision"]]
        unchanged |= {row["doc_id"] for row in rows} - {row["doc_id"] for row in fresh}
        digests = digest([text_of(row) for row in fresh])
        entries += [
            Entry(r["doc_id"], r["source"], r["group"], r["parent"], len(r["text"]), r["doc_id"] in revisions, own)
            for r, own in zip(fresh, digests, strict=True)
        ]
    return entries, unchanged


def _judge(
    context: Context, entries: list[Entry], superseded: set[str], deleted: set[str], standing: pa.Table
) -> dict[str, Fault]:
    """Why which documents go."""
    if not entries:
        return {}
    from sovereign_tasks.curate.dedup import decide
    from sovereign_tasks.curate.flood import find_floods

    builds, sources = context.ledger.builds(context.model), context.config.sources
    faults = find_erased_copies(context, entries, builds, deleted)
    released = {(doc_id, one.text) for doc_id, one in context.ledger.releases(context.model).items()}
    unjudged = [e for e in entries if e.doc_id not in faults and (e.doc_id, e.digest.exact) not in released]
    faults |= find_floods(unjudged, {s.name: s.max_alike for s in sources})
    while True:
        left = [e for e in entries if e.doc_id not in faults]
        copies = decide(
            left,
            open_bands(),
            model=context.model,
            builds=builds,
            superseded=superseded,
            threshold=context.config.curation.near_duplicate,
            priorities={s.name: s.priority for s in sources},
        )
        orphans = _orphans([e for e in left if e.doc_id not in copies], standing)
        twins = {copy.twin for copy in copies.values()} & orphans.keys()
        if not twins:
            return faults | copies | orphans
        # Some gave way to what doesn't stay. First those go whose opening post can't come back by that.
        roots = {e.group: copies[e.doc_id].twin for e in left if not e.parent and e.doc_id in copies}
        lost = {i for i in twins if roots.get(orphans[i].twin) not in orphans}
        faults |= {i: orphans[i] for i in lost or twins}


def _orphans(kept: list[Entry], standing: pa.Table) -> dict[str, Fault]:
    """Replies whose thread has no opening post among what stays."""
    from sovereign_tasks.curate.dedup import Fault

    opened = {e.group for e in kept if not e.parent}
    replies = [e for e in kept if e.parent and e.group not in opened]
    there = among("group", {e.group for e in replies}) & (pc.field("parent") == "")
    opened = set(standing.filter(there)["group"].to_pylist())
    return {e.doc_id: Fault("orphan", "", e.group) for e in replies if e.group not in opened}


def _stranded(kept: list[Entry], standing: pa.Table) -> dict[str, str]:
    """Older replies whose opening post goes, with their groups."""
    is_root = pc.field("parent") == ""
    roots = pa.chunked_array(
        [*standing.filter(is_root)["group"].chunks, pa.array([e.group for e in kept if not e.parent], pa.string())]
    )
    replies = standing.filter(~is_root)
    lost = pc.invert(pc.is_in(replies["group"], roots))
    stranded = replies.filter(lost)
    return dict(zip(stranded["doc_id"].to_pylist(), stranded["group"].to_pylist(), strict=True))


def _turned(context: Context, kept: list[Entry]) -> set[str]:
    """Documents that are no copies of their older selves any more, so that copies of those have their turn."""
    changed = {e.doc_id: e.digest for e in kept if e.known}
    if not changed:
        return set()
    from sovereign_tasks.digests import similarity

    before = open_bands().digests(context.model, changed, context.ledger.builds(context.model))
    threshold = context.config.curation.near_duplicate
    return {doc_id for doc_id, own in before.items() if similarity(own, changed[doc_id]) < threshold}


def _hand_on(context: Context, sources: list[str], kept: Mapping[str, Entry], faults: Mapping[str, Fault]) -> None:
    """Write what stays, its digests, and what goes with its text, unless that was erased."""
    documents, digests = PartWriter(context, "kept"), PartWriter(context, "digests")
    rejected = PartWriter(context, f"rejected-{STAGE}")
    for part in (part for source in sources for part in staged_parts(context, f"documents-{source}")):
        stays = part.filter(among("doc_id", kept))
        documents.write(stays)
        own = [(i, kept[i].digest) for i in stays["doc_id"].to_pylist()]
        rows = [{"doc_id": i, "exact": d.exact, "bands": d.bands, "sketch": d.sketch} for i, d in own]
        digests.write(pa.Table.from_pylist(rows, schema=DIGESTS))
        goes = part.select(["doc_id", "source", "text"]).filter(among("doc_id", faults)).to_pylist()
        rejected.write(Rejection.to_table(_rejection(row, faults[row["doc_id"]]) for row in goes))


def _hand_on_stranded(context: Context, stranded: Mapping[str, str]) -> None:
    """Write the older replies that go, so that they have their turn once their opening post is back."""
    from sovereign_tasks.curate.dedup import Fault

    rows = live_documents(context, context.ledger.builds(context.model) if stranded else [], ["source", "text"])
    rows = rows.filter(among("doc_id", stranded)).select(["doc_id", "source", "text"])
    rejected = (_rejection(row, Fault("orphan", "", stranded[row["doc_id"]])) for row in rows.to_pylist())
    context.store.stage(context.run, "rejected-stranded", Rejection.to_table(rejected))


def _rejection(row: dict[str, str], fault: Fault) -> Rejection:
    text = "" if fault.reason == ERASED_COPY else row["text"]
    ids = (row["doc_id"], row["source"])
    return Rejection(STAGE, *ids, fault.reason, fault.measured, text, [row["doc_id"]], fault.twin)


def _ids(doc_ids: Collection[str]) -> pa.Table:
    return pa.table({"doc_id": pa.array(sorted(doc_ids), pa.string())})
