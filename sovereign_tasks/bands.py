"""The digests of everything ever kept, in a SQLite file of their own with an index on the band keys.

Rows carry the build that wrote them, and those of builds that the caller doesn't name as committed don't count.
A look-up costs what is asked for, however many rows there are.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sovereign_tasks.digests import Digest, band_keys

_FORMAT = 2  # of digests; those of another can't be compared
_EMPTY = ("DROP TABLE IF EXISTS doc", "DROP TABLE IF EXISTS band")
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS doc (id INTEGER PRIMARY KEY, build_id TEXT NOT NULL, model TEXT NOT NULL, "
    "doc_id TEXT NOT NULL, exact TEXT NOT NULL, bands BLOB NOT NULL, sketch BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS doc_build ON doc (model, build_id)",
    "CREATE INDEX IF NOT EXISTS doc_name ON doc (doc_id, model)",
    "CREATE INDEX IF NOT EXISTS doc_exact ON doc (exact)",
    "CREATE TABLE IF NOT EXISTS band (h INTEGER, doc INTEGER, PRIMARY KEY (h, doc)) WITHOUT ROWID",
)
_ASKING = """
CREATE TEMP TABLE counted (build_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE asked_band (n INTEGER, h INTEGER);
CREATE TEMP TABLE asked_exact (n INTEGER, exact TEXT);
CREATE TEMP TABLE met (n INTEGER, doc INTEGER);
"""
_MEET = """
INSERT INTO met SELECT n, doc FROM asked_band CROSS JOIN band USING (h)
  UNION SELECT n, id FROM asked_exact CROSS JOIN doc USING (exact)
"""
# From one build to the next in the index: DISTINCT would walk all of its rows.
_BUILDS = """
WITH RECURSIVE found (build_id) AS (
  SELECT min(build_id) FROM doc WHERE model = :model
  UNION ALL SELECT (SELECT min(build_id) FROM doc WHERE model = :model AND build_id > found.build_id)
    FROM found WHERE build_id IS NOT NULL
) SELECT build_id FROM found WHERE build_id IS NOT NULL
"""
_NEWEST = """
SELECT id, doc_id, exact, bands, sketch FROM (SELECT DISTINCT doc FROM met) CROSS JOIN doc d ON id = doc
  WHERE model = ? AND id = (SELECT max(o.id) FROM doc o WHERE o.doc_id = d.doc_id AND o.model = d.model
    AND o.build_id IN (SELECT build_id FROM counted))
"""


class Bands:
    """The persistent index of kept documents' digests, one file for all models."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connect() as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("BEGIN IMMEDIATE")
            if db.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
                for statement in (*_EMPTY, *_SCHEMA, f"PRAGMA user_version={_FORMAT}"):
                    db.execute(statement)
            db.execute("COMMIT")

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """A connection for one short transaction; safe across processes."""
        db = sqlite3.connect(self._path, timeout=60, isolation_level=None)
        try:
            for pragma in ("synchronous=NORMAL", "temp_store=MEMORY", "secure_delete=ON", "cache_size=-64000"):
                db.execute(f"PRAGMA {pragma}")
            yield db
        finally:
            db.close()

    def add(self, build_id: str, model: str, doc_ids: Sequence[str], digests: Sequence[Digest]) -> None:
        """Write a build's kept documents in place of whatever it wrote before, so that a retry starts clean."""
        with self._connect() as db:
            db.execute("BEGIN IMMEDIATE")
            _delete(db, "build_id = ? AND model = ?", (build_id, model))
            (first,) = db.execute("SELECT coalesce(max(id), 0) + 1 FROM doc").fetchone()
            rows = list(enumerate(zip(doc_ids, digests, strict=True), first))
            db.executemany(
                "INSERT INTO doc VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((n, build_id, model, doc_id, d.exact, d.bands, d.sketch) for n, (doc_id, d) in rows),
            )
            keys = sorted((h, n) for n, (_, d) in rows for h in band_keys(d))
            db.executemany("INSERT OR IGNORE INTO band VALUES (?, ?)", keys)
            db.execute("COMMIT")

    def forget(self, model: str, doc_ids: Iterable[str], *, except_build: str = "") -> None:
        """Remove a model's documents (erased, gone, or the old revisions that `except_build` has replaced)."""
        where = "doc_id IN (SELECT value FROM json_each(?)) AND build_id != ? AND model = ?"
        self._remove(where, (json.dumps(sorted(doc_ids)), except_build, model))

    def drop_uncommitted(self, model: str, builds: Iterable[str]) -> None:
        """Remove what builds of a model that were never committed left behind; `builds` are the committed ones."""
        if strangers := self.builds(model) - set(builds):
            where = "model = ? AND build_id IN (SELECT value FROM json_each(?))"
            self._remove(where, (model, json.dumps(sorted(strangers))))

    def _remove(self, where: str, values: tuple[str, ...]) -> None:
        with self._connect() as db:
            db.execute("BEGIN IMMEDIATE")
            _delete(db, where, values)
            db.execute("COMMIT")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or the log would keep what is forgotten

    def candidates(
        self, model: str, digests: Sequence[Digest], builds: Collection[str]
    ) -> list[list[tuple[str, Digest]]]:
        """For each digest, the documents with the same exact hash or a common band, in the order they were written.

        Only rows of `builds` count, and of each document only its newest.
        """
        with self._connect() as db:
            _count(db, builds)
            bands = ((n, h) for n, d in enumerate(digests) for h in band_keys(d))
            db.executemany("INSERT INTO asked_band VALUES (?, ?)", bands)
            db.executemany("INSERT INTO asked_exact VALUES (?, ?)", ((n, d.exact) for n, d in enumerate(digests)))
            db.execute(_MEET)
            newest = {id: (doc_id, Digest(*rest)) for id, doc_id, *rest in db.execute(_NEWEST, (model,))}
            found: defaultdict[int, list[int]] = defaultdict(list)
            for n, id in db.execute("SELECT n, doc FROM met ORDER BY doc"):
                if id in newest:
                    found[n].append(id)
            return [[newest[id] for id in found[n]] for n in range(len(digests))]

    def builds(self, model: str) -> set[str]:
        """The builds that have written rows of a model."""
        with self._connect() as db:
            return {build for (build,) in db.execute(_BUILDS, {"model": model})}

    def digests(self, model: str, doc_ids: Iterable[str], builds: Collection[str]) -> dict[str, Digest]:
        """The newest digest of each of these documents, of those that have one."""
        with self._connect() as db:
            _count(db, builds)
            wanted = "INSERT INTO met SELECT 0, doc.id FROM json_each(?) CROSS JOIN doc ON doc_id = value"
            db.execute(wanted, (json.dumps(sorted(doc_ids)),))
            return {doc_id: Digest(*rest) for _, doc_id, *rest in db.execute(_NEWEST, (model,))}


def _count(db: sqlite3.Connection, builds: Collection[str]) -> None:
    """Make the tables of a question, which this connection alone sees."""
    db.executescript(_ASKING)
    db.execute("BEGIN")
    db.executemany("INSERT INTO counted VALUES (?)", ((b,) for b in set(builds)))


def _delete(db: sqlite3.Connection, where: str, values: tuple[str, ...]) -> None:
    """Delete documents and their band rows, whose keys they hold."""
    rows = db.execute(f"SELECT id, exact, bands, sketch FROM doc WHERE {where}", values).fetchall()  # noqa: S608
    keys = ((h, id) for id, *digest in rows for h in band_keys(Digest(*digest)))
    db.executemany("DELETE FROM band WHERE h = ? AND doc = ?", keys)
    db.executemany("DELETE FROM doc WHERE id = ?", ((id,) for id, *_ in rows))
