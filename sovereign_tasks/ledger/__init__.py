"""The durable small state: builds, snapshots, cursors, validators, splits, tombstones, decisions, leases.

`Ledger.commit` is the only way a build becomes visible: one transaction writes its manifest, the snapshot's
number, the cursors, validators and splits. Tables hold rows of builds that the ledger may not know; readers
ask `builds()` and ignore the rest.
"""

from __future__ import annotations

import gc
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from sovereign_tasks.durable import after_write
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger.exports import Exports
from sovereign_tasks.ledger.leases import Leases
from sovereign_tasks.ledger.ratings import Ratings, forget_ratings
from sovereign_tasks.ledger.requests import Requests
from sovereign_tasks.ledger.seals import Seals
from sovereign_tasks.ledger.tables import (
    BASES,
    BUILDS,
    CURSORS,
    DECISIONS,
    FAILURES,
    GATE_ROWS,
    ITEMS,
    METADATA,
    PROGRESS,
    RELEASES,
    REPORTS,
    SNAPSHOTS,
    SPLITS,
    TOMBSTONE_BANDS,
    TOMBSTONES,
    TRAINING_RUNS,
    VALIDATORS,
)
from sovereign_tasks.ledger.taints import Taints, add_taints
from sovereign_tasks.records import GateDecision, GateRow, Snapshot, StageReport, TrainingRun, Validator, failed

_ASKED_AT_ONCE = 5000  # values in one query; SQLite takes 32,766

OperationalError = sa.exc.OperationalError
"""What is raised by a database that does not answer just now."""
PROMOTED, ROLLED_BACK = "promoted", "rolled_back"
"""What became of a decision on a promotion, where the champion is another since."""


@dataclass(frozen=True)
class Commit:
    """All that one build changes, for one transaction; `events` holds the snapshot unless nothing changed."""

    model: str
    build_id: str
    parent: int
    """Sequence of the last committed build when this one began; another build in between refuses it."""
    snapshot: Snapshot | None
    manifest: dict[str, Any]
    validators: dict[str, list[Validator]] = field(default_factory=dict)
    found: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """(address, item) of what each source gave, or what was curated again."""
    rules: dict[str, str] = field(default_factory=dict)
    """The curation rules, by source, that these went through."""
    gone: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """(address, item) of what each source no longer has."""
    cursors: dict[str, dict[str, Any]] = field(default_factory=dict)
    withdrawn: list[str] = field(default_factory=list)
    """Sources of which nothing is remembered from now on."""
    splits: dict[str, str] = field(default_factory=dict)
    tombstones: dict[str, str] = field(default_factory=dict)
    """What was erased, by row, and why."""
    taken: list[str] = field(default_factory=list)
    """Released rows that this build has taken up."""
    taints: dict[str, int] = field(default_factory=dict)
    """How many erased rows each training (by its run) and base (by its hash) had learned from."""
    on_request: bool = False
    """Whether a person asked for what is erased."""
    tombstone_bands: dict[str, list[str]] = field(default_factory=dict)
    """Keyed hashes, by row, of what its copies are found by."""


class Release(NamedTuple):
    """A row that a person let pass, of which source, and the build that took it up, if one has.

    `text` is the keyed hash of the words that were read (`digests.exact_hash`), empty where the row's id is of them.
    """

    source: str
    text: str
    taken_by: str


class Ledger(Leases, Seals, Exports, Requests, Taints, Ratings):
    """The ledger of one installation, at `url` (SQLite or Postgres); its tables are made when missing."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)  # its errors are logged
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        self.reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        try:
            METADATA.create_all(self.engine)
            _add_new_columns(self.engine)
        except sa.exc.OperationalError as e:
            where = self.engine.url.render_as_string(hide_password=True)
            raise UserError(f"The ledger at {where} can't be opened: {e.orig}.") from None

    # --- builds and snapshots ---

    def builds(self, model: str, until_snapshot: int | None = None) -> list[str]:
        """Committed builds in order; up to and including the one that published `until_snapshot`."""
        query = sa.select(BUILDS.c.build_id).where(BUILDS.c.model == model).order_by(BUILDS.c.sequence)
        if until_snapshot is not None:
            last = sa.select(sa.func.max(BUILDS.c.sequence)).where(
                BUILDS.c.model == model, BUILDS.c.snapshot == until_snapshot
            )
            query = query.where(BUILDS.c.sequence <= last.scalar_subquery())
        with self.reader.connect() as c:
            return list(c.scalars(query))

    def is_committed(self, model: str, build_id: str) -> bool:
        """Whether readers may see this build."""
        return build_id in self.builds(model)

    def sequence(self, model: str) -> int:
        """Sequence of the last committed build, 0 before the first."""
        query = sa.select(sa.func.coalesce(sa.func.max(BUILDS.c.sequence), 0)).where(BUILDS.c.model == model)
        with self.reader.connect() as c:
            return c.scalar(query)

    def commit(self, commit: Commit) -> None:
        """Make a build visible, whole or not at all; a second call for the same build changes nothing.

        Raises UserError when another build was committed since this one began: only a new night can help then.
        """
        model, now = commit.model, datetime.now(UTC)
        with self.engine.begin() as c:
            known = sa.select(BUILDS.c.build_id).where(BUILDS.c.model == model, BUILDS.c.build_id == commit.build_id)
            if c.scalar(known):
                return
            last = sa.select(sa.func.coalesce(sa.func.max(BUILDS.c.sequence), 0))
            if c.scalar(last.where(BUILDS.c.model == model)) != commit.parent:
                raise UserError(f"Another build of {model} was published while this one ran; run the night again.")
            c.execute(
                BUILDS.insert().values(
                    model=model,
                    build_id=commit.build_id,
                    sequence=commit.parent + 1,
                    snapshot=commit.snapshot and commit.snapshot.number,
                    manifest=commit.manifest,
                    committed_at=now,
                )
            )
            if commit.snapshot:
                c.execute(SNAPSHOTS.insert().values(**asdict(commit.snapshot)))
            for source, cursor in commit.cursors.items():
                _replace(c, CURSORS, {"model": model, "source": source}, {"cursor": cursor})
            for source, validators in commit.validators.items():
                newest = {v.address: v._asdict() for v in validators}
                here = {"model": model, "source": source}
                _delete_all(c, VALIDATORS, here, list(newest.values()))
                # An empty one says that nothing is known of an address, and so does none.
                known = [here | v for v in newest.values() if v["etag"] or v["last_modified"] or v["digest"]]
                if known:
                    c.execute(VALIDATORS.insert(), known)
            for source, pairs in commit.found.items():
                rows = [{"address": a, "item": i, "rules": commit.rules.get(source, "")} for a, i in pairs]
                _replace_all(c, ITEMS, {"model": model, "source": source}, rows)
            for source, pairs in commit.gone.items():
                rows = [{"address": a, "item": i} for a, i in pairs]
                _delete_all(c, ITEMS, {"model": model, "source": source}, rows)
            for source in commit.withdrawn:
                for table in (CURSORS, VALIDATORS, ITEMS):
                    c.execute(table.delete().where(table.c.model == model, table.c.source == source))
            _replace_all(c, SPLITS, {"model": model}, [{"group": g, "split": s} for g, s in commit.splits.items()])
            for row_id, reason in commit.tombstones.items():
                _replace(c, TOMBSTONES, {"model": model, "row_id": row_id}, {"reason": reason, "at": now})
            forget_ratings(c, model, commit.tombstones)
            for row_id in commit.taken:
                same = (RELEASES.c.model == model, RELEASES.c.row_id == row_id)
                c.execute(RELEASES.update().where(*same).values(taken_by=commit.build_id))
            add_taints(c, model, commit.taints, on_request=commit.on_request)
            bands = [{"band": band, "row_id": i} for i, found in commit.tombstone_bands.items() for band in found]
            _replace_all(c, TOMBSTONE_BANDS, {"model": model}, bands)
        after_write()

    def unpurged(self, model: str) -> list[tuple[str, dict[str, Any]]]:
        """Committed builds, with their manifests, whose removals have not been carried out yet."""
        query = sa.select(BUILDS.c.build_id, BUILDS.c.manifest).where(BUILDS.c.model == model)
        with self.reader.connect() as c:
            rows = c.execute(query.where(BUILDS.c.purged_at.is_(None)).order_by(BUILDS.c.sequence))
            return [tuple(row) for row in rows]

    def mark_purged(self, model: str, build_id: str) -> None:
        """Note that nothing of what a build removed is left."""
        same = (BUILDS.c.model == model, BUILDS.c.build_id == build_id)
        with self.engine.begin() as c:
            c.execute(BUILDS.update().where(*same).values(purged_at=datetime.now(UTC)))

    def snapshots(self, model: str) -> list[Snapshot]:
        """All snapshots of a model, oldest first."""
        query = sa.select(SNAPSHOTS).where(SNAPSHOTS.c.model == model).order_by(SNAPSHOTS.c.number)
        with self.reader.connect() as c:
            return [Snapshot(**row) for row in c.execute(query).mappings()]

    def snapshot(self, model: str, number: int) -> Snapshot:
        """One snapshot; a `UserError` when the ledger has none of that number."""
        for snapshot in self.snapshots(model):
            if snapshot.number == number:
                return snapshot
        raise UserError(f"{model} has no snapshot {number}; `snapshots {model}` lists them.")

    def manifest(self, model: str, build_id: str) -> dict[str, Any]:
        """What a committed build recorded of itself."""
        query = sa.select(BUILDS.c.manifest).where(BUILDS.c.model == model, BUILDS.c.build_id == build_id)
        with self.reader.connect() as c:
            return c.scalar(query)

    def manifests(self, model: str, last: int) -> list[dict[str, Any]]:
        """What the last builds recorded of themselves, newest first."""
        query = sa.select(BUILDS.c.manifest).where(BUILDS.c.model == model)
        with self.reader.connect() as c:
            return list(c.scalars(query.order_by(BUILDS.c.sequence.desc()).limit(last)))

    def model_of(self, run: str) -> str | None:
        """The model that a run belongs to, once a stage of it has ended; None for a run that nobody knows."""
        queries = [sa.select(table.c.model).where(table.c.run == run) for table in (REPORTS, FAILURES)]
        with self.reader.connect() as c:
            return c.scalar(sa.union(*queries))

    # --- what sources remember ---

    def validators(self, model: str, source: str) -> dict[str, Validator]:
        """Validators of a source by address."""
        columns = [VALIDATORS.c[name] for name in Validator._fields]
        query = sa.select(*columns).where(VALIDATORS.c.model == model, VALIDATORS.c.source == source)
        with self.reader.connect() as c, _nothing_to_collect():
            return {row[0]: Validator._make(row) for row in c.execute(query)}

    def items(self, model: str, source: str) -> list[tuple[str, str]]:
        """(address, item) of all that a source gave and still has, sorted."""
        query = sa.select(ITEMS.c.address, ITEMS.c.item).where(ITEMS.c.model == model, ITEMS.c.source == source)
        with self.reader.connect() as c, _nothing_to_collect():
            return sorted(map(tuple, c.execute(query)))  # rows compare ten times as slowly as tuples

    def sources(self, model: str) -> list[str]:
        """The sources that have items, sorted."""
        query = sa.select(ITEMS.c.source).where(ITEMS.c.model == model).distinct()
        with self.reader.connect() as c:
            return sorted(c.scalars(query))

    def outdated(self, model: str, source: str, rules: str) -> dict[tuple[str, str], str]:
        """The rules by (address, item) of what a source still has that went through others than these."""
        here = (ITEMS.c.model == model, ITEMS.c.source == source, ITEMS.c.rules != rules)
        query = sa.select(ITEMS.c.address, ITEMS.c.item, ITEMS.c.rules).where(*here)
        with self.reader.connect() as c:
            return {(address, item): through for address, item, through in c.execute(query)}

    def cursor(self, model: str, source: str) -> dict[str, Any]:
        """Where a source was left off; empty before its first night."""
        query = sa.select(CURSORS.c.cursor).where(CURSORS.c.model == model, CURSORS.c.source == source)
        with self.reader.connect() as c:
            return c.scalar(query) or {}

    def splits(self, model: str, groups: Iterable[str] | None = None) -> dict[str, str]:
        """The split of every group seen so far, or of these among them."""
        query = sa.select(SPLITS.c.group, SPLITS.c.split).where(SPLITS.c.model == model)
        with self.reader.connect() as c:
            if groups is None:
                return dict(c.execute(query).tuples().all())
            found: dict[str, str] = {}
            for some in _in_turns(groups):
                found |= dict(c.execute(query.where(SPLITS.c.group.in_(some))).tuples().all())
            return found

    def tombstones(self, model: str, reason: str = "", since: datetime | None = None) -> set[str]:
        """Ids of rows that were physically removed, or of those for one reason, or since a time."""
        query = sa.select(TOMBSTONES.c.row_id).where(TOMBSTONES.c.model == model)
        query = query.where(TOMBSTONES.c.reason == reason) if reason else query
        query = query.where(TOMBSTONES.c.at >= since) if since else query
        with self.reader.connect() as c:
            return set(c.scalars(query))

    # --- what a person released ---

    def release(self, model: str, rows: Mapping[str, Release], reason: str, by: str) -> None:
        """Note that a person lets held rows pass from the next night on."""
        with self.engine.begin() as c:
            for row_id, row in rows.items():
                values = row._asdict() | {"reason": reason, "by": by, "at": datetime.now(UTC)}
                _replace(c, RELEASES, {"model": model, "row_id": row_id}, values)

    def releases(self, model: str) -> dict[str, Release]:
        """Every row that a person ever released, by its id."""
        columns = [RELEASES.c[name] for name in Release._fields]
        with self.reader.connect() as c:
            rows = c.execute(sa.select(RELEASES.c.row_id, *columns).where(RELEASES.c.model == model))
            return {row_id: Release(*values) for row_id, *values in rows}

    def erased_with(self, model: str, bands: Iterable[str]) -> dict[str, set[str]]:
        """Which of these keyed bands each erased row had, of those that had any."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        query = sa.select(TOMBSTONE_BANDS.c.row_id, TOMBSTONE_BANDS.c.band).where(TOMBSTONE_BANDS.c.model == model)
        with self.reader.connect() as c:
            for some in _in_turns(bands):
                for row_id, band in c.execute(query.where(TOMBSTONE_BANDS.c.band.in_(some))):
                    found[row_id].add(band)
        return dict(found)

    # --- what stages say of themselves ---

    def report(self, model: str, run: str, report: StageReport) -> None:
        """Keep the report of a stage that succeeded; a stage run again replaces its own."""
        with self.engine.begin() as c:
            keys = {"model": model, "run": run, "stage": report.stage}
            c.execute(FAILURES.delete().where(*(FAILURES.c[k] == v for k, v in keys.items())))
            _replace(c, REPORTS, keys, {"report": asdict(report), "at": datetime.now(UTC)})

    def reports(self, model: str, run: str) -> list[StageReport]:
        """A run's stage reports in the order they were finished."""
        query = sa.select(REPORTS.c.report).where(REPORTS.c.model == model, REPORTS.c.run == run)
        with self.reader.connect() as c:
            return [StageReport(**r) for r in c.scalars(query.order_by(REPORTS.c.at))]

    def fail(self, model: str, run: str, stage: str, reason: str) -> None:
        """Keep why a stage failed."""
        with self.engine.begin() as c:
            keys = {"model": model, "run": run, "stage": stage}
            _replace(c, FAILURES, keys, {"reason": reason, "at": datetime.now(UTC)})

    def failures(self, model: str, run: str) -> dict[str, str]:
        """Why stages of a run failed and have not succeeded since, by stage, newest first."""
        query = sa.select(FAILURES).where(FAILURES.c.model == model, FAILURES.c.run == run)
        with self.reader.connect() as c:
            return {r["stage"]: r["reason"] for r in c.execute(query.order_by(FAILURES.c.at.desc())).mappings()}

    def advance(self, model: str, run: str, stage: str, done: int, total: int) -> None:
        """Note how far a stage has come."""
        with self.engine.begin() as c:
            keys = {"model": model, "run": run, "stage": stage}
            _replace(c, PROGRESS, keys, {"done": done, "total": total})

    def progress(self, model: str, run: str) -> dict[str, tuple[int, int]]:
        """How far each stage of a run has come: (done, total)."""
        query = sa.select(PROGRESS).where(PROGRESS.c.model == model, PROGRESS.c.run == run)
        with self.reader.connect() as c:
            return {r["stage"]: (r["done"], r["total"]) for r in c.execute(query).mappings()}

    # --- decisions, training, gates ---

    def decide(self, model: str, kind: str, run: str, outcome: str, reason: str, **detail: Any) -> None:
        """Record a decision with its reason; the same run deciding again replaces its own."""
        with self.engine.begin() as c:
            values = {"outcome": outcome, "reason": reason, "detail": detail, "at": datetime.now(UTC)}
            _replace(c, DECISIONS, {"model": model, "kind": kind, "run": run}, values)

    def decisions(self, model: str, kind: str, run: str | None = None) -> list[dict[str, Any]]:
        """Decisions of a kind (validation, accept, retrain, gate, promotion), newest first."""
        query = sa.select(DECISIONS).where(DECISIONS.c.model == model, DECISIONS.c.kind == kind)
        if run is not None:
            query = query.where(DECISIONS.c.run == run)
        with self.reader.connect() as c:
            return [dict(row) for row in c.execute(query.order_by(DECISIONS.c.at.desc())).mappings()]

    def moves(self, model: str) -> list[dict[str, Any]]:
        """The decisions by which another version became champion, newest first: the first is of the one that is."""
        made = self.decisions(model, "promotion")
        return [decision for decision in made if decision["outcome"] in (PROMOTED, ROLLED_BACK)]

    def record_training(self, run: str, training: TrainingRun) -> None:
        """Keep what a run trained."""
        with self.engine.begin() as c:
            values = {"snapshot": training.snapshot, "detail": asdict(training), "at": datetime.now(UTC)}
            _replace(c, TRAINING_RUNS, {"model": training.model, "run": run}, values)

    def training(self, model: str, run: str) -> TrainingRun | None:
        """What a run trained, if anything."""
        query = sa.select(TRAINING_RUNS.c.detail).where(TRAINING_RUNS.c.model == model, TRAINING_RUNS.c.run == run)
        with self.reader.connect() as c:
            detail = c.scalar(query)
        return TrainingRun(**detail) if detail else None

    def trainings(self, model: str) -> list[tuple[datetime, TrainingRun]]:
        """Trained adapters with their time, newest first."""
        query = sa.select(TRAINING_RUNS).where(TRAINING_RUNS.c.model == model)
        with self.reader.connect() as c:
            rows = c.execute(query.order_by(TRAINING_RUNS.c.at.desc())).mappings()
            return [(row["at"], TrainingRun(**row["detail"])) for row in rows]

    def ancestors(self, training: TrainingRun) -> list[TrainingRun]:
        """The trainings whose adapters a training goes back to, the nearest first."""
        runs = {made.run_id: made for _, made in self.trainings(training.model)} if training.started_from else {}
        found: list[TrainingRun] = []
        while (training := runs.get(training.started_from)) and training not in found:
            found.append(training)
        return found

    def record_gates(self, run: str, decision: GateDecision) -> None:
        """Keep every gate row of a candidate, passed or not, and the verdict."""
        refusing = [row.gate for row in failed(decision.rows)]
        reason = f"refused by {', '.join(refusing)}" if refusing else "every gate passed"
        with self.engine.begin() as c:
            c.execute(GATE_ROWS.delete().where(GATE_ROWS.c.model == decision.model, GATE_ROWS.c.run == run))
            for ordinal, row in enumerate(decision.rows):
                values = {"model": decision.model, "run": run, "gate": row.gate, "ordinal": ordinal}
                c.execute(GATE_ROWS.insert().values(**values, row=_without_nan(asdict(row))))
            keys = {"model": decision.model, "kind": "gate", "run": run}
            detail = {"run_id": decision.run_id, "version": decision.version}
            outcome = "passed" if decision.passed else "refused"
            now = datetime.now(UTC)
            _replace(c, DECISIONS, keys, {"outcome": outcome, "reason": reason, "detail": detail, "at": now})

    def gate_rows(self, model: str, run: str) -> list[GateRow]:
        """A candidate's gate rows in order."""
        query = sa.select(GATE_ROWS.c.row).where(GATE_ROWS.c.model == model, GATE_ROWS.c.run == run)
        with self.reader.connect() as c:
            rows = c.scalars(query.order_by(GATE_ROWS.c.ordinal))
            return [
                GateRow(**_of_any_release({k: math.nan if v is None else v for k, v in row.items()})) for row in rows
            ]

    def record_base(self, model: str, base_hash: str, path: str, config_hash: str, snapshot: int | None) -> None:
        """Keep which base models there are, and which snapshot taught the ones made here."""
        with self.engine.begin() as c:
            values = {"path": path, "config_hash": config_hash, "snapshot": snapshot, "at": datetime.now(UTC)}
            _replace(c, BASES, {"model": model, "base_hash": base_hash}, values)

    def bases(self, model: str) -> list[dict[str, Any]]:
        """Base models of a model, newest first."""
        query = sa.select(BASES).where(BASES.c.model == model).order_by(BASES.c.at.desc())
        with self.reader.connect() as c:
            return [dict(row) for row in c.execute(query).mappings()]


def open_ledger(default_folder: os.PathLike[str] | str) -> Ledger:
    """The ledger at SOVEREIGN_LEDGER, or a SQLite file in the state folder."""
    return Ledger(os.environ.get("SOVEREIGN_LEDGER") or f"sqlite:///{os.fspath(default_folder)}/ledger.db")


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Keeps Python from looking for garbage among rows that all live on, which takes as long as reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _in_turns(values: Iterable[str]) -> Iterator[list[str]]:
    """Values in lists that a statement can hold."""
    every = sorted(values)
    return (every[start : start + _ASKED_AT_ONCE] for start in range(0, len(every), _ASKED_AT_ONCE))


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN, and Postgres refuses it."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver would begin too late for a read to belong to its write
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 30000")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA secure_delete = ON")  # not every SQLite wipes what is deleted unless it is told to
    cursor.close()


def _begin_sqlite(c: sa.Connection) -> None:
    if c.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        c.exec_driver_sql("BEGIN IMMEDIATE")


def _replace(c: sa.Connection, table: sa.Table, keys: dict[str, Any], values: dict[str, Any]) -> None:
    """Update the row with these keys, or insert it."""
    same = [table.c[k] == v for k, v in keys.items()]
    changed = table.update().where(*same).values(**(values or keys))
    if not c.execute(changed).rowcount:
        c.execute(table.insert().values(**keys, **values))


def _replace_all(c: sa.Connection, table: sa.Table, same: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Put rows in place of those with their keys; `same` is part of every row."""
    rows = [same | row for row in rows]
    keys = [column.name for column in table.primary_key]
    rows = list({tuple(row[k] for k in keys): row for row in rows}.values())
    _delete_all(c, table, {}, rows)
    if rows:
        c.execute(table.insert(), rows)


def _delete_all(c: sa.Connection, table: sa.Table, same: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    keys = [column.name for column in table.primary_key]
    matching = sa.and_(*(table.c[k] == sa.bindparam(f"the_{k}") for k in keys))
    if rows:
        c.execute(table.delete().where(matching), [{f"the_{k}": (same | row)[k] for k in keys} for row in rows])


def _add_new_columns(engine: sa.Engine) -> None:
    """Columns that a ledger made by an earlier release lacks; each has a default for the rows there are."""
    there = sa.inspect(engine)
    for table in METADATA.sorted_tables:
        known = {column["name"] for column in there.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                spelt = sa.schema.CreateColumn(column).compile(engine)
                with engine.begin() as c:
                    c.execute(
                        sa.DDL(f"ALTER TABLE {engine.dialect.identifier_preparer.format_table(table)} ADD {spelt}")
                    )


def _of_any_release(row: dict[str, Any]) -> dict[str, Any]:
    """A gate row with its rule: before there were any, a bound below zero was a loss that is allowed."""
    return {"rule": "no_worse" if row["threshold"] < 0 else "better"} | row
