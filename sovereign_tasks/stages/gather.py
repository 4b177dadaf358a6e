"""The first half of a night: what is new at each source, as clean, scrubbed documents.

A job names one source of a night: model, build_id, source, and parent, the sequence of the build before it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from sovereign_tasks.config import load_platform
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Collected, Document, RawItem, Rejection, SourceState
from sovereign_tasks.stages.context import count_reasons, open_context, run_key, timed


def begin(model: str, run_id: str) -> list[dict[str, Any]]:
    """Open a night: one job per source. What an earlier try left over goes."""
    context = open_context(model, run_key("build", model, run_id))
    sources = [s.name for s in context.config.sources if s.enabled]
    if not sources:
        raise UserError(f"{model}: sources: none is enabled; enable one.")
    if not context.is_committed:
        context.store.clear_staging()
    parent = context.ledger.sequence(model)
    return [{"model": model, "build_id": context.run, "parent": parent, "source": s} for s in sorted(sources)]


def collect(job: dict[str, Any]) -> dict[str, Any]:
    """Fetch what is new at one source."""
    from sovereign_tasks.collect import collect as fetch

    model, build_id, source = job["model"], job["build_id"], job["source"]
    context, stage = open_context(model, build_id), f"collect:{source}"
    if context.is_committed:
        return job
    validators = context.ledger.validators(model, source)
    state = SourceState(validators, context.ledger.cursor(model, source), context.ledger.items(model, source))
    with timed(context, stage) as figures:
        collected: Collected = fetch(
            context.config.source(source),
            state,
            contact=load_platform().contact,
            now=datetime.now(UTC),
            progress=lambda done, total: context.advance(stage, done, total),
        )
        figures.update(
            rows_in=collected.report.rows_in,
            rows_out=len(collected.items),
            rejected=collected.report.rejected,
            notes=collected.report.notes | {"gone": len(collected.gone)},
        )
        remembered = {
            "found": [(i.address, i.item) for i in collected.items],
            "gone": [asdict(g) for g in collected.gone],
            "validators": [asdict(v) for v in collected.validators],
            "cursor": collected.cursor,
        }
        context.store.stage(build_id, f"state-{source}", pa.table({"json": [json.dumps(remembered)]}))
        context.store.stage(build_id, f"rejected-collect-{source}", Rejection.to_table(collected.rejections))
        context.store.stage(build_id, f"raw-{source}", RawItem.to_table(collected.items))
    return job


def curate(job: dict[str, Any]) -> dict[str, Any]:
    """Turn one source's raw items into clean, scrubbed documents."""
    model, build_id, source = job["model"], job["build_id"], job["source"]
    context, stage = open_context(model, build_id), f"curate:{source}"
    if context.is_committed:
        return job
    items = RawItem.from_table(context.store.staged(build_id, f"raw-{source}"))
    with timed(context, stage) as figures:
        documents: list[Document] = []
        rejections: list[Rejection] = []
        if items:
            from sovereign_tasks.curate import curate as clean

            curated = clean(
                items,
                context.config,
                now=datetime.now(UTC),
                progress=lambda done, total: context.advance(stage, done, total),
            )
            documents, rejections = curated.documents, curated.rejections
            figures["notes"] = curated.report.notes
        figures.update(rows_in=len(items), rows_out=len(documents), rejected=count_reasons(rejections))
        context.store.stage(build_id, f"rejected-curate-{source}", Rejection.to_table(rejections))
        context.store.stage(build_id, f"documents-{source}", Document.to_table(documents))
    return job
