"""Where the data of a person lies, or of a page or a source: by what was scrubbed, by address, by the words themselves.

What was scrubbed of a person is known by keyed hashes (`Cleaned.people`), so it is found though it is nowhere any more.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.errors import UserError
from sovereign_tasks.records import document_id, keyed_hash
from sovereign_tasks.stages.context import Context, among

Line = tuple[str, str]
PERSONAL = ("author", "name", "email", "phone")
IN_WORDS = ("name", "email", "phone", "address", "text")
"""Kinds of line whose words are looked for wherever they may stand."""
KINDS = ("author", *IN_WORDS, "url", "document", "source")
_SHORTEST = {"text": 12, "address": 8, "name": 4, "author": 2, "email": 6, "phone": 6}
_WORDS = {  # where words may stand, by table: columns, and which of them names the documents
    "raw": (["title", "author", "headers", "body"], "doc_id"),
    "cleaned": (["title", "text", "url"], "doc_id"),
    "documents": (["title", "text", "url"], "doc_id"),
    "quarantine": (["text", "row_id"], "doc_ids"),
    "examples": (["messages"], "doc_ids"),
}


def read_request(text: str) -> list[Line]:
    """The lines of a request: `kind: value`, of KINDS. Raises UserError for a line of another form."""
    lines: list[Line] = []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        kind, colon, value = line.partition(":")
        kind, value = kind.strip().lower(), " ".join(value.split())
        if not colon or kind not in KINDS:
            raise UserError(f"Line {number} of the request begins with none of {', '.join(KINDS)} and a colon.")
        if len(value) < (least := _SHORTEST.get(kind, 1)):
            raise UserError(f"Line {number} of the request: {kind} needs {least} characters or more to be told apart.")
        lines.append((kind, value))
    if not lines:
        raise UserError("The request is empty; give lines such as `email: jane@example.org` on standard input.")
    return lines


def locate(context: Context, request: Sequence[Line]) -> dict[str, set[str]]:
    """The documents that a request concerns, by their ids, with the kinds of line that found each."""
    found: defaultdict[str, set[str]] = defaultdict(set)

    def add(kind: str, doc_ids: Iterable[str]) -> None:
        for doc_id in doc_ids:
            found[doc_id].add(kind)

    builds = context.ledger.builds(context.model)
    cleaned = context.store.read("cleaned", builds, ["doc_id", "source", "author", "url", "people"])
    known = {*cleaned["doc_id"].to_pylist()}
    for table in ("raw", "documents", "custody"):
        known |= {*context.store.read(table, builds, ["doc_id"])["doc_id"].to_pylist()}
    quoted = context.store.read("quarantine", builds, ["doc_ids"])["doc_ids"]
    known |= {doc_id for doc_ids in quoted.to_pylist() for doc_id in doc_ids}
    for kind, value in request:
        if kind == "document":
            add(kind, {value} & known)
        elif kind == "source":
            add(kind, _of_source(context, builds, value))
        elif kind == "url":
            pages = {row["doc_id"] for row in find_items(context, known) if row["address"] == value}
            add(kind, pages.union(cleaned.filter(pc.field("url") == value)["doc_id"].to_pylist()))
        if kind in PERSONAL:
            add(kind, _by_hash(context, builds, cleaned, value))
        if kind in IN_WORDS:
            add(kind, _by_words(context, builds, value))
    return {doc_id: found[doc_id] for doc_id in sorted(found) if doc_id in known}


@dataclass(frozen=True)
class Held:
    """A document that a request concerns: what found it, where its source has it, and what is kept of its words."""

    doc_id: str
    source: str
    found_by: list[str]
    where: str
    text: str


def show(context: Context, request: Sequence[Line]) -> list[Held]:
    """What a request concerns, in words: scrubbed ones, as no others are kept but in `raw`."""
    found = locate(context, request)
    builds, wanted = context.ledger.builds(context.model), among("doc_id", found)
    cleaned = context.store.read("cleaned", builds, ["doc_id", "source", "title", "text"]).filter(wanted).to_pylist()
    newest = {row["doc_id"]: row for row in cleaned}  # in the builds' order
    items = {item["doc_id"]: item["address"] for item in find_items(context, found)}
    blank = {"source": "", "title": "", "text": ""}
    return [
        Held(i, row["source"], sorted(kinds), items.get(i, ""), "\n".join(filter(None, (row["title"], row["text"]))))
        for i, kinds in found.items()
        for row in [newest.get(i, blank)]
    ]


def find_items(context: Context, doc_ids: Collection[str]) -> list[dict[str, str]]:
    """doc_id, source, address and item of these documents, of those that the ledger knows as live items."""
    return [
        {"doc_id": doc_id, "source": source, "address": address, "item": item}
        for source in context.ledger.sources(context.model)
        for address, item in context.ledger.items(context.model, source)
        if (doc_id := document_id(source, address, item)) in doc_ids
    ]


def _of_source(context: Context, builds: list[str], source: str) -> set[str]:
    names = ("raw", "custody", "cleaned", "documents")
    tables = (context.store.read(table, builds, ["doc_id", "source"]) for table in names)
    of = pc.field("source") == source
    found = {doc_id for table in tables for doc_id in table.filter(of)["doc_id"].to_pylist()}
    if not found and source not in {s.name for s in context.config.sources}:
        raise UserError(f"{context.model} has no source {source!r}, and nothing of one; see config/ for its sources.")
    return found


def _by_hash(context: Context, builds: list[str], cleaned: pa.Table, value: str) -> set[str]:
    """What a person wrote, or is named in."""
    from sovereign_tasks.curate.pii import person_hash

    flat = pa.table({"row": pc.list_parent_indices(cleaned["people"]), "person": pc.list_flatten(cleaned["people"])})
    named = cleaned.take(flat.filter(pc.field("person") == person_hash(value))["row"])
    documents = context.store.read("documents", builds, ["doc_id", "source", "author"])
    sources = {*cleaned["source"].unique().to_pylist(), *documents["source"].unique().to_pylist()}
    wrote = among("author", {keyed_hash("author", source, value) for source in sources})
    raw = context.store.read("raw", builds, ["doc_id", "author"]).filter(pc.field("author") == value)
    tables = (named, cleaned.filter(wrote), documents.filter(wrote), raw)
    return {doc_id for table in tables for doc_id in table["doc_id"].to_pylist()}


def _by_words(context: Context, builds: list[str], value: str) -> set[str]:
    """Whatever still holds the words, scrubbed or not; spaces and capitals don't matter."""
    pattern = words_pattern(value)
    found: set[str] = set()
    for source in context.ledger.sources(context.model):  # a path may hold a name, and the ledger alone knows it
        for pair in context.ledger.items(context.model, source):
            if any(map(pattern.search, pair)):
                found.add(document_id(source, *pair))
    for table, (columns, ids) in _WORDS.items():
        for part in context.store.scan(table, builds, list(dict.fromkeys([*columns, ids]))):
            for row in part.to_pylist():
                if any(pattern.search(_text(row[column])) for column in columns if row[column]):
                    found |= {row[ids]} if isinstance(row[ids], str) else {*row[ids]}
    return found


def words_pattern(value: str) -> re.Pattern[str]:
    """Matches these words as words, however they are spaced and capitalised."""
    words = r"\s+".join(map(re.escape, value.split()))
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def _text(value: str | bytes | list[dict[str, str]]) -> str:
    if isinstance(value, bytes):
        return html.unescape(value.decode("utf-8", "replace"))
    return value if isinstance(value, str) else "\n".join(message["content"] for message in value)
