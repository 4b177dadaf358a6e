"""The rows that a night writes, without what must not be kept: words that leak, names of people."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.dataset.validate import PII_LEFT
from sovereign_tasks.records import Document, document_id, is_web, keyed_hash
from sovereign_tasks.stages.context import Context, among
from sovereign_tasks.stages.parts import collect_rejections, staged_parts
from sovereign_tasks.stages.tombstones import COPIES, ERASED_COPY, ERASED_ITSELF
from sovereign_tasks.store import CUSTODY


def all_rejections(context: Context, sources: list[str], leaking: set[str]) -> pa.Table:
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


def find_leaking(context: Context) -> set[str]:
    """The documents of the night in which validation found personal data, and their copies."""
    rows = context.store.staged(context.run, "rejected-validate", ["row_id", "measured"])
    leaking = set(rows.filter(pc.ends_with(rows["measured"], PII_LEFT))["row_id"].to_pylist())
    copies = among("twin", leaking) & among("reason", COPIES)
    for part in staged_parts(context, "rejected-deduplicate", ["row_id", "reason", "twin"]):
        leaking |= set(part.filter(copies)["row_id"].to_pylist())
    return leaking


def without_leaks(cleaned: pa.Table, leaking: set[str]) -> pa.Table:
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


def tombstone_rows(removed: list[str]) -> pa.Table:
    """Rows that say a document is gone: only its id, and no revision."""
    blank = {f.name: "" for f in Document.schema if pa.types.is_string(f.type)}
    now = datetime.now(UTC)
    rows = [
        blank | {"doc_id": i, "added_at": now, "language_confidence": 0.0, "quality": 0.0, "relevance": 0.0}
        for i in removed
    ]
    return pa.Table.from_pylist(rows, schema=Document.schema)


def with_doc_ids(raw: pa.Table) -> pa.Table:
    """Raw items with the ids of the documents made from them, so that they can be removed together."""
    keys = zip(*(raw[c].to_pylist() for c in ("source", "address", "item")), strict=True)
    return raw.add_column(0, "doc_id", pa.array([document_id(*key) for key in keys], pa.string()))


def without_people(raw: pa.Table) -> pa.Table:
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


def silence(rejected: pa.Table, barred: Collection[str]) -> pa.Table:
    """Rejections; those of what was erased and is given again say only that."""
    where = pc.is_in(rejected["row_id"], pa.array(sorted(barred), pa.string()))
    return _emptied(rejected, where, {"reason": ERASED_COPY, "measured": ERASED_ITSELF, "text": "", "twin": ""})


def without_addresses(value: Any, hidden: Collection[str]) -> Any:
    """A cursor, or a part of one, without these addresses and what is told beside them."""
    if isinstance(value, dict):
        return {key: without_addresses(inner, hidden) for key, inner in value.items() if key not in hidden}
    if isinstance(value, list):
        kept = (inner for inner in value if not _tells(inner, hidden))
        return [without_addresses(inner, hidden) for inner in kept]
    return "" if isinstance(value, str) and value in hidden else value


def _tells(value: Any, hidden: Collection[str]) -> bool:
    own = value if isinstance(value, list) else [value]
    return any(isinstance(part, str) and part in hidden for part in own)
