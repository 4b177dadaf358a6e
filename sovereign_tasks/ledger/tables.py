"""The ledger's tables, on SQLite and Postgres alike."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

METADATA = sa.MetaData()


class Moment(sa.TypeDecorator):
    """A UTC time that stays aware on SQLite too."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


def _key(name: str) -> sa.Column:
    return sa.Column(name, sa.String(255), primary_key=True)


BUILDS = sa.Table(
    "builds",
    METADATA,
    _key("model"),
    _key("build_id"),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("snapshot", sa.Integer),
    sa.Column("manifest", sa.JSON, nullable=False),
    sa.Column("committed_at", Moment, nullable=False),
    sa.Column("purged_at", Moment),
    sa.UniqueConstraint("model", "sequence"),
)
SNAPSHOTS = sa.Table(
    "snapshots",
    METADATA,
    _key("model"),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("parent", sa.Integer),
    sa.Column("build_id", sa.String(64), nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("config_hash", sa.String(64), nullable=False),
    sa.Column("code_version", sa.String(64), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)
CURSORS = sa.Table("cursors", METADATA, _key("model"), _key("source"), sa.Column("cursor", sa.JSON))
VALIDATORS = sa.Table(
    "validators",
    METADATA,
    _key("model"),
    _key("source"),
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("last_modified", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)
ITEMS = sa.Table(
    "items",
    METADATA,
    _key("model"),
    _key("source"),
    sa.Column("address", sa.Text, primary_key=True),
    _key("item"),
    sa.Column("rules", sa.String(64), nullable=False, server_default=""),
)
SPLITS = sa.Table(
    "splits",
    METADATA,
    _key("model"),
    sa.Column("group", sa.Text, primary_key=True),
    sa.Column("split", sa.String(20), nullable=False),
)
TOMBSTONES = sa.Table(
    "tombstones",
    METADATA,
    _key("model"),
    _key("row_id"),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
)
RELEASES = sa.Table(
    "releases",
    METADATA,
    _key("model"),
    _key("row_id"),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("by", sa.String(255), nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("taken_by", sa.String(64), nullable=False),
    sa.Column("source", sa.String(255), nullable=False, server_default=""),
    sa.Column("text", sa.String(64), nullable=False, server_default=""),  # a keyed hash
)
TOMBSTONE_BANDS = sa.Table(  # keyed: what is kept of an erased text to know its copies by
    "tombstone_bands",
    METADATA,
    _key("model"),
    _key("band"),
    _key("row_id"),
)
SEALS = sa.Table(
    "seals",
    METADATA,
    _key("model"),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
)
REQUESTS = sa.Table(
    "requests",
    METADATA,
    _key("model"),
    _key("request"),
    sa.Column("sealed", sa.Text, nullable=False),  # encrypted: a request names a person
    sa.Column("at", Moment, nullable=False),
)
TAINTS = sa.Table(
    "taints",
    METADATA,
    _key("model"),
    _key("subject"),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("on_request", sa.Boolean, nullable=False),
    sa.Column("told", sa.Boolean, nullable=False),
)
REPORTS = sa.Table(
    "stage_reports",
    METADATA,
    _key("model"),
    _key("run"),
    _key("stage"),
    sa.Column("report", sa.JSON, nullable=False),
    sa.Column("at", Moment, nullable=False),
)
PROGRESS = sa.Table(
    "progress",
    METADATA,
    _key("model"),
    _key("run"),
    _key("stage"),
    sa.Column("done", sa.Integer, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
)
DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", sa.String(255), nullable=False, index=True),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("run", sa.String(255), nullable=False),
    sa.Column("outcome", sa.String(255), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.UniqueConstraint("model", "kind", "run"),
)
FAILURES = sa.Table(
    "failures",
    METADATA,
    _key("model"),
    _key("run"),
    _key("stage"),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
)
GATE_ROWS = sa.Table(
    "gate_rows",
    METADATA,
    _key("model"),
    _key("run"),
    _key("gate"),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("row", sa.JSON, nullable=False),
)
TRAINING_RUNS = sa.Table(
    "training_runs",
    METADATA,
    _key("model"),
    _key("run"),
    sa.Column("snapshot", sa.Integer, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("at", Moment, nullable=False),
)
BASES = sa.Table(
    "bases",
    METADATA,
    _key("model"),
    _key("base_hash"),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("config_hash", sa.String(64), nullable=False),
    sa.Column("snapshot", sa.Integer),
    sa.Column("at", Moment, nullable=False),
)
EXPORTS = sa.Table(
    "exports",
    METADATA,
    _key("model"),
    sa.Column("folder", sa.Text, primary_key=True),
    sa.Column("snapshot", sa.Integer, nullable=False),
    sa.Column("at", Moment, nullable=False),
)
RATINGS = sa.Table(
    "ratings",
    METADATA,
    _key("model"),
    _key("run"),
    _key("row_id"),
    _key("against"),
    _key("by"),
    sa.Column("first", sa.String(40), nullable=False),
    sa.Column("verdict", sa.Integer, nullable=False),
    sa.Column("at", Moment, nullable=False),
)
LEASES = sa.Table(
    "leases",
    METADATA,
    _key("name"),
    sa.Column("holder", sa.String(255), nullable=False),
    sa.Column("process", sa.String(255), nullable=False, server_default=""),
    sa.Column("expires_at", Moment, nullable=False),
)
