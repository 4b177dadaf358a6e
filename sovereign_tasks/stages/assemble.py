"""The second half of a night: examples of what it touched, split and validated."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from sovereign_tasks.dataset import examples as deriving
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.dataset.split import assign, find_near_holdout
from sovereign_tasks.records import Document, Example, Membership, Rejection
from sovereign_tasks.stages.context import Context, among, count_reasons, live_documents, open_context, timed
from sovereign_tasks.stages.parts import collected_state
from sovereign_tasks.store import model_folder


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


def validate(night: dict[str, Any]) -> dict[str, Any]:
    """Hold the night's batch against the model's Great Expectations suite; failing rows go to quarantine."""
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    if context.is_committed:
        return night
    store, builds = context.store, context.ledger.builds(model)
    with timed(context, "validate") as figures:
        kept = Document.from_table(store.staged(build_id, "kept"))
        examples = Example.from_table(store.staged(build_id, "examples"))
        events = Membership.from_table(store.staged(build_id, "events"))
        removed = set(store.staged(build_id, "removed")["doc_id"].to_pylist())
        live = set(live_documents(context, builds, ["doc_id"])["doc_id"].to_pylist())
        failing: dict[str, str] = {}
        came, went = _curated(context)
        if came or examples or removed:
            from sovereign_tasks.curate.pii import find
            from sovereign_tasks.dataset.validate import Batch
            from sovereign_tasks.dataset.validate import validate as run_suite

            fresh = {d.doc_id for d in kept}
            lost = len(removed - fresh - _deleted(context, night["sources"]))
            batch = Batch(came, went, len(live), lost, len(live - removed | fresh))
            folder = model_folder(model, "validation")
            how = context.config.curation.personal_data
            validated = run_suite(
                kept, examples, batch, context.config, folder, lambda text: len(find(text, settings=how))
            )
            failing = validated.failing
            figures["notes"] = {"expectations": validated.evaluated, "data_docs": validated.data_docs}
        broken = {d.doc_id for d in kept} & failing.keys()
        rests_on = _rests_on(context, builds, examples, events)
        for example_id, doc_ids in rests_on.items():
            if example_id not in failing and (cause := sorted(broken & set(doc_ids))):
                failing[example_id] = failing[cause[0]]
        rejections = [
            Rejection("validate", row_id, "", "expectation", failing[row_id], "", rests_on.get(row_id, [row_id]))
            for row_id in sorted(failing)
        ]
        figures.update(
            rows_in=len(kept) + len(examples),
            rows_out=len(kept) + len(examples) - len(failing),
            rejected=count_reasons(rejections),
        )
        gone = sorted(removed | broken & live)
        store.stage(build_id, "rejected-validate", Rejection.to_table(rejections))
        store.stage(build_id, "valid-removed", pa.table({"doc_id": pa.array(gone, pa.string())}))
        store.stage(build_id, "valid-kept", Document.to_table(d for d in kept if d.doc_id not in failing))
        store.stage(build_id, "valid-examples", Example.to_table(e for e in examples if e.example_id not in failing))
        store.stage(build_id, "valid-events", Membership.to_table(e for e in events if e.example_id not in failing))
    return night


def _near_holdout(example: Example, held: str, similarity: float) -> Rejection:
    text = f"{example.question}\n\n{example.answer}"
    reason, measured = versions.NEAR_HOLDOUT, f"{similarity} to {held}"
    return Rejection("examples", example.example_id, example.source, reason, measured, text, example.doc_ids, held)


def _deleted(context: Context, sources: list[str]) -> set[str]:
    """Documents that their authors deleted: however many those are, they go."""
    gone = [one for source in sources for one in collected_state(context, source)["gone"]]
    return {one["doc_id"] for one in gone if one["by_author"]}


def _curated(context: Context) -> tuple[int, int]:
    """How many items came to curation tonight, and how many of them it rejected."""
    reports = [r for r in context.ledger.reports(context.model, context.run) if r.stage.startswith("curate:")]
    return sum(r.rows_in for r in reports), sum(sum(r.rejected.values()) for r in reports)


def _rests_on(
    context: Context, builds: list[str], examples: list[Example], events: list[Membership]
) -> dict[str, list[str]]:
    """The documents under every example that joins tonight, new or known from before."""
    joining = {e.example_id for e in events if e.change == 1}
    rows = context.store.read("examples", builds, ["example_id", "doc_ids"]).filter(among("example_id", joining))
    known = zip(rows["example_id"].to_pylist(), rows["doc_ids"].to_pylist(), strict=True)
    return dict(known) | {e.example_id: e.doc_ids for e in examples}
