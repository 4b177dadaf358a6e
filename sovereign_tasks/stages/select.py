"""Which of a night's documents stay, and which older ones go.

From here on one reference stands for the whole night: model, build_id, parent, the sources that were collected
from, and why others failed.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import pyarrow as pa

from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Document, Rejection, keyed_hash
from sovereign_tasks.stages.context import (
    BANDS,
    Context,
    count_reasons,
    live_documents,
    open_context,
    timed,
)
from sovereign_tasks.stages.parts import collected_state, curated_again, staged_parts
from sovereign_tasks.store import state_folder

STAGE = "deduplicate"
_DIGESTS = pa.schema([("doc_id", pa.string()), ("exact", pa.string()), ("signature", pa.binary())])


def deduplicate(jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Decide, in one fixed order, which of the night's documents stay and which older ones go."""
    model, build_id = jobs[0]["model"], jobs[0]["build_id"]
    failed = {job["source"]: job["failed"] for job in jobs if "failed" in job}
    sources = sorted(job["source"] for job in jobs if "failed" not in job)
    if not sources:
        raise UserError(" ".join(failed[source] for source in sorted(failed)))
    night = {"model": model, "build_id": build_id, "parent": jobs[0]["parent"], "sources": sources, "failed": failed}
    context = open_context(model, build_id)
    if context.is_committed:
        return night
    store, builds = context.store, context.ledger.builds(model)
    with timed(context, STAGE) as figures:
        documents = [
            d for s in sources for part in staged_parts(context, f"documents-{s}") for d in Document.from_table(part)
        ]
        live = live_documents(context, builds, ["doc_id", "revision", "group", "parent"]).to_pylist()
        revisions = {row["doc_id"]: row["revision"] for row in live}
        fresh = [d for d in documents if revisions.get(d.doc_id) != d.revision]
        unchanged = {d.doc_id for d in documents} - {d.doc_id for d in fresh}
        gone = {g["doc_id"] for s in sources for g in collected_state(context, s)["gone"]}
        superseded = (_asked(context, sources) | gone) - unchanged
        kept, rejections, digests = _drop_duplicates(context, fresh, builds, superseded, revisions)
        standing = [row for row in live if row["doc_id"] not in superseded]
        roots = {d.group for d in kept if not d.parent} | {row["group"] for row in standing if not row["parent"]}
        orphans = [d for d in kept if d.parent and d.group not in roots]
        rejections += [Rejection(STAGE, d.doc_id, d.source, "orphan", "", d.text, [d.doc_id], d.group) for d in orphans]
        lost = {d.doc_id for d in orphans}
        kept = [d for d in kept if d.doc_id not in lost]
        stranded = {row["doc_id"] for row in standing if row["parent"] and row["group"] not in roots}
        removed = sorted((superseded - {d.doc_id for d in kept}) & revisions.keys() | stranded)
        figures.update(
            rows_in=len(documents),
            rows_out=len(kept),
            rejected=count_reasons(rejections) | ({"unchanged": len(unchanged)} if unchanged else {}),
            notes={"removed": len(removed)},
        )
        rows = [{"doc_id": d.doc_id, "exact": digests[d.doc_id][0], "signature": digests[d.doc_id][1]} for d in kept]
        store.stage(build_id, "rejected-deduplicate", Rejection.to_table(rejections))
        store.stage(build_id, "removed", pa.table({"doc_id": pa.array(removed, pa.string())}))
        store.stage(build_id, "digests", pa.Table.from_pylist(rows, schema=_DIGESTS))
        store.stage(build_id, "kept", Document.to_table(kept))
    return night


def _asked(context: Context, sources: list[str]) -> set[str]:
    """The documents whose bytes were curated tonight."""
    found = {s: [*collected_state(context, s)["found"], *curated_again(context, s)] for s in sources}
    return {keyed_hash("document", s, *pair) for s, pairs in found.items() for pair in pairs}


def _drop_duplicates(
    context: Context, documents: list[Document], builds: list[str], superseded: set[str], known: Container[str]
) -> tuple[list[Document], list[Rejection], dict[str, tuple[str, bytes]]]:
    """What stays, what goes, and the digests of what stays by doc_id; `known` were kept on an earlier night."""
    if not documents:
        return [], [], {}
    from sovereign_tasks.curate.dedup import Bands, decide
    from sovereign_tasks.curate.flood import hold_floods

    documents, held = hold_floods(documents, {s.name: s.max_alike for s in context.config.sources}, known)
    decided = decide(
        documents,
        Bands(state_folder() / BANDS),
        model=context.model,
        builds=set(builds),
        superseded=superseded,
        threshold=context.config.curation.near_duplicate,
        priorities={s.name: s.priority for s in context.config.sources},
    )
    pairs = zip(decided.kept, decided.digests, strict=True)
    return list(decided.kept), [*held, *decided.rejections], {d.doc_id: (g.exact, g.signature) for d, g in pairs}
