"""A night: sources -> raw items -> documents -> examples -> a validated, published snapshot.

Tasks hand rows on through the build's staging; only `publish` touches the tables, and its ledger transaction is
the moment the night becomes visible. Every task may run again and gives the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks import __version__
from sovereign_tasks.config import config_hash, load_platform
from sovereign_tasks.dataset import examples as deriving
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.dataset.split import assign, find_near_holdout
from sovereign_tasks.durable import after_write
from sovereign_tasks.ledger import Commit
from sovereign_tasks.records import (
    Collected,
    Document,
    Example,
    Gone,
    Membership,
    RawItem,
    Rejection,
    Snapshot,
    SourceState,
    Validator,
    keyed_hash,
)
from sovereign_tasks.stages.context import Context, open_context, run_key, timed
from sovereign_tasks.store import model_folder, state_folder


def begin(model: str, run_id: str) -> dict[str, Any]:
    """Open a night: its build and the sources to collect. A night that an earlier try left over starts clean."""
    context = open_context(model, run_key("build", model, run_id))
    if not context.ledger.is_committed(model, context.run):
        context.store.clear_staging(context.run)
    sources = [s.name for s in context.config.sources if s.enabled]
    return {"model": model, "build_id": context.run, "parent": context.ledger.sequence(model), "sources": sources}


def collect(model: str, build_id: str, source: str) -> dict[str, Any]:
    """Fetch what is new at one source."""
    from sovereign_tasks.collect import collect as fetch

    context, stage = open_context(model, build_id), f"collect:{source}"
    validators = context.ledger.validators(model, source)
    state = SourceState(validators, context.ledger.cursor(model, source), _known(context, source))
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
            "gone": [asdict(g) for g in collected.gone],
            "validators": [asdict(v) for v in collected.validators],
            "cursor": collected.cursor,
        }
        context.store.stage(build_id, f"state-{source}", pa.table({"json": [json.dumps(remembered)]}))
        context.store.stage(build_id, f"rejected-collect-{source}", Rejection.to_table(collected.rejections))
        context.store.stage(build_id, f"raw-{source}", RawItem.to_table(collected.items))
    return {"model": model, "build_id": build_id, "source": source, "items": len(collected.items)}


def curate(model: str, build_id: str, source: str) -> dict[str, Any]:
    """Turn one source's raw items into clean, scrubbed documents."""
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
    return {"model": model, "build_id": build_id, "source": source, "documents": len(documents)}


def deduplicate(model: str, build_id: str, sources: list[str]) -> dict[str, Any]:
    """Decide, in one fixed order, which of the night's documents stay and which older ones go."""
    context = open_context(model, build_id)
    store, builds = context.store, context.ledger.builds(model)
    with timed(context, "deduplicate") as figures:
        documents = [d for s in sources for d in Document.from_table(store.staged(build_id, f"documents-{s}"))]
        live = _live(context, builds, ["doc_id", "revision", "group", "parent"])
        revisions = dict(zip(live["doc_id"].to_pylist(), live["revision"].to_pylist(), strict=True))
        fresh = [d for d in documents if revisions.get(d.doc_id) != d.revision]
        unchanged = {d.doc_id for d in documents} - {d.doc_id for d in fresh}
        gone = {g["doc_id"] for s in sources for g in _remembered(context, s)["gone"]}
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
        store.stage(
            build_id,
            "digests",
            pa.table({"doc_id": [d.doc_id for d in kept], "digest": [bytes(row.tobytes()) for row in digests]}),
        )
        store.stage(build_id, "kept", Document.to_table(kept))
    return {"model": model, "build_id": build_id, "kept": len(kept), "removed": len(removed)}


def derive(model: str, build_id: str) -> dict[str, Any]:
    """Derive the examples of every group the night touched, split them, and keep train rows off the holdout."""
    context = open_context(model, build_id)
    store, builds, options = context.store, context.ledger.builds(model), context.config.dataset
    with timed(context, "examples") as figures:
        kept = Document.from_table(store.staged(build_id, "kept"))
        removed = set(store.staged(build_id, "removed")["doc_id"].to_pylist())
        live = _live(context, builds, Document.schema.names)
        replaced = removed | {d.doc_id for d in kept}
        touched = {d.group for d in kept} | set(
            live.filter(pc.field("doc_id").isin(list(replaced)))["group"].to_pylist()
        )
        others = [
            d
            for d in Document.from_table(live.filter(pc.field("group").isin(list(touched))))
            if d.doc_id not in replaced
        ]
        found, rejections = deriving.derive([*kept, *others], options)

        state = versions.fold(store.read("membership", builds))
        stored = store.read("examples", builds)
        untouched = {i for i, e in versions.candidates(state).items() if e.group not in touched}
        older = Example.from_table(stored.filter(pc.field("example_id").isin(list(untouched))))
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
    return {"model": model, "build_id": build_id, "events": len(events)}


def validate(model: str, build_id: str) -> dict[str, Any]:
    """Hold the night's batch against the model's Great Expectations suite; failing rows go to quarantine."""
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
            total = _live(context, context.ledger.builds(model), ["doc_id", "revision"]).num_rows + len(kept)
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
    return {"model": model, "build_id": build_id, "failing": len(failing)}


def publish(model: str, build_id: str, parent: int, sources: list[str]) -> dict[str, Any]:
    """Append the night to the tables, make it visible in one ledger transaction, then remove what must go."""
    context = open_context(model, build_id)
    store, ledger = context.store, context.ledger
    with timed(context, "publish") as figures, ledger.lease(f"publish/{model}", build_id, 600):
        if not ledger.is_committed(model, build_id):
            _commit(context, parent, sources)
        manifest = ledger.manifest(model, build_id)
        _purge(context, manifest["purged"])
        store.clear_staging(build_id)
        figures.update(rows_in=manifest["events"], rows_out=manifest["events"], notes=manifest)
    return {"model": model, "build_id": build_id, "snapshot": manifest["snapshot"]}


def check_due(model: str, build_id: str) -> dict[str, Any]:
    """Decide from the ledger whether enough is new since the last training, and record why."""
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


def _commit(context: Context, parent: int, sources: list[str]) -> None:
    """Write the build to every table, then tell the ledger."""
    from sovereign_tasks.curate.dedup import Bands

    model, build_id, store, ledger = context.model, context.run, context.store, context.ledger
    remembered = {s: _remembered(context, s) for s in sources}
    kept = store.staged(build_id, "valid-kept")
    removed = store.staged(build_id, "removed")["doc_id"].to_pylist()
    events = store.staged(build_id, "valid-events")
    doomed = sorted(g["doc_id"] for r in remembered.values() for g in r["gone"] if g["by_author"])
    builds = ledger.builds(model)
    lost = _examples_of(context, builds, set(doomed))

    raw = [store.staged(build_id, f"raw-{s}") for s in sources]
    store.append("raw", _with_doc_ids(pa.concat_tables(raw)) if raw else _no_raw(), build_id)
    store.append("documents", pa.concat_tables([kept, _tombstones(removed)]), build_id)
    parts = [f"{part}-{s}" for s in sources for part in ("rejected-collect", "rejected-curate")]
    parts += ["rejected-deduplicate", "rejected-examples", "rejected-validate"]
    rejected = pa.concat_tables([store.staged(build_id, part) for part in parts])
    store.append("quarantine", rejected, build_id)
    store.append("examples", store.staged(build_id, "valid-examples"), build_id)
    store.append("membership", events, build_id)
    digests = store.staged(build_id, "digests")
    rows = [np.frombuffer(d, np.uint32) for d in digests["digest"].to_pylist()]
    with Bands(state_folder() / "bands.db") as bands:
        bands.add(build_id, model, digests["doc_id"].to_pylist(), rows)
    after_write()

    snapshot = None
    state = versions.fold(store.read("membership", [*builds, build_id]))
    before = versions.fold(store.read("membership", builds))
    content = versions.content_hash(state)
    if content != versions.content_hash(before) or (not ledger.snapshots(model) and versions.members(state)):
        last = ledger.snapshots(model)[-1].number if ledger.snapshots(model) else None
        snapshot = Snapshot(
            model=model,
            number=(last or 0) + 1,
            parent=last,
            build_id=build_id,
            content_hash=content,
            counts=versions.count(state),
            config_hash=config_hash(context.config.domain, context.config.curation, context.config.dataset),
            code_version=__version__,
            created_at=datetime.now(UTC),
        )
    manifest = {
        "snapshot": snapshot and snapshot.number,
        "documents": kept.num_rows,
        "removed": len(removed),
        "events": events.num_rows,
        "rejected": rejected.num_rows,
        "purged": {"documents": doomed, "examples": lost},
    }
    ledger.commit(
        Commit(
            model=model,
            build_id=build_id,
            parent=parent,
            snapshot=snapshot,
            manifest=manifest,
            validators={s: [Validator(**v) for v in r["validators"]] for s, r in remembered.items()},
            forgotten={s: [_validator_key(g) for g in r["gone"]] for s, r in remembered.items()},
            cursors={s: r["cursor"] for s, r in remembered.items()},
            splits=json.loads(store.staged(build_id, "splits")["json"][0].as_py()),
            tombstones=dict.fromkeys([*doomed, *lost], "deleted by its author"),
        )
    )


def _purge(context: Context, purged: dict[str, list[str]]) -> None:
    """Remove what its authors deleted from every table, by id."""
    from sovereign_tasks.curate.dedup import Bands

    documents, examples = purged["documents"], purged["examples"]
    if not documents:
        return
    context.store.delete("documents", "doc_id", documents)
    context.store.delete("raw", "doc_id", documents)
    context.store.delete("examples", "example_id", examples)
    context.store.delete("quarantine", "row_id", [*documents, *examples])
    with Bands(state_folder() / "bands.db") as bands:
        bands.forget(documents)


def _drop_duplicates(
    context: Context, documents: list[Document], builds: list[str], superseded: set[str]
) -> tuple[list[Document], list[Rejection], list[np.ndarray]]:
    if not documents:
        return [], [], []
    from sovereign_tasks.curate.dedup import Bands, decide

    with Bands(state_folder() / "bands.db") as bands:
        decided = decide(
            documents,
            bands,
            model=context.model,
            builds=set(builds),
            superseded=superseded,
            threshold=context.config.curation.near_duplicate,
            priorities={s.name: s.priority for s in context.config.sources},
        )
    return list(decided.kept), list(decided.rejections), list(decided.digests)


def _drop_orphans(
    kept: list[Document], digests: list[np.ndarray], live: pa.Table, superseded: set[str]
) -> tuple[list[Document], list[np.ndarray], list[Rejection]]:
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


def _live(context: Context, builds: list[str], columns: list[str]) -> pa.Table:
    """The newest row of every document that is not gone, from committed builds."""
    rows = context.store.read("documents", builds, columns)
    last = pa.table({"doc_id": rows["doc_id"], "row": pa.array(range(rows.num_rows), pa.int64())})
    newest = last.group_by("doc_id").aggregate([("row", "max")])["row_max"].combine_chunks().sort()
    rows = rows.take(newest)
    return rows.filter(pc.not_equal(rows["revision"], ""))


def _tombstones(removed: list[str]) -> pa.Table:
    """Rows that say a document is gone: only its id, and no revision."""
    blank = {f.name: "" for f in Document.schema if pa.types.is_string(f.type)}
    now = datetime.now(UTC)
    rows = [
        blank | {"doc_id": i, "added_at": now, "language_confidence": 0.0, "quality": 0.0, "relevance": 0.0}
        for i in removed
    ]
    return pa.Table.from_pylist(rows, schema=Document.schema)


def _known(context: Context, source: str) -> list[tuple[str, str]]:
    """(address, item) of what the source gave so far and still has, from the raw items of committed builds."""
    cursor = context.ledger.cursor(context.model, source)
    return [tuple(pair) for pair in cursor.get("known", [])]


def _remembered(context: Context, source: str) -> dict[str, Any]:
    """What a source's collection leaves for the commit; each gone item with its doc_id."""
    remembered = json.loads(context.store.staged(context.run, f"state-{source}")["json"][0].as_py())
    for gone in remembered["gone"]:
        gone["doc_id"] = keyed_hash("document", source, gone["address"], gone["item"])
    return remembered


def _raw_ids(context: Context, source: str) -> Iterable[RawItem]:
    return RawItem.from_table(context.store.staged(context.run, f"raw-{source}"))


def _validator_key(gone: dict[str, Any]) -> str:
    return gone["item"] or gone["address"]


def _with_doc_ids(raw: pa.Table) -> pa.Table:
    return raw.add_column(0, "doc_id", pa.array([i.doc_id for i in RawItem.from_table(raw)], pa.string()))


def _no_raw() -> pa.Table:
    return _with_doc_ids(RawItem.schema.empty_table())


def _examples_of(context: Context, builds: list[str], doc_ids: set[str]) -> list[str]:
    """Examples, past and present, that rest on any of these documents."""
    if not doc_ids:
        return []
    rows = context.store.read("examples", builds, ["example_id", "doc_ids"])
    pairs = zip(rows["example_id"].to_pylist(), rows["doc_ids"].to_pylist(), strict=True)
    return sorted(example_id for example_id, rests_on in pairs if doc_ids & set(rests_on))


def _train_ids(context: Context, number: int) -> set[str]:
    events = context.store.read("membership", context.ledger.builds(context.model, until_snapshot=number))
    state = versions.members(versions.fold(events))
    return {i for i, event in state.items() if event.split == "train"}


def _reasons(rejections: Iterable[Rejection]) -> dict[str, int]:
    return dict(Counter(r.reason for r in rejections).most_common())


__all__ = ["Gone", "begin", "check_due", "collect", "curate", "deduplicate", "derive", "publish", "validate"]
