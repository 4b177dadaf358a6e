"""Which of two answers people found better, by the ids of rows alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa

from sovereign_tasks.ledger.database import Database
from sovereign_tasks.ledger.tables import RATINGS, TOMBSTONES


class Rating(NamedTuple):
    """What one person said of a row's two answers in a run; `verdict` is 1 where the candidate's was better, or -1, 0.

    `against` is whose answer stood beside the candidate's, and `first` whose was shown first.
    """

    run: str
    row_id: str
    against: str
    by: str
    first: str
    verdict: int


class Ratings(Database):
    """Ratings of pairs of answers."""

    def rate(self, model: str, rating: Rating) -> None:
        """Keep a rating in place of one that the same person gave before; none of a row that was erased meanwhile."""
        same = {"model": model} | {name: getattr(rating, name) for name in ("run", "row_id", "against", "by")}
        erased = sa.select(TOMBSTONES.c.row_id).where(TOMBSTONES.c.model == model, TOMBSTONES.c.row_id == rating.row_id)
        with self.engine.begin() as c:
            c.execute(RATINGS.delete().where(*(RATINGS.c[name] == value for name, value in same.items())))
            if c.scalar(erased) is None:
                c.execute(RATINGS.insert().values(model=model, **rating._asdict(), at=datetime.now(UTC)))

    def ratings(self, model: str, run: str | None = None) -> list[Rating]:
        """All ratings of a model, or those of a run, the oldest first."""
        query = sa.select(*(RATINGS.c[name] for name in Rating._fields)).where(RATINGS.c.model == model)
        query = query if run is None else query.where(RATINGS.c.run == run)
        with self.reader.connect() as c:
            return [Rating(*row) for row in c.execute(query.order_by(RATINGS.c.at, RATINGS.c.row_id))]


def forget_ratings(c: sa.Connection, model: str, row_ids: Iterable[str]) -> None:
    """Remove the ratings of rows that a build erases, in its transaction."""
    rated = set(c.scalars(sa.select(RATINGS.c.row_id).where(RATINGS.c.model == model).distinct()))
    for row_id in rated.intersection(row_ids):
        c.execute(RATINGS.delete().where(RATINGS.c.model == model, RATINGS.c.row_id == row_id))
