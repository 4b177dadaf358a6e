"""The second half of a night: examples of what it touched, and their splits."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.dataset import examples as deriving
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.dataset.holding import FIRST, HELD_MAIL, Review, hold_mail
from sovereign_tasks.dataset.split import assign
from sovereign_tasks.records import Document, Example, Membership, Rejection
from sovereign_tasks.stages.context import Context, among, count_reasons, live_documents, open_context, timed
from sovereign_tasks.stages.nearness import find_near_holdout
from sovereign_tasks.stages.parts import staged_rows
from sovereign_tasks.store import newest_rows


def derive(night: dict[str, Any]) -> dict[str, Any]:
    """Derive the examples of every group the night touched, split them, and keep train rows off the holdout."""
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    if context.is_committed:
        return night
    store, ledger, options = context.store, context.ledger, context.config.dataset
    with timed(context, "examples") as figures:
        builds = ledger.builds(model)
        waiting = {row_id for row_id, released in ledger.releases(model).items() if not released.taken_by}
        documents, touched = _touched(context, builds, waiting)
        found, rejections = deriving.derive(documents, options)
        found, held = hold_mail(found, _review(context, builds))
        splits = ledger.splits(model, touched)
        fresh_splits = assign(touched, splits, options.holdout_share)
        splits |= fresh_splits

        state = newest_rows(store.read("membership", builds), "example_id")
        every = [(e, splits[e.group]) for e in found]
        near, others = find_near_holdout(context, builds, state, every, touched)
        every += others
        concerned = among("group", touched) | among("example_id", (e.example_id for e, _ in every))
        before = versions.by_example(state.filter(concerned))
        events = versions.change(before, every, set(near), touched)
        stored = store.read("examples", builds, ["example_id"])
        known = set(stored.filter(among("example_id", (e.example_id for e in found)))["example_id"].to_pylist())
        rejections += held
        rejections += [
            _near_holdout(example, *near[example.example_id])
            for example, _ in sorted(every, key=lambda pair: pair[0].example_id)
            if example.example_id in near and not versions.is_near_holdout(before.get(example.example_id))
        ]
        figures.update(
            rows_in=len(documents),
            rows_out=sum(e.change for e in events if e.change == 1),
            rejected=count_reasons(rejections),
            notes={"groups": len(touched), "left": -sum(e.change for e in events if e.change == -1)},
        )
        store.stage(build_id, "rejected-examples", Rejection.to_table(rejections))
        store.stage(build_id, "splits", pa.table({"json": [json.dumps(fresh_splits)]}))
        store.stage(build_id, "examples", Example.to_table(e for e in found if e.example_id not in known))
        store.stage(build_id, "events", Membership.to_table(events))
        taken = waiting & {e.example_id for e in found}
        store.stage(build_id, "released-examples", pa.table({"row_id": pa.array(sorted(taken), pa.string())}))
    return night


def _touched(context: Context, builds: list[str], released: set[str]) -> tuple[list[Document], set[str]]:
    """All documents of the groups that the night touches, and these groups."""
    store, run = context.store, context.run
    kept = Document.from_table(staged_rows(context, "kept", Document.schema).sort_by("doc_id"))
    replaced = {d.doc_id for d in kept} | set(store.staged(run, "removed")["doc_id"].to_pylist())
    live = live_documents(context, builds, ["group"])
    held = store.read("quarantine", builds if released else [], ["row_id", "doc_ids"]).filter(among("row_id", released))
    let_in = {doc_id for doc_ids in held["doc_ids"].to_pylist() for doc_id in doc_ids}
    touched = {d.group for d in kept} | set(live.filter(among("doc_id", replaced | let_in))["group"].to_pylist())
    others = live.filter(among("group", touched) & ~among("doc_id", replaced))
    written = set(others["build_id"].unique().to_pylist())
    rows = store.read("documents", [build for build in builds if build in written], Document.schema.names)
    rows = newest_rows(rows.filter(among("doc_id", others["doc_id"].to_pylist())), "doc_id")
    return [*kept, *Document.from_table(rows)], touched


def _review(context: Context, builds: list[str]) -> Review:
    """What decides on examples from mail."""
    from sovereign_tasks.curate.pii import recognises_names

    personal = context.config.curation.personal_data
    sources = {source.name for source in context.config.sources if source.kind == "mail"}
    if not sources:
        return Review(sources, 0, {}, False, ())
    rows = context.store.read("quarantine", builds, ["row_id", "source", "reason", "measured"])
    rows = rows.filter((pc.field("reason") == HELD_MAIL) & pc.starts_with(pc.field("measured"), FIRST))
    first = dict(zip(rows["row_id"].to_pylist(), rows["source"].to_pylist(), strict=True))
    released = context.ledger.releases(context.model)
    return Review(sources, personal.review_mail, first, recognises_names(personal), released)


def _near_holdout(example: Example, held: str, similarity: float) -> Rejection:
    text = f"{example.question}\n\n{example.answer}"
    reason, measured = versions.NEAR_HOLDOUT, f"{similarity} to {held}"
    return Rejection("examples", example.example_id, example.source, reason, measured, text, example.doc_ids, held)
