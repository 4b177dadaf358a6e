"""Which trainings and bases have learned from what was erased since."""

from __future__ import annotations

import sqlalchemy as sa

from sovereign_tasks.ledger.database import Database
from sovereign_tasks.ledger.tables import TAINTS
from sovereign_tasks.records import Taint


class Taints(Database):
    """Taints by their subject: a training's MLflow run, or a base's hash."""

    def taints(self, model: str, *, untold: bool = False) -> dict[str, Taint]:
        """All taints of a model, or those that MLflow has not been told of."""
        query = sa.select(TAINTS.c.subject, TAINTS.c.rows, TAINTS.c.on_request).where(TAINTS.c.model == model)
        if untold:
            query = query.where(TAINTS.c.told.is_(False))
        with self.reader.connect() as c:
            return {subject: Taint(rows, on_request) for subject, rows, on_request in c.execute(query)}

    def taint(self, model: str, subject: str, taint: Taint) -> None:
        """Note a taint beside those that builds bring."""
        with self.engine.begin() as c:
            add_taints(c, model, {subject: taint.rows}, on_request=taint.on_request)

    def mark_told(self, model: str, subject: str) -> None:
        """Note that MLflow knows of a taint."""
        with self.engine.begin() as c:
            same = (TAINTS.c.model == model, TAINTS.c.subject == subject)
            c.execute(TAINTS.update().where(*same).values(told=True))


def add_taints(c: sa.Connection, model: str, rows: dict[str, int], *, on_request: bool) -> None:
    """Add what a build erased to the taints, in its transaction."""
    for subject, count in rows.items():
        same = (TAINTS.c.model == model, TAINTS.c.subject == subject)
        values = {"rows": TAINTS.c.rows + count, "told": False} | ({"on_request": True} if on_request else {})
        if not c.execute(TAINTS.update().where(*same).values(**values)).rowcount:
            known = {"model": model, "subject": subject, "rows": count, "on_request": on_request, "told": False}
            c.execute(TAINTS.insert().values(**known))
