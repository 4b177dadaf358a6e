"""A source's new items as clean, scrubbed documents, and older ones that changed rules concern.

What an item was cleaned to is kept, so a rule of judging that changed is put to that text, and only a rule of
cleaning to the bytes again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from sovereign_tasks.records import Cleaned, Document, RawItem, Rejection, document_id
from sovereign_tasks.stages.context import Context, among, open_context, timed
from sovereign_tasks.stages.parts import RELEASED, RULES, collected_state, raw_parts, staged_parts

_NAMING = ["group", "author", "headers"]
_BATCH = 500  # items that are in memory at once, or
_BATCH_BYTES = 16_000_000  # this much of their bytes
Key = tuple[str, str]


@dataclass(frozen=True)
class _Again:
    """(address, item) by doc_id of what is curated again: from its bytes, or from its clean text."""

    raw: dict[str, Key]
    cleaned: dict[str, Key]

    @classmethod
    def from_table(cls, table: pa.Table) -> _Again:
        rows = [(r["doc_id"], (r["address"], r["item"]), r["cleaned"]) for r in table.to_pylist()]
        return cls({i: key for i, key, cleaned in rows if not cleaned}, {i: key for i, key, cleaned in rows if cleaned})

    @property
    def keys(self) -> list[Key]:
        return [*self.raw.values(), *self.cleaned.values()]

    def to_table(self, rules: str, released: set[str]) -> pa.Table:
        """What a later try and publishing need: the items, the rules, and the releases that have had their turn."""
        ids = [*self.raw, *self.cleaned]
        columns = {
            "doc_id": ids,
            "address": [address for address, _ in self.keys],
            "item": [item for _, item in self.keys],
        }
        table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
        cleaned = pa.array([i in self.cleaned for i in ids], pa.bool_())
        return table.append_column("cleaned", cleaned).replace_schema_metadata(
            {RULES: rules, RELEASED: json.dumps(sorted(released))}
        )


def curation_rules(context: Context, source: str) -> str:
    """The version of all rules that make documents of a source's items: of cleaning, and after a point of judging."""
    from sovereign_tasks.curate.cleaning import cleaning_rules
    from sovereign_tasks.curate.judging import judging_rules

    return f"{cleaning_rules(context.config)}.{judging_rules(context.config, source)}"


def curate(job: dict[str, Any]) -> dict[str, Any]:
    """Turn one source's raw items into clean, scrubbed documents, and those that went through older rules again.

    Batches are durable one by one, and a try that was cut off goes on after the last.
    """
    model, build_id, source = job["model"], job["build_id"], job["source"]
    context, stage = open_context(model, build_id), f"curate:{source}"
    if context.is_committed or "failed" in job:
        return job
    with timed(context, stage) as figures:
        found = list(raw_parts(context, source, ["address", "item", *_NAMING]))
        releases = context.ledger.releases(model)
        waiting = {i for i, one in releases.items() if not one.taken_by and one.source in ("", source)}
        again = _settle_again(context, source, found, waiting)
        total = sum(table.num_rows for table in found) + len(again.keys)
        if total:
            _curate_batches(context, source, again, found, total, {(i, one.text) for i, one in releases.items()})
        figures.update(_figures(context, source, total))
        if again.keys:
            figures["notes"]["again"] = len(again.keys)
    return job


def _settle_again(context: Context, source: str, found: list[pa.Table], waiting: set[str]) -> _Again:
    """What is curated again tonight: what the first try settled, unless the rules have changed since.

    Batches of other rules, or of other items, would not be those that are durable.
    """
    store, run, name, rules = context.store, context.run, f"again-{source}", curation_rules(context, source)
    if name in store.staged_names(run, name):
        settled = store.staged(run, name)
        if settled.schema.metadata[RULES.encode()].decode() == rules:
            return _Again.from_table(settled)
    for stale in ("cleaned", "rejected-curate", "documents"):
        store.unstage(run, f"{stale}-{source}.")
    again = _find_again(context, source, found, rules, waiting)
    store.stage(run, name, again.to_table(rules, waiting))
    return again


def _curate_batches(
    context: Context, source: str, again: _Again, found: list[pa.Table], total: int, released: set[Key]
) -> None:
    from sovereign_tasks.curate import curate_cleaned
    from sovereign_tasks.curate.cleaning import find_people
    from sovereign_tasks.curate.workers import curators

    store, run, now, done = context.store, context.run, datetime.now(UTC), 0
    durable = set(store.staged_names(run, f"documents-{source}."))
    people = find_people(_naming(context, source, found, again))
    with curators(context.config, total - len(again.cleaned), now=now, released=released) as curate_items:
        for number, batch in enumerate(_batches(context, source, again)):
            name = f"{source}.{number:05}"
            if f"documents-{name}" not in durable:
                if isinstance(batch[0], RawItem):
                    curated = curate_items(batch, people)
                    store.stage(run, f"cleaned-{name}", Cleaned.to_table(curated.cleaned))
                else:
                    curated = curate_cleaned(batch, context.config, now=now, released=released)
                store.stage(run, f"rejected-curate-{name}", Rejection.to_table(curated.rejections))
                store.stage(run, f"documents-{name}", Document.to_table(curated.documents))
            done += len(batch)
            context.advance(f"curate:{source}", done, total)


def _figures(context: Context, source: str, total: int) -> dict[str, Any]:
    """The stage's figures, read off what it handed on."""
    pii: Counter[str] = Counter()
    kept = 0
    for part in staged_parts(context, f"documents-{source}", ["pii"]):
        kept += part.num_rows
        for counts in part["pii"].to_pylist():
            pii.update(json.loads(counts))
    reasons: Counter[str] = Counter()
    for part in staged_parts(context, f"rejected-curate-{source}", ["reason"]):
        reasons.update(part["reason"].to_pylist())
    notes = {"pii": dict(sorted(pii.items()))} if total else {}
    return {"rows_in": total, "rows_out": kept, "rejected": dict(reasons.most_common()), "notes": notes}


def _find_again(context: Context, source: str, found: list[pa.Table], rules: str, released: set[str]) -> _Again:
    """What the rules of tonight may make another document of, and what was released since the last night."""
    model = context.model
    outdated = context.ledger.outdated(model, source, rules)
    if released:
        known = ((pair, rules) for pair in context.ledger.items(model, source))
        outdated |= {pair: rules for pair, rules in known if document_id(source, *pair) in released}
    tonight = {key for table in found for key in zip(*(table[c].to_pylist() for c in ("address", "item")), strict=True)}
    tonight |= {(g["address"], g["item"]) for g in collected_state(context, source)["gone"]}
    ids = {document_id(source, *key): key for key in sorted(outdated.keys() - tonight)}
    if not ids:
        return _Again({}, {})
    cleaning, builds = rules.partition(".")[0], context.ledger.builds(model)
    rows = context.store.read("cleaned", builds, ["doc_id", "rules"]).filter(among("doc_id", ids))
    newest = dict(zip(rows["doc_id"].to_pylist(), rows["rules"].to_pylist(), strict=True))
    cleaned = {doc_id: key for doc_id, key in ids.items() if newest.get(doc_id) == cleaning}
    kept = set(context.store.read("raw", builds, ["doc_id"])["doc_id"].to_pylist())
    raw = {doc_id: key for doc_id, key in ids.items() if doc_id in kept and doc_id not in cleaned}
    return _Again(raw, cleaned)


def _batches(context: Context, source: str, again: _Again) -> Iterator[list[RawItem] | list[Cleaned]]:
    """Tonight's items, then older ones to be curated again in their newest version; always in the same batches."""
    for tables in (raw_parts(context, source), _newest(context, "raw", RawItem.schema, again.raw)):
        batch: list[RawItem] = []
        for table in tables:
            batch += RawItem.from_table(table)
            if len(batch) >= _BATCH or sum(len(item.body) for item in batch) >= _BATCH_BYTES:
                yield batch
                batch = []
        if batch:
            yield batch
    for table in _newest(context, "cleaned", Cleaned.schema, again.cleaned):
        yield Cleaned.from_table(table)


def _newest(context: Context, name: str, schema: pa.Schema, ids: dict[str, Key]) -> Iterator[pa.Table]:
    """The newest rows of these documents, in batches."""
    if not ids:
        return
    builds = context.ledger.builds(context.model)
    versions = context.store.read(name, builds, ["doc_id"])  # in the builds' order: the last is the newest
    newest = dict(zip(versions["doc_id"].to_pylist(), versions["sequence"].to_pylist(), strict=True))
    for table in context.store.scan(name, builds, list(dict.fromkeys(["doc_id", *schema.names]))):
        rows = table.filter(among("doc_id", ids))
        keys = zip(rows["doc_id"].to_pylist(), rows["sequence"].to_pylist(), strict=True)
        rows = rows.filter(pa.array([newest[doc_id] == sequence for doc_id, sequence in keys], pa.bool_()))
        if rows.num_rows:
            yield rows


def _naming(context: Context, source: str, found: list[pa.Table], again: _Again) -> Iterator[tuple[str, str, str]]:
    """Group, author and headers of all items in the groups that tonight touches, older ones included."""
    older = context.store.read("raw", context.ledger.builds(context.model), ["doc_id", "source", *_NAMING])
    older = older.filter(among("source", [source]))
    touched = {group for table in found for group in table["group"].to_pylist()}
    touched |= set(older.filter(among("doc_id", again.raw))["group"].to_pylist())
    for table in [*found, older.filter(among("group", touched))]:
        yield from zip(*(table[c].to_pylist() for c in _NAMING), strict=True)
