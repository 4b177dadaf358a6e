"""The first half of a night: what is new at each source, as clean, scrubbed documents.

A job names one source of a night: model, build_id, source, and parent, the sequence of the build before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from sovereign_tasks.config import load_platform
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import Document, RawItem, Rejection, SourceState, keyed_hash
from sovereign_tasks.stages.context import (
    Context,
    Unforeseen,
    among,
    count_reasons,
    curation_rules,
    open_context,
    run_key,
    timed,
    withheld,
)
from sovereign_tasks.stages.parts import Parts, collected_state, is_collected, raw_parts

_NAMING = ["group", "author", "headers"]


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


def collect(job: dict[str, Any], *, last_try: bool = True) -> dict[str, Any]:
    """Fetch what is new at one source; a try that was cut off is gone on with.

    A source that can't be collected from leaves the night to the others: its job says why under `failed`. What may
    heal is raised, for the scheduler to try again, until the last try.
    """
    try:
        return _collect(job)
    except UserError as e:
        return job | {"failed": str(e)}
    except Exception as e:  # whatever a source can do to its collector, the others are none the worse
        if not isinstance(e, TransientError | Unforeseen):
            e = withheld(f"collect:{job['source']}", e)
        if isinstance(e, TransientError) and not last_try:
            raise e from None
        return job | {"failed": str(e)}


def _collect(job: dict[str, Any]) -> dict[str, Any]:
    from sovereign_tasks.collect import collect as fetch

    model, build_id, source = job["model"], job["build_id"], job["source"]
    context, stage = open_context(model, build_id), f"collect:{source}"
    if context.is_committed or is_collected(context, source):
        return job
    validators = context.ledger.validators(model, source)
    known = SourceState(validators, context.ledger.cursor(model, source), context.ledger.items(model, source))
    with timed(context, stage) as figures:
        parts = Parts(context, source)
        if not parts.whole:
            fetch(
                context.config.source(source),
                parts.resume(known),
                contact=load_platform().contact,
                now=datetime.now(UTC),
                hand_on=parts.hand_on,
                progress=lambda done, total: context.advance(stage, done, total),
            )
        figures.update(parts.close())
    return job


def curate(job: dict[str, Any]) -> dict[str, Any]:
    """Turn one source's raw items into clean, scrubbed documents, and those that went through older rules again."""
    model, build_id, source = job["model"], job["build_id"], job["source"]
    context, stage = open_context(model, build_id), f"curate:{source}"
    if context.is_committed or "failed" in job:
        return job
    with timed(context, stage) as figures:
        documents: list[Document] = []
        rejections: list[Rejection] = []
        found = list(raw_parts(context, source, ["address", "item", *_NAMING]))
        again = _curated_by_older_rules(context, source, found)
        total, done, pii = sum(table.num_rows for table in found) + len(again), 0, Counter[str]()
        if total:
            from sovereign_tasks.curate import curate as clean
            from sovereign_tasks.curate import find_people

            people = find_people(_naming(context, source, found, again))
        for items in _batches(context, source, again):
            before = done
            curated = clean(
                items,
                context.config,
                now=datetime.now(UTC),
                people=people,
                progress=lambda n, _, before=before: context.advance(stage, before + n, total),
            )
            done += len(items)
            documents += curated.documents
            rejections += curated.rejections
            pii.update(curated.report.notes["pii"])
        notes = {"pii": dict(sorted(pii.items()))} | ({"again": len(again)} if again else {})
        figures.update(
            rows_in=done, rows_out=len(documents), rejected=count_reasons(rejections), notes=notes if total else {}
        )
        pairs = pa.table({"address": [a for a, _ in again.values()], "item": [i for _, i in again.values()]})
        context.store.stage(build_id, f"again-{source}", pairs)
        context.store.stage(build_id, f"rejected-curate-{source}", Rejection.to_table(rejections))
        context.store.stage(build_id, f"documents-{source}", Document.to_table(documents))
    return job


def report_failed(night: dict[str, Any]) -> dict[str, Any]:
    """Raise a `UserError` with what kept sources from being collected from, if there were any."""
    if failed := night["failed"]:
        raise UserError(f"The night was published without {', '.join(sorted(failed))}. {' '.join(failed.values())}")
    return night


def _curated_by_older_rules(context: Context, source: str, found: list[pa.Table]) -> dict[str, tuple[str, str]]:
    """Items by doc_id whose bytes are kept, and whose document the rules of tonight may give another text."""
    outdated = context.ledger.outdated(context.model, source, curation_rules(context, source))
    tonight = {key for table in found for key in zip(*(table[c].to_pylist() for c in ("address", "item")), strict=True)}
    tonight |= {(g["address"], g["item"]) for g in collected_state(context, source)["gone"]}
    ids = {keyed_hash("document", source, *key): key for key in outdated if key not in tonight}
    if not ids:
        return {}
    kept = context.store.read("raw", context.ledger.builds(context.model), ["doc_id"])["doc_id"].to_pylist()
    return {doc_id: ids[doc_id] for doc_id in sorted(ids.keys() & set(kept))}


def _batches(context: Context, source: str, again: dict[str, tuple[str, str]]) -> Iterator[list[RawItem]]:
    """Tonight's items, then older ones to be curated again, in their newest version."""
    for table in raw_parts(context, source):
        if table.num_rows:
            yield RawItem.from_table(table)
    if not again:
        return
    builds, columns = context.ledger.builds(context.model), ["doc_id", *RawItem.schema.names]
    versions = context.store.read("raw", builds, ["doc_id"])  # in the builds' order: the last is the newest
    newest = dict(zip(versions["doc_id"].to_pylist(), versions["sequence"].to_pylist(), strict=True))
    for table in context.store.scan("raw", builds, columns):
        rows = table.filter(among("doc_id", again))
        keys = zip(rows["doc_id"].to_pylist(), rows["sequence"].to_pylist(), strict=True)
        rows = rows.filter(pa.array([newest[doc_id] == sequence for doc_id, sequence in keys], pa.bool_()))
        if rows.num_rows:
            yield RawItem.from_table(rows)


def _naming(
    context: Context, source: str, found: list[pa.Table], again: dict[str, tuple[str, str]]
) -> Iterator[tuple[str, str, str]]:
    """Group, author and headers of all items in the groups that tonight touches, older ones included."""
    builds = context.ledger.builds(context.model)
    older = context.store.read("raw", builds, ["doc_id", "source", *_NAMING])
    older = older.filter(among("source", [source]))
    touched = {group for table in found for group in table["group"].to_pylist()}
    touched |= set(older.filter(among("doc_id", again))["group"].to_pylist())
    for table in [*found, older.filter(among("group", touched))]:
        yield from zip(*(table[c].to_pylist() for c in _NAMING), strict=True)
