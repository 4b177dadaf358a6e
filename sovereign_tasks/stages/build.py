"""A night: sources -> raw items -> documents -> examples -> a validated, published snapshot.

Tasks hand rows on through the build's staging; only `publish` touches the tables, and its ledger transaction is
the moment the night becomes visible. Every task may run again and gives the same.

A job names one source of a night: model, build_id, source, and parent, the sequence of the build before it. From
deduplication on, one reference stands for the whole night: model, build_id, parent, sources.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.config import load_platform
from sovereign_tasks.dataset import examples as deriving
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.dataset.split import assign, find_near_holdout
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import (
    Collected,
    Document,
    Example,
    Membership,
    RawItem,
    Rejection,
    SourceState,
)
from sovereign_tasks.stages.commit import commit_build, purge
from sovereign_tasks.stages.context import (
    BANDS,
    Context,
    live_documents,
    open_context,
    remembered_state,
    run_key,
    timed,
)
from sovereign_tasks.store import model_folder, state_folder


def begin(model: str, run_id: str) -> list[dict[str, Any]]:
    """Open a night: one job per source. What an earlier try left over goes."""
    context = open_context(model, run_key("build", model, run_id))
    sources = [s.name for s in context.config.sources if s.enabled]
    if not sources:
        raise UserError(f"{model}: sources: none is enabled; enable one.")
    if not context.ledger.is_committed(model, context.run):
        context.store.clear_staging(context.run)
    parent = context.ledger.sequence(model)
    return [{"model": model, "build_id": context.run, "parent": parent, "source": s} for s in sorted(sources)]


def collect(job: dict[str, Any]) -> dict[str, Any]:
    """Fetch what is new at one source."""
    from sovereign_tasks.collect import collect as fetch

    model, build_id, source = job["model"], job["build_id"], job["source"]
    context, stage = open_context(model, build_id), f"collect:{source}"
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
        figures.update(rows_in=len(items), rows_out=len(documents), rejected=_reasons(rejections))
        context.store.stage(build_id, f"rejected-curate-{source}", Rejection.to_table(rejections))
        context.store.stage(build_id, f"documents-{source}", Document.to_table(documents))
    return job


def deduplicate(jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Decide, in one fixed order, which of the night's documents stay and which older ones go."""
    model, build_id, sources = jobs[0]["model"], jobs[0]["build_id"], sorted(job["source"] for job in jobs)
    context = open_context(model, build_id)
    store, builds = context.store, context.ledger.builds(model)
    with timed(context, "deduplicate") as figures:
        documents = [d for s in sources for d in Document.from_table(store.staged(build_id, f"documents-{s}"))]
        live = live_documents(context, builds, ["doc_id", "revision", "group", "parent"])
        revisions = dict(zip(live["doc_id"].to_pylist(), live["revision"].to_pylist(), strict=True))
        fresh = [d for d in documents if revisions.get(d.doc_id) != d.revision]
        unchanged = {d.doc_id for d in documents} - {d.doc_id for d in fresh}
        gone = {g["doc_id"] for s in sources for g in remembered_state(context, s)["gone"]}
        asked = {i.doc_id for s in sources for i in _raw_ids(context, s)} | gone
        superseded = asked - unchanged
        kept, rejections, digests = _drop_duplicates(context, fresh, builds, superseded)
        kept, digests, orphans = _drop_orphans(kept, digests, live, superseded)
        rejections += orphans
        removed = sorted((superseded - {d.doc_id for d in kept}) & revisions.keys())
        figures.update(
            rows_in=len(documents),
            rows_out=len(kept),
            rejected=_reasons(rejections) | ({"unchanged": len(unchanged)} if unchanged else {}),
            notes={"removed": len(removed)},
        )
        store.stage(build_id, "rejected-deduplicate", Rejection.to_table(rejections))
        store.stage(build_id, "removed", pa.table({"doc_id": pa.array(removed, pa.string())}))
        store.stage(build_id, "digests", _digest_table(kept, digests))
        store.stage(build_id, "kept", Document.to_table(kept))
    return {"model": model, "build_id": build_id, "parent": jobs[0]["parent"], "sources": sources}


def derive(night: dict[str, Any]) -> dict[str, Any]:
    """Derive the examples of every group the night touched, split them, and keep train rows off the holdout."""
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    store, builds, options = context.store, context.ledger.builds(model), context.config.dataset
    with timed(context, "examples") as figures:
        kept = Document.from_table(store.staged(build_id, "kept"))
        removed = set(store.staged(build_id, "removed")["doc_id"].to_pylist())
        live = live_documents(context, builds, Document.schema.names)
        replaced = removed | {d.doc_id for d in kept}
        touched = {d.group for d in kept} | set(live.filter(_among("doc_id", replaced))["group"].to_pylist())
        others = [d for d in Document.from_table(live.filter(_among("group", touched))) if d.doc_id not in replaced]
        found, rejections = deriving.derive([*kept, *others], options)

        state = versions.fold(store.read("membership", builds))
        stored = store.read("examples", builds)
        untouched = {i for i, e in versions.candidates(state).items() if e.group not in touched}
        older = Example.from_table(stored.filter(_among("example_id", untouched)))
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
        text = {e.example_id: f"{e.question}\n\n{e.answer}" for e, _ in every}
        rejections += [
            Rejection("examples", i, "", versions.NEAR_HOLDOUT, f"{similarity} to {held}", text[i])
            for i, (held, similarity) in sorted(near.items())
            if state.get(i) is None or state[i].reason != versions.NEAR_HOLDOUT
        ]
        gained = sum(e.change for e in events if e.change == 1)
        figures.update(
            rows_in=len(kept) + len(others),
            rows_out=gained,
            rejected=_reasons(rejections),
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
    store = context.store
    with timed(context, "validate") as figures:
        kept = Document.from_table(store.staged(build_id, "kept"))
        examples = Example.from_table(store.staged(build_id, "examples"))
        events = Membership.from_table(store.staged(build_id, "events"))
        failing: dict[str, str] = {}
        if kept or examples:
            from sovereign_tasks.curate.pii import find
            from sovereign_tasks.dataset.validate import validate as run_suite

            reports = context.ledger.reports(model, build_id)
            curated = [r for r in reports if r.stage.startswith("curate:")]
            came, went = sum(r.rows_in for r in curated), sum(sum(r.rejected.values()) for r in curated)
            total = live_documents(context, context.ledger.builds(model), ["doc_id", "revision"]).num_rows + len(kept)
            validated = run_suite(
                kept,
                examples,
                went / came if came else 0.0,
                total,
                context.config,
                model_folder(model, "validation"),
                lambda text: len(find(text)),
            )
            failing = validated.failing
            figures["notes"] = {"expectations": validated.evaluated, "data_docs": validated.data_docs}
        # What rests on a failing document fails with it.
        for example in examples:
            broken = next((failing[d] for d in example.doc_ids if d in failing), None)
            if broken and example.example_id not in failing:
                failing[example.example_id] = broken
        rejections = [
            Rejection("validate", row_id, "", "expectation", measured, "")
            for row_id, measured in sorted(failing.items())
        ]
        figures.update(
            rows_in=len(kept) + len(examples),
            rows_out=len(kept) + len(examples) - len(failing),
            rejected=_reasons(rejections),
        )
        store.stage(build_id, "rejected-validate", Rejection.to_table(rejections))
        store.stage(build_id, "valid-kept", Document.to_table(d for d in kept if d.doc_id not in failing))
        store.stage(build_id, "valid-examples", Example.to_table(e for e in examples if e.example_id not in failing))
        store.stage(build_id, "valid-events", Membership.to_table(e for e in events if e.example_id not in failing))
    return night


def publish(night: dict[str, Any]) -> dict[str, Any]:
    """Append the night to the tables, make it visible in one ledger transaction, then remove what must go."""
    model, build_id, parent, sources = night["model"], night["build_id"], night["parent"], night["sources"]
    context = open_context(model, build_id)
    store, ledger = context.store, context.ledger
    with timed(context, "publish") as figures, ledger.lease(f"publish/{model}", build_id, 600):
        if not ledger.is_committed(model, build_id):
            commit_build(context, parent, sources)
        manifest = ledger.manifest(model, build_id)
        purge(context, manifest["purged"])
        store.clear_staging(build_id)
        figures.update(rows_in=manifest["events"], rows_out=manifest["events"], notes=manifest)
    return night


def check_due(night: dict[str, Any]) -> dict[str, Any]:
    """Decide from the ledger whether enough is new since the last training, and record why."""
    model, build_id = night["model"], night["build_id"]
    from sovereign_tasks.train.due import decide

    context = open_context(model, build_id)
    snapshots, trainings = context.ledger.snapshots(model), context.ledger.trainings(model)
    if not snapshots:
        context.ledger.decide(model, "retrain", build_id, "not_due", "no snapshot has been published yet")
        return {"due": False, "reason": "no snapshot has been published yet", "snapshot": None}
    newest = snapshots[-1].number
    current = _train_ids(context, newest)
    learned = _train_ids(context, trainings[0][1].snapshot) if trainings else set()
    due = decide(current, learned, trainings[0][0] if trainings else None, datetime.now(UTC), context.config.retrain)
    context.ledger.decide(
        model,
        "retrain",
        build_id,
        "due" if due.due else "not_due",
        due.reason,
        snapshot=newest,
        new_examples=due.new_examples,
        needed=context.config.retrain.min_new_examples,
    )
    return {"due": due.due, "reason": due.reason, "snapshot": newest}


# --- the parts of a night ---


def _drop_duplicates(
    context: Context, documents: list[Document], builds: list[str], superseded: set[str]
) -> tuple[list[Document], list[Rejection], list[Any]]:
    if not documents:
        return [], [], []
    from sovereign_tasks.curate.dedup import Bands, decide

    decided = decide(
        documents,
        Bands(state_folder() / BANDS),
        model=context.model,
        builds=set(builds),
        superseded=superseded,
        threshold=context.config.curation.near_duplicate,
        priorities={s.name: s.priority for s in context.config.sources},
    )
    return list(decided.kept), list(decided.rejections), list(decided.digests)


def _drop_orphans(
    kept: list[Document], digests: list[Any], live: pa.Table, superseded: set[str]
) -> tuple[list[Document], list[Any], list[Rejection]]:
    """Replies whose thread has lost its opening post say nothing by themselves."""
    roots = {d.group for d in kept if not d.parent} | {
        group
        for doc_id, group, parent in zip(*(live[c].to_pylist() for c in ("doc_id", "group", "parent")), strict=True)
        if not parent and doc_id not in superseded
    }
    stay = [not d.parent or d.group in roots for d in kept]
    orphans = [
        Rejection("deduplicate", d.doc_id, d.source, "orphan", d.group, d.text)
        for d, keep in zip(kept, stay, strict=True)
        if not keep
    ]
    return (
        [d for d, keep in zip(kept, stay, strict=True) if keep],
        [row for row, keep in zip(digests, stay, strict=True) if keep],
        orphans,
    )


def _raw_ids(context: Context, source: str) -> Iterable[RawItem]:
    return RawItem.from_table(context.store.staged(context.run, f"raw-{source}"))


def _train_ids(context: Context, number: int) -> set[str]:
    events = context.store.read("membership", context.ledger.builds(context.model, until_snapshot=number))
    state = versions.members(versions.fold(events))
    return {i for i, event in state.items() if event.split == "train"}


def _among(column: str, values: set[str]) -> pc.Expression:
    return pc.field(column).isin(pa.array(sorted(values), pa.string()))


def _reasons(rejections: Iterable[Rejection]) -> dict[str, int]:
    return dict(Counter(r.reason for r in rejections).most_common())


def _digest_table(kept: list[Document], digests: list[Any]) -> pa.Table:
    names = pa.schema([("doc_id", pa.string()), ("exact", pa.string()), ("signature", pa.binary())])
    rows = [
        {"doc_id": d.doc_id, "exact": digest.exact, "signature": digest.signature}
        for d, digest in zip(kept, digests, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=names)
