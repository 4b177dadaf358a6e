"""The files of the tables as they were written: what is read later can be held against it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from sovereign_tasks.ledger.database import Database
from sovereign_tasks.ledger.tables import SEALS


class Seal(NamedTuple):
    """A file's size in bytes and its SHA-256."""

    size: int
    sha256: str


class Seals(Database):
    """Which files a model's tables have."""

    def seals(self, model: str) -> dict[str, Seal]:
        """Seals by the path below the model's tables."""
        query = sa.select(SEALS.c.path, SEALS.c.size, SEALS.c.sha256).where(SEALS.c.model == model)
        with self.reader.connect() as c:
            return {path: Seal(size, digest) for path, size, digest in c.execute(query).fetchall()}

    def reseal(self, model: str, written: Mapping[str, Seal], removed: Collection[str]) -> None:
        """Note files that were written, and forget those that were removed."""
        with self.engine.begin() as c:
            gone = [{"the_path": path} for path in {*written, *removed}]
            if gone:
                c.execute(SEALS.delete().where(SEALS.c.model == model, SEALS.c.path == sa.bindparam("the_path")), gone)
            if written:
                c.execute(SEALS.insert(), [{"model": model, "path": p, **s._asdict()} for p, s in written.items()])
