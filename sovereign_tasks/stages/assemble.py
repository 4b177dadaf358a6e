"""The second half of a night: examples of what it touched, and their splits."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from sovereign_tasks.dataset import examples as deriving
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.dataset.split import assign, find_near_holdout
from sovereign_tasks.records import Document, Example, Membership, Rejection
from sovereign_tasks.stages.context import among, count_reasons, live_documents, open_context, timed


def derive(night: dict[str, Any]) -> dict[str, Any]:
    """Derive the examples of every group the night touched, split them, and keep train rows off the holdout."""
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    if context.is_committed:
        return night
    store, builds, options = context.store, context.ledger.builds(model), context.config.dataset
    with timed(context, "examples") as figures:
        kept = Document.from_table(store.staged(build_id, "kept"))
        removed = set(store.staged(build_id, "removed")["doc_id"].to_pylist())
        live = live_documents(context, builds, Document.schema.names)
        replaced = removed | {d.doc_id for d in kept}
        touched = {d.group for d in kept} | set(live.filter(among("doc_id", replaced))["group"].to_pylist())
        others = [d for d in Document.from_table(live.filter(among("group", touched))) if d.doc_id not in replaced]
        found, rejections = deriving.derive([*kept, *others], options)

        state = versions.fold(store.read("membership", builds))
        stored = store.read("examples", builds)
        untouched = {i for i, e in versions.candidates(state).items() if e.group not in touched}
        older = Example.from_table(stored.filter(among("example_id", untouched)))
        splits = context.ledger.splits(model)
        fresh_splits = assign(touched, splits, options.holdout_share)
        splits |= fresh_splits
        every = [(e, splits[e.group]) for e in [*older, *found]]
        near = find_near_holdout(
            [e for e, split in every if split == "train"],
            [e for e, split in every if split == "holdout"],
            options.near_holdout,
        )
        events = versions.change(state, every, set(near), touched)
        known = set(stored["example_id"].to_pylist())
        fresh = [e for e in found if e.example_id not in known]
        rejections += [
            _near_holdout(example, *near[example.example_id])
            for example, _ in sorted(every, key=lambda pair: pair[0].example_id)
            if example.example_id in near and not versions.is_near_holdout(state, example.example_id)
        ]
        gained = sum(e.change for e in events if e.change == 1)
        figures.update(
            rows_in=len(kept) + len(others),
            rows_out=gained,
            rejected=count_reasons(rejections),
            notes={"groups": len(touched), "left": -sum(e.change for e in events if e.change == -1)},
        )
        store.stage(build_id, "rejected-examples", Rejection.to_table(rejections))
        store.stage(build_id, "splits", pa.table({"json": [json.dumps(fresh_splits)]}))
        store.stage(build_id, "examples", Example.to_table(fresh))
        store.stage(build_id, "events", Membership.to_table(events))
    return night


def _near_holdout(example: Example, held: str, similarity: float) -> Rejection:
    text = f"{example.question}\n\n{example.answer}"
    reason, measured = versions.NEAR_HOLDOUT, f"{similarity} to {held}"
    return Rejection("examples", example.example_id, example.source, reason, measured, text, example.doc_ids, held)
