"""The end of a night: into the tables, visible in one transaction, then what must go is removed for good.

Removals are owed to the ledger: what a publish that was cut off left undone, the next one does first.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.durable import after_write
from sovereign_tasks.lineage_events import dataset, told
from sovereign_tasks.records import Document, Example
from sovereign_tasks.stages.commit import commit
from sovereign_tasks.stages.context import Context, among, open_bands, open_context, timed
from sovereign_tasks.stages.forgetting import forget_findings
from sovereign_tasks.stages.nearness import open_examples, open_index
from sovereign_tasks.stages.sealing import seal
from sovereign_tasks.stages.tombstones import ERASED_COPY, waiting_copies


def publish(night: dict[str, Any]) -> dict[str, Any]:
    """Append the night to the tables, make it visible in one ledger transaction, then remove what must go."""
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    store, ledger = context.store, context.ledger
    sources = [s for s in context.config.sources if s.name in night["sources"]]
    asked = [dataset(model, f"source/{s.name}", tags={"licence": s.licence, "consent": s.consent}) for s in sources]
    with (
        told(model, "build", build_id, asked) as made,
        timed(context, "publish") as figures,
        ledger.lease(f"publish/{model}", build_id),
    ):
        counted = build_id if night.get("erased") else ""
        _purge_owed(context, counted)
        if not context.is_committed:
            commit(context, night)
            _purge_owed(context, counted)
        builds = ledger.builds(model)
        open_index(context, builds)  # the night that brought examples pays for their index
        store.clear_staging()
        store.drop_uncommitted(builds)
        open_bands().drop_uncommitted(model, builds)
        now, usual = datetime.now(UTC), context.config.curation.retention_days
        kept = {s.name: now - timedelta(days=s.retention_days or usual) for s in context.config.sources}
        store.expire("raw", "fetched_at", kept, now - timedelta(days=usual))
        seal(context)
        manifest = ledger.manifest(model, build_id)
        figures.update(rows_in=manifest["events"], rows_out=manifest["events"], notes=manifest)
        made.append(dataset(model, "documents", columns=Document.schema, rows=manifest["documents"]))
        if manifest["snapshot"] is not None:
            published = ledger.snapshot(model, manifest["snapshot"])
            version, rows = f"{published.number}-{published.content_hash}", sum(published.counts.values())
            made.append(dataset(model, "snapshot", version=version, columns=Example.schema, rows=rows))
    return night


def _purge_owed(context: Context, counted: str) -> None:
    """Before another build is committed no earlier one owes anything, so digests are forgotten in their order.

    An erasure's own build is `counted`: what it removes beside the tables stands on its certificate, and goes then.
    """
    for build_id, manifest in context.ledger.unpurged(context.model):
        if build_id != counted and manifest["purged"]["examples"]:
            forget_findings(context, manifest["purged"]["examples"])
        _purge(context, build_id, manifest["purged"])


def _purge(context: Context, build_id: str, purged: dict[str, list[str]]) -> None:
    """Carry out what a committed build removed: deleted items in every table, digests of replaced revisions."""
    documents, examples, again = purged["documents"], purged["examples"], purged.get("copies", [])
    model, store, bands = context.model, context.store, open_bands()
    changed = store.read("documents", [build_id], ["doc_id"])["doc_id"].to_pylist()
    bands.forget(model, changed, except_build=build_id)
    after_write()
    if documents or again:
        builds = context.ledger.builds(model)
        copies = [*again, *waiting_copies(context, builds, documents)]
        quoting = _quoting(context, {*documents, *examples, *copies})
        store.delete("documents", "doc_id", documents)
        store.delete("raw", "doc_id", [*documents, *copies])
        store.delete("custody", "doc_id", documents)
        store.delete("cleaned", "doc_id", [*documents, *copies])
        store.delete("examples", "example_id", examples)
        store.delete("quarantine", "row_id", quoting, but_reason=ERASED_COPY)  # which holds no words
        bands.forget(model, documents)
        open_examples().forget(model, examples)
    context.ledger.mark_purged(model, build_id)


def _quoting(context: Context, ids: set[str]) -> set[str]:
    """Quarantined rows of these documents or examples, or that hold their words."""
    rows = context.store.read("quarantine", context.ledger.builds(context.model), ["row_id", "doc_ids"])
    flat = pa.table({"row": pc.list_parent_indices(rows["doc_ids"]), "doc_id": pc.list_flatten(rows["doc_ids"])})
    quoting = rows.take(flat.filter(among("doc_id", ids))["row"])
    return {*quoting["row_id"].to_pylist(), *rows.filter(among("row_id", ids))["row_id"].to_pylist()}
