"""Writing a night to the tables, making it visible, and removing what its authors deleted."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow as pa

from sovereign_tasks import __version__
from sovereign_tasks.config import config_hash
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.durable import after_write
from sovereign_tasks.ledger import Commit
from sovereign_tasks.records import Document, RawItem, Snapshot, Validator, keyed_hash
from sovereign_tasks.stages.context import BANDS, Context, remembered_state
from sovereign_tasks.store import state_folder

COPIES = ("duplicate", "near_duplicate")


def commit_build(context: Context, parent: int, sources: list[str]) -> None:
    """Write the build to every table, then tell the ledger."""
    from sovereign_tasks.curate.dedup import Bands, Digest

    model, build_id, store, ledger = context.model, context.run, context.store, context.ledger
    remembered = {s: remembered_state(context, s) for s in sources}
    kept = store.staged(build_id, "valid-kept")
    removed = store.staged(build_id, "removed")["doc_id"].to_pylist()
    events = store.staged(build_id, "valid-events")
    doomed = sorted(g["doc_id"] for r in remembered.values() for g in r["gone"] if g["by_author"])
    builds = ledger.builds(model)
    lost = _examples_of(context, builds, set(doomed))
    copies = _copies_of(context, builds, set(removed))

    store.append("raw", _raw_table([store.staged(build_id, f"raw-{s}") for s in sources]), build_id)
    store.append("documents", pa.concat_tables([kept, _tombstones(removed)]), build_id)
    parts = [f"{part}-{s}" for s in sources for part in ("rejected-collect", "rejected-curate")]
    parts += ["rejected-deduplicate", "rejected-examples", "rejected-validate"]
    rejected = pa.concat_tables([store.staged(build_id, part) for part in parts])
    store.append("quarantine", rejected, build_id)
    store.append("examples", store.staged(build_id, "valid-examples"), build_id)
    store.append("membership", events, build_id)
    digests = store.staged(build_id, "digests").to_pydict()
    pairs = zip(digests["exact"], digests["signature"], strict=True)
    Bands(state_folder() / BANDS).add(build_id, model, digests["doc_id"], [Digest(*pair) for pair in pairs])
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
            validators={
                s: [Validator(**v) for v in r["validators"]] + _ask_again(context, s, copies)
                for s, r in remembered.items()
            },
            found={s: [tuple(pair) for pair in r["found"]] for s, r in remembered.items()},
            gone={s: [(g["address"], g["item"]) for g in r["gone"]] for s, r in remembered.items()},
            cursors={s: r["cursor"] for s, r in remembered.items()},
            splits=json.loads(store.staged(build_id, "splits")["json"][0].as_py()),
            tombstones=dict.fromkeys([*doomed, *lost], "deleted by its author"),
        )
    )


def purge(context: Context, purged: dict[str, list[str]]) -> None:
    """Remove what its authors deleted from every table, by id, and the digests of older revisions."""
    from sovereign_tasks.curate.dedup import Bands

    documents, examples = purged["documents"], purged["examples"]
    bands, store = Bands(state_folder() / BANDS), context.store
    changed = store.read("documents", [context.run], ["doc_id"])["doc_id"].to_pylist()
    bands.forget(changed, except_build=context.run)
    if documents:
        store.delete("documents", "doc_id", documents)
        store.delete("raw", "doc_id", documents)
        store.delete("examples", "example_id", examples)
        store.delete("quarantine", "row_id", [*documents, *examples])
        bands.forget(documents)


def _copies_of(context: Context, builds: list[str], removed: set[str]) -> set[str]:
    """Documents that were dropped as copies of what is now removed: their turn has come."""
    rows = context.store.read("quarantine", builds, ["row_id", "reason", "measured"]).to_pylist()
    copies = {r["row_id"] for r in rows if r["reason"] in COPIES and r["measured"].split()[-1] in removed}
    return copies - context.ledger.tombstones(context.model)


def _ask_again(context: Context, source: str, copies: set[str]) -> list[Validator]:
    """Empty validators, so that the next night fetches these documents whole and decides on them anew."""
    if not copies:
        return []
    pairs = context.ledger.items(context.model, source)
    keys = [item or address for address, item in pairs if keyed_hash("document", source, address, item) in copies]
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


def _raw_table(parts: list[pa.Table]) -> pa.Table:
    """Raw items with the ids of the documents made from them, so that they can be removed together."""
    raw = pa.concat_tables(parts)
    return raw.add_column(0, "doc_id", pa.array([i.doc_id for i in RawItem.from_table(raw)], pa.string()))


def _examples_of(context: Context, builds: list[str], doc_ids: set[str]) -> list[str]:
    """Examples, past and present, that rest on any of these documents."""
    if not doc_ids:
        return []
    rows = context.store.read("examples", builds, ["example_id", "doc_ids"])
    pairs = zip(rows["example_id"].to_pylist(), rows["doc_ids"].to_pylist(), strict=True)
    return sorted(example_id for example_id, rests_on in pairs if doc_ids & set(rests_on))
