"""Which folders hold a copy of a snapshot, so that what is erased is not forgotten there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa

from sovereign_tasks.ledger.database import Database
from sovereign_tasks.ledger.tables import EXPORTS


class Export(NamedTuple):
    """A folder that a snapshot was written to, wherever it lies; its owner may have moved or removed it since."""

    folder: str
    snapshot: int
    at: datetime


class Exports(Database):
    """Where a model's snapshots were written to."""

    def record_export(self, model: str, folder: str, snapshot: int) -> None:
        """Note a folder; one that is written again holds the newer snapshot."""
        with self.engine.begin() as c:
            c.execute(EXPORTS.delete().where(EXPORTS.c.model == model, EXPORTS.c.folder == folder))
            c.execute(EXPORTS.insert().values(model=model, folder=folder, snapshot=snapshot, at=datetime.now(UTC)))

    def forget_export(self, model: str, folder: str) -> None:
        """Forget a folder that was never made."""
        with self.engine.begin() as c:
            c.execute(EXPORTS.delete().where(EXPORTS.c.model == model, EXPORTS.c.folder == folder))

    def exports(self, model: str) -> list[Export]:
        """Every folder that an export was ever begun in, the oldest first."""
        query = sa.select(*(EXPORTS.c[name] for name in Export._fields)).where(EXPORTS.c.model == model)
        with self.reader.connect() as c:
            return [Export(*row) for row in c.execute(query.order_by(EXPORTS.c.at, EXPORTS.c.folder))]
