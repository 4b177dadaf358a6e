"""The end of a night: into the tables, visible in one transaction, then what must go is removed for good.

Removals are owed to the ledger: what a publish that was cut off left undone, the next one does first.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks import __version__
from sovereign_tasks.config import config_hash
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.durable import after_write
from sovereign_tasks.ledger import Commit
from sovereign_tasks.records import Document, Snapshot, Validator, keyed_hash
from sovereign_tasks.stages.context import (
    BANDS,
    Context,
    among,
    curation_rules,
    keep_failure,
    open_context,
    timed,
)
from sovereign_tasks.stages.parts import Parts, collect_rejections, collected_state, curated_again, raw_parts
from sovereign_tasks.store import CUSTODY, state_folder

COPIES = ("duplicate", "near_duplicate")


def publish(night: dict[str, Any]) -> dict[str, Any]:
    """Append the night to the tables, make it visible in one ledger transaction, then remove what must go."""
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    store, ledger = context.store, context.ledger
    with timed(context, "publish") as figures, ledger.lease(f"publish/{model}", build_id):
        _purge_owed(context)
        if not context.is_committed:
            _commit(context, night["parent"], night["sources"])
            _purge_owed(context)
        store.clear_staging()
        store.drop_uncommitted(ledger.builds(model))
        for source in context.config.sources:
            days = source.retention_days or context.config.curation.retention_days
            store.expire("raw", "fetched_at", datetime.now(UTC) - timedelta(days=days), source.name)
        manifest = ledger.manifest(model, build_id)
        figures.update(rows_in=manifest["events"], rows_out=manifest["events"], notes=manifest)
    return night


def check_due(night: dict[str, Any]) -> dict[str, Any]:
    """Decide from the ledger whether enough is new since the last training, and record why."""
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    with keep_failure(context, "retrain_due"):
        return _decide(context)


def _decide(context: Context) -> dict[str, Any]:
    from sovereign_tasks.train.due import decide

    model, build_id = context.model, context.run
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


def _purge_owed(context: Context) -> None:
    """Before another build is committed no earlier one owes anything, so digests are forgotten in their order."""
    for build_id, manifest in context.ledger.unpurged(context.model):
        _purge(context, build_id, manifest["purged"])


def _commit(context: Context, parent: int, sources: list[str]) -> None:
    """Write the build to every table, then tell the ledger."""
    from sovereign_tasks.curate.dedup import Bands, Digest

    model, build_id, store, ledger = context.model, context.run, context.store, context.ledger
    collections = {s: Parts(context, s) for s in sources}
    remembered = {s: collected_state(context, s) for s in sources}
    kept = store.staged(build_id, "valid-kept")
    removed = store.staged(build_id, "valid-removed")["doc_id"].to_pylist()
    events = store.staged(build_id, "valid-events")
    doomed = sorted(g["doc_id"] for r in remembered.values() for g in r["gone"] if g["by_author"])
    builds = ledger.builds(model)
    lost = _examples_of(context, builds, set(doomed))
    opened = {g for g, parent in zip(kept["group"].to_pylist(), kept["parent"].to_pylist(), strict=True) if not parent}
    waiting = _waiting_for(context, builds, set(removed), opened)
    stale = {s: _stale(context, s, r) for s, r in remembered.items()}

    raw = _with_doc_ids([part for s in sources for part in raw_parts(context, s)])
    store.append("raw", raw, build_id)
    store.append("custody", _without_people(raw), build_id)
    store.append("documents", pa.concat_tables([kept, _tombstones(removed)]), build_id)
    parts = [f"rejected-curate-{s}" for s in sources]
    parts += ["rejected-deduplicate", "rejected-examples", "rejected-validate"]
    rejected = pa.concat_tables(
        [*(collect_rejections(context, s) for s in sources), *(store.staged(build_id, part) for part in parts)]
    )
    store.append("quarantine", rejected, build_id)
    store.append("examples", store.staged(build_id, "valid-examples"), build_id)
    store.append("membership", events, build_id)
    digests = store.staged(build_id, "digests").filter(among("doc_id", kept["doc_id"].to_pylist())).to_pydict()
    pairs = zip(digests["exact"], digests["signature"], strict=True)
    Bands(state_folder() / BANDS).add(build_id, model, digests["doc_id"], [Digest(*pair) for pair in pairs])
    after_write()

    snapshot = None
    history, snapshots = store.read("membership", [*builds, build_id]), ledger.snapshots(model)
    state = versions.fold(history)
    before = versions.fold(history.filter(pc.field("sequence") < len(builds)))
    content = versions.content_hash(state)
    if content != versions.content_hash(before) or (not snapshots and versions.members(state)):
        last = snapshots[-1].number if snapshots else None
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
        "events": len(events.filter(pc.field("change") != 0)),
        "rejected": rejected.num_rows,
        "stale": sum(map(len, stale.values())),
        "learned": _learned(context, lost),
        "purged": {"documents": doomed, "examples": lost},
    }
    ledger.commit(
        Commit(
            model=model,
            build_id=build_id,
            parent=parent,
            snapshot=snapshot,
            manifest=manifest,
            validators={
                s: collections[s].validators()
                + _ask_again(context, s, waiting)
                + [Validator(item or address, "", "", "") for address, item in stale[s]]
                for s in sources
            },
            found={s: [*r["found"], *curated_again(context, s)] for s, r in remembered.items()},
            rules={s: curation_rules(context, s) for s in sources},
            gone={s: [(g["address"], g["item"]) for g in r["gone"]] for s, r in remembered.items()},
            cursors={s: collections[s].cursor() for s in sources},
            splits=json.loads(store.staged(build_id, "splits")["json"][0].as_py()),
            tombstones=dict.fromkeys([*doomed, *lost], "deleted by its author"),
        )
    )


def _purge(context: Context, build_id: str, purged: dict[str, list[str]]) -> None:
    """Carry out what a committed build removed: deleted items in every table, digests of replaced revisions."""
    from sovereign_tasks.curate.dedup import Bands

    documents, examples = purged["documents"], purged["examples"]
    model, store, bands = context.model, context.store, Bands(state_folder() / BANDS)
    changed = store.read("documents", [build_id], ["doc_id"])["doc_id"].to_pylist()
    bands.forget(model, changed, except_build=build_id)
    after_write()
    if documents:
        quoting = _quoting(context, {*documents, *examples})
        store.delete("documents", "doc_id", documents)
        store.delete("raw", "doc_id", documents)
        store.delete("custody", "doc_id", documents)
        store.delete("examples", "example_id", examples)
        store.delete("quarantine", "row_id", quoting)
        bands.forget(model, documents)
    context.ledger.mark_purged(model, build_id)


def _quoting(context: Context, ids: set[str]) -> set[str]:
    """Quarantined rows of these documents or examples, or that hold their words."""
    rows = context.store.read("quarantine", context.ledger.builds(context.model), ["row_id", "doc_ids"]).to_pylist()
    return {row["row_id"] for row in rows if row["row_id"] in ids or ids & set(row["doc_ids"])}


def _waiting_for(context: Context, builds: list[str], removed: set[str], opened: set[str]) -> set[str]:
    """Documents whose turn has come: copies of what is now removed, replies whose opening post is now there."""
    if not removed and not opened:
        return set()
    rows = context.store.read("quarantine", builds, ["row_id", "reason", "twin"]).to_pylist()
    waiting = {
        r["row_id"]
        for r in rows
        if (r["reason"] in COPIES and r["twin"] in removed) or (r["reason"] == "orphan" and r["twin"] in opened)
    }
    return waiting - context.ledger.tombstones(context.model)


def _stale(context: Context, source: str, remembered: dict[str, Any]) -> list[tuple[str, str]]:
    """Items made by older rules whose bytes are no longer kept: only a fetch in full can bring them up to date."""
    current = {*remembered["found"], *curated_again(context, source)}
    current |= {(g["address"], g["item"]) for g in remembered["gone"]}
    outdated = context.ledger.outdated(context.model, source, curation_rules(context, source))
    return [pair for pair in outdated if pair not in current]


def _learned(context: Context, lost: list[str]) -> dict[str, int]:
    """How many of the examples that go were learned from, by the training runs that did."""
    trainings = context.ledger.trainings(context.model) if lost else []
    counts = {t.run_id: len(_train_ids(context, t.snapshot) & set(lost)) for _, t in trainings}
    return {run_id: count for run_id, count in sorted(counts.items()) if count}


def _ask_again(context: Context, source: str, waiting: set[str]) -> list[Validator]:
    """Empty validators, so that the next night fetches these documents whole and decides on them anew."""
    if not waiting:
        return []
    pairs = context.ledger.items(context.model, source)
    keys = [item or address for address, item in pairs if keyed_hash("document", source, address, item) in waiting]
    return [Validator(key, "", "", "") for key in keys]


def _tombstones(removed: list[str]) -> pa.Table:
    """Rows that say a document is gone: only its id, and no revision."""
    blank = {f.name: "" for f in Document.schema if pa.types.is_string(f.type)}
    now = datetime.now(UTC)
    rows = [
        blank | {"doc_id": i, "added_at": now, "language_confidence": 0.0, "quality": 0.0, "relevance": 0.0}
        for i in removed
    ]
    return pa.Table.from_pylist(rows, schema=Document.schema)


def _with_doc_ids(parts: list[pa.Table]) -> pa.Table:
    """Raw items with the ids of the documents made from them, so that they can be removed together."""
    raw = pa.concat_tables(parts)
    keys = zip(*(raw[c].to_pylist() for c in ("source", "address", "item")), strict=True)
    return raw.add_column(0, "doc_id", pa.array([keyed_hash("document", *key) for key in keys], pa.string()))


def _without_people(raw: pa.Table) -> pa.Table:
    """Custody is kept, so it holds no names: neither those that headers list nor those in an address.

    A web address is scrubbed; of any other, which may be a file that is called as somebody is, only a keyed hash stays.
    """
    from sovereign_tasks.curate.pii import scrub

    columns: dict[str, list[str]] = {"address": [], "item": [], "headers": []}
    for row in raw.select(["source", "author", *columns]).to_pylist():
        headers, address, item = json.loads(row["headers"]), row["address"], row["item"]
        names = [name for name in (row["author"], *headers.pop("people", ())) if name]
        hidden = keyed_hash("address", row["source"], address)
        columns["address"].append(scrub(address, names=names).text if _is_web(address) else hidden)
        columns["item"].append(scrub(item, names=names).text if _is_web(item) else item)
        columns["headers"].append(json.dumps(headers))
    custody = raw.select(["doc_id", *CUSTODY])
    for name, values in columns.items():
        custody = custody.set_column(custody.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return custody


def _is_web(address: str) -> bool:
    return address.startswith(("http://", "https://"))


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
