"""A night's build in every table, and in one transaction of the ledger."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks import __version__
from sovereign_tasks.config import config_hash
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.durable import after_write
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Commit
from sovereign_tasks.records import Document, Snapshot, Validator, document_id
from sovereign_tasks.stages.assemble import derivation
from sovereign_tasks.stages.context import Context, among, open_bands
from sovereign_tasks.stages.parts import (
    Parts,
    collected_state,
    curated_again,
    is_collected,
    raw_parts,
    rules_of,
    staged_parts,
    staged_rows,
    taken_up,
)
from sovereign_tasks.stages.rows import (
    all_rejections,
    find_leaking,
    silence,
    tombstone_rows,
    with_doc_ids,
    without_addresses,
    without_leaks,
    without_people,
)
from sovereign_tasks.stages.select import DIGESTS
from sovereign_tasks.stages.taints import find_taints
from sovereign_tasks.stages.tombstones import (
    COPIES,
    ERASED_COPY,
    ON_REQUEST,
    bands_of,
    erased_tonight,
    rejected_copies,
    withhold_copies,
)
from sovereign_tasks.store import CUSTODY, newest_rows

Pairs = dict[str, list[tuple[str, str]]]
"""Address and item, by source."""


def commit(context: Context, night: dict[str, Any]) -> None:
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
    pairs = _pairs(erased)
    by_author = {g["doc_id"] for r in remembered.values() for g in r["gone"] if g["by_author"]}
    doomed = sorted(by_author.union(erased["doc_id"].to_pylist()))
    builds = ledger.builds(model)
    lost = examples_on(context, builds, set(doomed))
    taints = find_taints(context, doomed, lost)
    opened = {g for g, parent in zip(kept["group"].to_pylist(), kept["parent"].to_pylist(), strict=True) if not parent}
    left = {*removed, *store.staged(build_id, "turned")["doc_id"].to_pylist()} - {*doomed}
    stale = {s: _stale(context, s, r) for s, r in remembered.items()}

    leaking = find_leaking(context)
    erased_bands = bands_of(context, doomed, builds)
    rejected = all_rejections(context, sources, leaking)
    rejected = withhold_copies(context, rejected, sources, builds, erased_bands)
    left |= set(store.staged(build_id, "rejected-validate")["row_id"].to_pylist())
    waiting = _waiting_for(context, builds, rejected, left, opened) - leaking
    given = {document_id(s, *pair): pair for s, r in remembered.items() for pair in r["found"]}
    barred = given.keys() & ledger.tombstones(model)  # erased, and given again
    hidden = _addresses([given[doc_id] for doc_id in barred])
    rejected = silence(rejected, barred)
    copies = rejected.filter(pc.field("reason") == ERASED_COPY)["row_id"].to_pylist()
    older = rejected_copies(context, builds, erased_bands, kept["doc_id"].to_pylist())
    unerased = ~among("doc_id", barred.union(copies))
    raw = (with_doc_ids(part) for s in sources for part in raw_parts(context, s))
    store.append("raw", (part.filter(unerased) for part in raw), build_id)
    origins = (part for s in sources for part in raw_parts(context, s, [*CUSTODY, "author"]))
    known = ~among("doc_id", barred)
    store.append("custody", (without_people(with_doc_ids(part).filter(known)) for part in origins), build_id)
    cleaned = (part for s in sources for part in staged_parts(context, f"cleaned-{s}"))
    store.append("cleaned", (without_leaks(part.filter(unerased), leaking) for part in cleaned), build_id)
    store.append("documents", [kept, tombstone_rows(removed)], build_id)
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
    if not all(is_collected(context, s) for s in sources):  # what was read above may not have been whole
        raise UserError(f"Another night of {model} began while this one ran; run the night again.")
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
            | _forgotten(pairs),
            found={
                s: [p for p in (*r["found"], *curated_again(context, s)) if document_id(s, *p) not in barred]
                for s, r in remembered.items()
            },
            rules={s: rules_of(context, s) for s in sources},
            gone={s: [(g["address"], g["item"]) for g in r["gone"]] for s, r in remembered.items()} | pairs,
            cursors={
                **{s: without_addresses(collections[s].cursor(), hidden) for s in sources},
                **_cursors(context, pairs),
            },
            withdrawn=night.get("withdrawn", []),
            splits=json.loads(store.staged(build_id, "splits")["json"][0].as_py()),
            tombstones=dict.fromkeys([*doomed, *lost], ON_REQUEST if night.get("erased") else "deleted by its author"),
            taints=taints,
            on_request=bool(night.get("erased")),
            taken=[
                *(row_id for s in sources for row_id in taken_up(context, s)),
                *store.staged(build_id, "released-examples")["row_id"].to_pylist(),
            ],
            tombstone_bands=erased_bands,
        )
    )


def _validated(context: Context) -> dict[str, Any]:
    """What later nights and people should know of the night's validation: its volume, and what was accepted of it."""
    notes = next(r.notes for r in context.ledger.reports(context.model, context.run) if r.stage == "validate")
    return {"volume": notes.get("volume"), "accepted": notes.get("accepted", [])}


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


def _pairs(erased: pa.Table) -> Pairs:
    """Address and item, by source, of what was erased and the ledger knows."""
    pairs: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in erased.filter(pc.field("source") != "").to_pylist():
        pairs[row["source"]].append((row["address"], row["item"]))
    return dict(pairs)


def _cursors(context: Context, pairs: Pairs) -> dict[str, dict[str, Any]]:
    """The cursors of the sources that something was erased of, without its addresses."""
    cursors = {source: context.ledger.cursor(context.model, source) for source in pairs}
    return {source: without_addresses(cursor, _addresses(pairs[source])) for source, cursor in cursors.items()}


def _forgotten(pairs: Pairs) -> dict[str, list[Validator]]:
    """Empty validators of what was erased: they would keep its address."""
    return {s: [Validator(key, "", "", "") for key in sorted(_addresses(own))] for s, own in pairs.items()}


def _addresses(pairs: list[tuple[str, str]]) -> set[str]:
    return {part for pair in pairs for part in pair} - {""}


def _ask_again(context: Context, source: str, tonight: list[Any], waiting: set[str]) -> list[Validator]:
    """Empty validators, so that the next night fetches these documents whole and decides on them anew."""
    if not waiting:
        return []
    pairs = {*context.ledger.items(context.model, source), *tonight}
    keys = [item or address for address, item in pairs if document_id(source, address, item) in waiting]
    return [Validator(key, "", "", "") for key in keys]


def examples_on(context: Context, builds: list[str], doc_ids: set[str]) -> list[str]:
    """Examples, past and present, that rest on any of these documents."""
    if not doc_ids:
        return []
    rows = context.store.read("examples", builds, ["example_id", "doc_ids"])
    pairs = zip(rows["example_id"].to_pylist(), rows["doc_ids"].to_pylist(), strict=True)
    return sorted(example_id for example_id, rests_on in pairs if doc_ids & set(rests_on))
