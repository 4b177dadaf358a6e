"""Exact and near duplicates against everything ever kept, at the cost of what is new.

A document's digest is a MinHash signature (rensa) of its word 3-shingles, cut into 25 bands of 5; two documents are
compared only where a band agrees, and are near duplicates when the share of equal signature positions (which
estimates their Jaccard similarity) reaches the threshold. Bands lie in a SQLite file of their own, with the build
that wrote them: rows of builds that the caller doesn't name as committed don't count.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rensa
import xxhash

from sovereign_tasks.records import Document, Rejection, keyed_hash

BANDS, ROWS, SEED = 25, 5, 42
SHORT = 8
"""Words below which texts are compared exactly and within their group only: "Thanks, that worked." is no copy."""
_WORD = re.compile(r"\w+")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS doc (id INTEGER PRIMARY KEY AUTOINCREMENT, build_id TEXT NOT NULL, model TEXT NOT NULL,
  doc_id TEXT NOT NULL, exact TEXT NOT NULL, signature BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS doc_build ON doc (build_id, model);
CREATE INDEX IF NOT EXISTS doc_name ON doc (doc_id);
CREATE INDEX IF NOT EXISTS doc_exact ON doc (exact);
CREATE TABLE IF NOT EXISTS band (h INTEGER, doc INTEGER, PRIMARY KEY (h, doc)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Digest:
    """The keyed hash of a text's words, and its MinHash signature as bytes of uint32 (empty for short texts)."""

    exact: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Decided:
    """What stays and what goes; `digests` go with `kept`, both in the order of doc_id."""

    kept: list[Document]
    rejections: list[Rejection]
    digests: list[Digest]


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    build_id: str
    doc_id: str
    digest: Digest


class Bands:
    """The persistent index of kept documents' digests, one file for all models."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connect() as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(_SCHEMA)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """A connection for one short transaction; safe across processes."""
        db = sqlite3.connect(self._path, timeout=60, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous=NORMAL")
            yield db
        finally:
            db.close()

    def add(self, build_id: str, model: str, doc_ids: Sequence[str], digests: Sequence[Digest]) -> None:
        """Write a build's kept documents in place of whatever it wrote before, so that a retry starts clean."""
        with self._connect() as db:
            db.execute("BEGIN IMMEDIATE")
            self._delete(db, "build_id = ? AND model = ?", (build_id, model))
            for doc_id, digest in zip(doc_ids, digests, strict=True):
                row = (build_id, model, doc_id, digest.exact, digest.signature)
                written = db.execute(
                    "INSERT INTO doc (build_id, model, doc_id, exact, signature) VALUES (?, ?, ?, ?, ?)", row
                )
                keys = [(h, written.lastrowid) for h in band_keys(digest)]
                db.executemany("INSERT OR IGNORE INTO band VALUES (?, ?)", keys)
            db.execute("COMMIT")

    def forget(self, model: str, doc_ids: Iterable[str], *, except_build: str = "") -> None:
        """Remove a model's documents (erased, gone, or the old revisions that `except_build` has replaced)."""
        with self._connect() as db:
            db.execute("BEGIN IMMEDIATE")
            where = "doc_id IN (SELECT value FROM json_each(?)) AND build_id != ? AND model = ?"
            self._delete(db, where, (json.dumps(sorted(doc_ids)), except_build, model))
            db.execute("COMMIT")

    def candidates(self, model: str, digests: Sequence[Digest], builds: set[str] | None) -> list[list[_Row]]:
        """For each digest, the rows with the same exact hash or a common band, each its document's newest.

        Only rows of `builds` count (all where None). Cost: 26 look-ups a digest, however many rows there are.
        """
        with self._connect() as db:
            return [self._like(db, model, digest, builds) for digest in digests]

    def _like(self, db: sqlite3.Connection, model: str, digest: Digest, builds: set[str] | None) -> list[_Row]:
        ids = db.execute(
            "SELECT id FROM doc WHERE exact = ? UNION SELECT doc FROM band WHERE h IN (SELECT value FROM json_each(?))",
            (digest.exact, json.dumps(band_keys(digest))),
        ).fetchall()
        if not ids:
            return []
        found = {id for (id,) in ids}
        rows = db.execute(
            "SELECT id, build_id, doc_id, exact, signature FROM doc WHERE model = ? AND doc_id IN "
            "(SELECT doc_id FROM doc WHERE id IN (SELECT value FROM json_each(?))) ORDER BY id",
            (model, json.dumps(sorted(found))),
        )
        newest: dict[str, _Row] = {}
        for id, build_id, doc_id, exact, signature in rows:
            if builds is None or build_id in builds:
                newest[doc_id] = _Row(id, build_id, doc_id, Digest(exact, signature))
        return [row for row in newest.values() if row.id in found]

    def _delete(self, db: sqlite3.Connection, where: str, values: tuple[str, ...]) -> None:
        """Delete documents and their band rows, whose keys follow from the signature."""
        rows = db.execute(f"SELECT id, exact, signature FROM doc WHERE {where}", values).fetchall()  # noqa: S608
        for id, exact, signature in rows:
            keys = [(h, id) for h in band_keys(Digest(exact, signature))]
            db.executemany("DELETE FROM band WHERE h = ? AND doc = ?", keys)
        db.executemany("DELETE FROM doc WHERE id = ?", [(id,) for id, *_ in rows])


def digest(documents: Sequence[Document]) -> list[Digest]:
    """Compute digests of titles and texts (replies: texts alone); pure, so shards may do it apart."""
    words = [_WORD.findall(f"{'' if d.parent else d.title} {d.text}".casefold()) for d in documents]
    shingles = [{" ".join(w[i : i + 3]) for i in range(len(w) - 2)} for w in words]
    matrix = rensa.RMinHash.digests_from_token_sets([sorted(s) for s in shingles], num_perm=BANDS * ROWS, seed=SEED)
    signatures = np.asarray(matrix, np.uint32).reshape(len(documents), BANDS * ROWS)
    return [
        Digest(keyed_hash("exact", d.group, *w), b"")
        if len(w) < SHORT
        else Digest(keyed_hash("exact", "", *w), signature.tobytes())
        for d, w, signature in zip(documents, words, signatures, strict=True)
    ]


def decide(
    documents: Sequence[Document],
    bands: Bands,
    *,
    model: str,
    builds: set[str] | None,
    superseded: set[str],
    threshold: float,
    priorities: dict[str, int],
) -> Decided:
    """Settle which of a night's documents stay, serially and in a fixed order.

    Across nights the copy that was kept first stays; within a night the one of the source with the highest
    priority, then the longest, then the least doc_id. `superseded` names documents that changed or are gone: what
    `bands` holds of them doesn't count, and a document is never its own duplicate.
    """
    order = sorted(documents, key=lambda d: (-priorities.get(d.source, 0), -len(d.text), d.doc_id))
    digests = digest(order)
    earlier = bands.candidates(model, digests, builds)
    kept: list[tuple[Document, Digest]] = []
    rejections: list[Rejection] = []
    tonight: dict[str | int, list[int]] = {}
    for document, own, rows in zip(order, digests, earlier, strict=True):
        known = [
            (likeness(own, row.digest), row.doc_id)
            for row in rows
            if row.doc_id != document.doc_id and row.doc_id not in superseded
        ]
        keys = [own.exact, *band_keys(own)]
        near = sorted({i for key in keys for i in tonight.get(key, [])})
        known += [(likeness(own, kept[i][1]), kept[i][0].doc_id) for i in near]
        similarity, twin = min(known, key=lambda pair: (-pair[0], pair[1]), default=(0.0, ""))
        if similarity >= threshold:
            reason = "duplicate" if similarity > 1 else "near_duplicate"
            measured = f"{min(similarity, 1.0):.2f} >= {threshold:.2f} with {twin}"
            row = (document.doc_id, document.source, reason, measured, document.text)
            rejections.append(Rejection("deduplicate", *row, doc_ids=[document.doc_id], twin=twin))
            continue
        for key in keys:
            tonight.setdefault(key, []).append(len(kept))
        kept.append((document, own))
    kept.sort(key=lambda pair: pair[0].doc_id)
    rejections.sort(key=lambda r: r.row_id)
    return Decided([d for d, _ in kept], rejections, [own for _, own in kept])


def likeness(a: Digest, b: Digest) -> float:
    """The estimated Jaccard similarity of two signatures; 2.0 marks the same words throughout."""
    if a.exact == b.exact:
        return 2.0
    if not a.signature or not b.signature:
        return 0.0
    return float(np.mean(np.frombuffer(a.signature, np.uint32) == np.frombuffer(b.signature, np.uint32)))


def band_keys(digest: Digest) -> list[int]:
    """One signed 64-bit key per band."""
    size = ROWS * 4
    return [
        xxhash.xxh3_64_intdigest(bytes([k]) + digest.signature[k * size : (k + 1) * size]) - (1 << 63)
        for k in range(BANDS if digest.signature else 0)
    ]
