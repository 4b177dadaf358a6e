"""The end of a night: into the tables, visible in one transaction, then what must go is removed for good.

Removals are owed to the ledger: what a publish that was cut off left undone, the next one does first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks import __version__
from sovereign_tasks.config import config_hash
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.dataset.validate import PII_LEFT
from sovereign_tasks.durable import after_write
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.ledger import Commit
from sovereign_tasks.lineage_events import dataset, told
from sovereign_tasks.records import Document, Example, Snapshot, Validator, document_id, is_web, keyed_hash
from sovereign_tasks.stages.assemble import derivation
from sovereign_tasks.stages.context import (
    Context,
    among,
    keep_failure,
    open_bands,
    open_context,
    timed,
)
from sovereign_tasks.stages.nearness import open_examples, open_index
from sovereign_tasks.stages.parts import (
    Parts,
    collect_rejections,
    collected_state,
    curated_again,
    raw_parts,
    rules_of,
    staged_parts,
    staged_rows,
    taken_up,
)
from sovereign_tasks.stages.sealing import seal
from sovereign_tasks.stages.select import DIGESTS
from sovereign_tasks.stages.taints import champion_taint, find_taints, learned_from, taint_of, tell_taints
from sovereign_tasks.stages.tombstones import (
    COPIES,
    ERASED_COPY,
    bands_of,
    erased_tonight,
    rejected_copies,
    waiting_copies,
    withhold_copies,
)
from sovereign_tasks.store import CUSTODY, newest_rows


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
        _purge_owed(context)
        if not context.is_committed:
            _commit(context, night)
            _purge_owed(context)
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


def check_due(night: dict[str, Any]) -> dict[str, Any]:
    """Decide from the ledger whether enough is new since the last training, and record why."""
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    with keep_failure(context, "retrain_due"):
        with suppress(TransientError, UserError):  # the night is published, whatever MLflow is at
            tell_taints(context)
        return _decide(context)


def _decide(context: Context) -> dict[str, Any]:
    from sovereign_tasks.train.due import decide

    model, build_id = context.model, context.run
    snapshots, trainings = context.ledger.snapshots(model), context.ledger.trainings(model)
    if not snapshots:
        context.ledger.decide(model, "retrain", build_id, "not_due", "no snapshot has been published yet")
        return {"due": False, "reason": "no snapshot has been published yet", "snapshot": None}
    newest, held_out = snapshots[-1].number, snapshots[-1].counts.get("holdout", 0)
    current = learned_from(context, newest)
    learned = learned_from(context, trainings[0][1].snapshot) if trainings else set()
    last, now = trainings[0][0] if trainings else None, datetime.now(UTC)
    clean = {t.snapshot for _, t in trainings if not taint_of(context, t)}
    taint = None if newest in clean else champion_taint(context)
    due = decide(current, learned, last, now, context.config.retrain, held_out=held_out, taint=taint)
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


def _commit(context: Context, night: dict[str, Any]) -> None:
    """Write the build to every table, then tell the ledger."""
    from sovereign_tasks.digests import Digest

    parent, sources = night["parent"], night["sources"]
    model, build_id, store, ledger = context.model, context.run, context.store, context.ledger
    collections = {s: Parts(context, s) for s in sources}
    remembered = {s: collected_state(context, s) for s in sources}
    kept = staged_rows(context, "valid-kept", Document.schema)
    removed = store.staged(build_id, "valid-removed")["doc_id"].to_pylist()
    events = store.staged(build_id, "valid-events")
    erased = erased_tonight(context, night)
    by_author = {g["doc_id"] for r in remembered.values() for g in r["gone"] if g["by_author"]}
    doomed = sorted(by_author.union(erased["doc_id"].to_pylist()))
    builds = ledger.builds(model)
    lost = _examples_of(context, builds, set(doomed))
    taints = find_taints(context, doomed, lost)
    opened = {g for g, parent in zip(kept["group"].to_pylist(), kept["parent"].to_pylist(), strict=True) if not parent}
    left = {*removed, *store.staged(build_id, "turned")["doc_id"].to_pylist()} - {*doomed}
    stale = {s: _stale(context, s, r) for s, r in remembered.items()}

    leaking = _leaking(context)
    erased_bands = bands_of(context, doomed, builds)
    rejected = _rejections(context, sources, leaking)
    rejected = withhold_copies(context, rejected, sources, builds, erased_bands)
    left |= set(store.staged(build_id, "rejected-validate")["row_id"].to_pylist())
    waiting = _waiting_for(context, builds, rejected, left, opened) - leaking
    copies = rejected.filter(pc.field("reason") == ERASED_COPY)["row_id"].to_pylist()
    barred = {*copies} & ledger.tombstones(model)  # erased, and given again
    given = [(s, *pair) for s, r in remembered.items() for pair in r["found"]] if barred else []
    hidden = {item or address for s, address, item in given if document_id(s, address, item) in barred}
    older = rejected_copies(context, builds, erased_bands, kept["doc_id"].to_pylist())
    unerased = ~among("doc_id", copies)
    raw = (_with_doc_ids(part) for s in sources for part in raw_parts(context, s))
    store.append("raw", (part.filter(unerased) for part in raw), build_id)
    origins = (part for s in sources for part in raw_parts(context, s, [*CUSTODY, "author"]))
    known = ~among("doc_id", barred)
    store.append("custody", (_without_people(_with_doc_ids(part).filter(known)) for part in origins), build_id)
    cleaned = (part for s in sources for part in staged_parts(context, f"cleaned-{s}"))
    store.append("cleaned", (_without_leaks(part.filter(unerased), leaking) for part in cleaned), build_id)
    store.append("documents", [kept, _tombstones(removed)], build_id)
    store.append("quarantine", [rejected], build_id)
    store.append("examples", [store.staged(build_id, "valid-examples")], build_id)
    store.append("membership", [events], build_id)
    valid = among("doc_id", kept["doc_id"].to_pylist())
    digests = staged_rows(context, "digests", DIGESTS).filter(valid).to_pylist()
    own = [Digest(row["exact"], row["bands"], row["sketch"]) for row in digests]
    open_bands().add(build_id, model, [row["doc_id"] for row in digests], own)
    after_write()

    snapshot = None
    standing = store.read("membership", [*builds, build_id], ["example_id", "change", "split", "digest"])
    state, snapshots = newest_rows(standing, "example_id"), ledger.snapshots(model)
    content = versions.content_hash(state)
    if content != snapshots[-1].content_hash if snapshots else versions.members(state).num_rows:
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
        "events": len(events.filter((pc.field("change") != 0) & (pc.field("reason") != versions.RENEWED))),
        "rejected": rejected.num_rows,
        "stale": sum(map(len, stale.values())),
        "learned": {t.run_id: taints[t.run_id] for _, t in ledger.trainings(model) if t.run_id in taints},
        "derivation": derivation(context.config.dataset),
        **_validated(context),
        "purged": {"documents": doomed, "examples": lost, "copies": sorted({*copies, *older})},
    }
    ledger.commit(
        Commit(
            model=model,
            build_id=build_id,
            parent=parent,
            snapshot=snapshot,
            manifest=manifest,
            validators={
                s: [v for v in collections[s].validators() if v.address not in hidden]
                + _ask_again(context, s, remembered[s]["found"], waiting)
                + [Validator(item or address, "", "", "") for address, item in stale[s]]
                for s in sources
            }
            | _forgotten(erased),
            found={
                s: [p for p in (*r["found"], *curated_again(context, s)) if document_id(s, *p) not in barred]
                for s, r in remembered.items()
            },
            rules={s: rules_of(context, s) for s in sources},
            gone={s: [(g["address"], g["item"]) for g in r["gone"]] for s, r in remembered.items()} | _pairs(erased),
            cursors={s: collections[s].cursor() for s in sources},
            splits=json.loads(store.staged(build_id, "splits")["json"][0].as_py()),
            tombstones=dict.fromkeys(
                [*doomed, *lost], "on request" if night.get("erased") else "deleted by its author"
            ),
            taints=taints,
            on_request=bool(night.get("erased")),
            taken=[
                *(row_id for s in sources for row_id in taken_up(context, s)),
                *store.staged(build_id, "released-examples")["row_id"].to_pylist(),
            ],
            tombstone_bands=erased_bands,
        )
    )


def _rejections(context: Context, sources: list[str], leaking: set[str]) -> pa.Table:
    """What all of the night's stages left out; without the words of documents in which personal data is left."""
    in_parts = [*(f"rejected-curate-{s}" for s in sources), "rejected-deduplicate"]
    whole = ("rejected-stranded", "rejected-examples", "rejected-validate")
    rows = pa.concat_tables(
        [
            *(collect_rejections(context, s) for s in sources),
            *(part for name in in_parts for part in staged_parts(context, name)),
            *(context.store.staged(context.run, name) for name in whole),
        ]
    )
    if not leaking:
        return rows
    silent = pa.array([not leaking.isdisjoint(doc_ids) for doc_ids in rows["doc_ids"].to_pylist()], pa.bool_())
    return _emptied(rows, silent, {"text": ""})


def _leaking(context: Context) -> set[str]:
    """The documents of the night in which validation found personal data, and their copies."""
    rows = context.store.staged(context.run, "rejected-validate", ["row_id", "measured"])
    leaking = set(rows.filter(pc.ends_with(rows["measured"], PII_LEFT))["row_id"].to_pylist())
    copies = among("twin", leaking) & among("reason", COPIES)
    for part in staged_parts(context, "rejected-deduplicate", ["row_id", "reason", "twin"]):
        leaking |= set(part.filter(copies)["row_id"].to_pylist())
    return leaking


def _without_leaks(cleaned: pa.Table, leaking: set[str]) -> pa.Table:
    """Cleaned items; of those that leak no words, but a row, or an older one would be judged in their place."""
    if not leaking:
        return cleaned
    leaks = pc.is_in(cleaned["doc_id"], pa.array(sorted(leaking), pa.string()))
    return _emptied(cleaned, leaks, {"title": "", "text": "", "links": [], "reason": "pii_left"})


def _emptied(rows: pa.Table, where: pa.Array, values: dict[str, Any]) -> pa.Table:
    for name, value in values.items():
        kind = rows.schema.field(name).type
        column = pc.if_else(where, pa.scalar(value, kind), rows[name])
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def _validated(context: Context) -> dict[str, Any]:
    """What later nights and people should know of the night's validation: its volume, and what was accepted of it."""
    notes = next(r.notes for r in context.ledger.reports(context.model, context.run) if r.stage == "validate")
    return {"volume": notes.get("volume"), "accepted": notes.get("accepted", [])}


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


def _waiting_for(
    context: Context, builds: list[str], tonight: pa.Table, removed: set[str], opened: set[str]
) -> set[str]:
    """Documents whose turn has come: copies of what is now removed, replies whose opening post is now there.

    `tonight` has the rows that go to quarantine now.
    """
    if not removed and not opened:
        return set()
    columns = ["row_id", "reason", "twin"]
    rows = pa.concat_tables(
        [context.store.read("quarantine", builds, columns).select(columns), tonight.select(columns)]
    )
    copies = among("reason", COPIES) & among("twin", removed)
    orphans = (pc.field("reason") == "orphan") & among("twin", opened)
    waiting = set(rows.filter(copies | orphans)["row_id"].to_pylist())
    return waiting - context.ledger.tombstones(context.model)


def _stale(context: Context, source: str, remembered: dict[str, Any]) -> list[tuple[str, str]]:
    """Items made by older rules whose bytes are no longer kept: only a fetch in full can bring them up to date."""
    current = {*remembered["found"], *curated_again(context, source)}
    current |= {(g["address"], g["item"]) for g in remembered["gone"]}
    outdated = context.ledger.outdated(context.model, source, rules_of(context, source))
    return [pair for pair in outdated if pair not in current]


def _pairs(erased: pa.Table) -> dict[str, list[tuple[str, str]]]:
    """Address and item, by source, of what was erased and the ledger knows."""
    pairs: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in erased.filter(pc.field("source") != "").to_pylist():
        pairs[row["source"]].append((row["address"], row["item"]))
    return dict(pairs)


def _forgotten(erased: pa.Table) -> dict[str, list[Validator]]:
    """Empty validators of what was erased: they would keep its address."""
    keys = {source: {key for pair in pairs for key in pair if key} for source, pairs in _pairs(erased).items()}
    return {source: [Validator(key, "", "", "") for key in sorted(found)] for source, found in keys.items()}


def _ask_again(context: Context, source: str, tonight: list[Any], waiting: set[str]) -> list[Validator]:
    """Empty validators, so that the next night fetches these documents whole and decides on them anew."""
    if not waiting:
        return []
    pairs = {*context.ledger.items(context.model, source), *tonight}
    keys = [item or address for address, item in pairs if document_id(source, address, item) in waiting]
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


def _with_doc_ids(raw: pa.Table) -> pa.Table:
    """Raw items with the ids of the documents made from them, so that they can be removed together."""
    keys = zip(*(raw[c].to_pylist() for c in ("source", "address", "item")), strict=True)
    return raw.add_column(0, "doc_id", pa.array([document_id(*key) for key in keys], pa.string()))


def _without_people(raw: pa.Table) -> pa.Table:
    """Custody is kept, so it holds no names: neither those that headers list nor those in an address.

    What is on the web is scrubbed; of any other address or id, such as a file's, only a keyed hash stays.
    """
    from sovereign_tasks.curate.pii import scrub

    def hide(column: str, source: str, value: str, names: list[str]) -> str:
        if is_web(value):
            return scrub(value, names=names).text
        return value and keyed_hash(column, source, value)

    columns: dict[str, list[str]] = {"address": [], "item": [], "headers": []}
    for row in raw.select(["source", "author", *columns]).to_pylist():
        headers = json.loads(row["headers"])
        names = [name for name in (row["author"], *headers.pop("people", ())) if name]
        for column in ("address", "item"):
            columns[column].append(hide(column, row["source"], row[column], names))
        columns["headers"].append(json.dumps(headers))
    custody = raw.select(["doc_id", *CUSTODY])
    for name, values in columns.items():
        custody = custody.set_column(custody.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return custody


def _examples_of(context: Context, builds: list[str], doc_ids: set[str]) -> list[str]:
    """Examples, past and present, that rest on any of these documents."""
    if not doc_ids:
        return []
    rows = context.store.read("examples", builds, ["example_id", "doc_ids"])
    pairs = zip(rows["example_id"].to_pylist(), rows["doc_ids"].to_pylist(), strict=True)
    return sorted(example_id for example_id, rests_on in pairs if doc_ids & set(rests_on))
