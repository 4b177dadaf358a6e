"""The connection that all parts of the ledger share."""

from __future__ import annotations

import sqlalchemy as sa


class Database:
    """An engine for transactions, and one whose reads see each statement's own moment."""

    engine: sa.Engine
    reader: sa.Engine
