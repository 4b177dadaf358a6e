"""The second half of a night: examples of what it touched, split and validated."""

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
from sovereign_tasks.stages.parts import collected_state, staged_rows
from sovereign_tasks.store import model_folder, newest_rows


def derive(night: dict[str, Any]) -> dict[str, Any]:
    """Derive the examples of every group the night touched, split them, and keep train rows off the holdout."""
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    if context.is_committed:
        return night
    store, ledger, options = context.store, context.ledger, context.config.dataset
    with timed(context, "examples") as figures:
        builds = ledger.builds(model)
        waiting = {row_id for row_id, taken_by in ledger.releases(model).items() if not taken_by}
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
    held = store.read("quarantine", builds, ["row_id", "doc_ids"]).filter(among("row_id", released))
    let_in = {doc_id for doc_ids in held["doc_ids"].to_pylist() for doc_id in doc_ids}
    touched = {d.group for d in kept} | set(live.filter(among("doc_id", replaced | let_in))["group"].to_pylist())
    others = live.filter(among("group", touched) & ~among("doc_id", replaced))
    rows = store.read("documents", others["build_id"].unique().to_pylist(), Document.schema.names)
    same = set(zip(others["doc_id"].to_pylist(), others["build_id"].to_pylist(), strict=True))
    rows = rows.filter(among("doc_id", others["doc_id"].to_pylist()))
    keys = zip(rows["doc_id"].to_pylist(), rows["build_id"].to_pylist(), strict=True)
    rows = rows.filter(pa.array([key in same for key in keys], pa.bool_()))
    return [*kept, *Document.from_table(rows)], touched


def _review(context: Context, builds: list[str]) -> Review:
    """What decides on examples from mail."""
    from sovereign_tasks.curate.pii import recognises_names

    personal, config = context.config.curation.personal_data, context.config
    sources = {source.name for source in config.sources if source.kind == "mail"}
    held = context.store.read("quarantine", builds, ["row_id", "source", "reason", "measured"]) if sources else None
    first: dict[str, str] = {}
    if held is not None:
        held = held.filter((pc.field("reason") == HELD_MAIL) & pc.starts_with(pc.field("measured"), FIRST))
        first = dict(zip(held["row_id"].to_pylist(), held["source"].to_pylist(), strict=True))
    recognises = bool(sources) and recognises_names(personal)
    return Review(sources, personal.review_mail, first, recognises, context.ledger.releases(context.model))


def validate(night: dict[str, Any]) -> dict[str, Any]:
    """Hold the night's batch against the model's Great Expectations suite; failing rows go to quarantine."""
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    if context.is_committed:
        return night
    store, builds = context.store, context.ledger.builds(model)
    with timed(context, "validate") as figures:
        kept = Document.from_table(staged_rows(context, "kept", Document.schema).sort_by("doc_id"))
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
            validated = run_suite(kept, examples, batch, context.config, folder, lambda text: len(find(text)))
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
