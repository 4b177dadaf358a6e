"""The Delta tables of a model, a build's staging files, and every path of the state folder.

Tables live under one root: SOVEREIGN_TABLES (a folder or an object store's address), or tables/ in the state
folder. Every row carries the build that wrote it, and readers name the builds they may see. What a night's
tasks hand to each other waits in staging until the build is published.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from sovereign_tasks.durable import after_write
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import Cleaned, Document, Example, Membership, RawItem, Rejection
from sovereign_tasks.sources import NAME

# What stays known of an item when its bytes are no longer kept.
CUSTODY = ("source", "kind", "address", "item", "headers", "digest", "fetched_at", "licence", "consent")
SCHEMAS = {
    "raw": RawItem.schema.insert(0, pa.field("doc_id", pa.string())),
    "custody": pa.schema([("doc_id", pa.string()), *(RawItem.schema.field(name) for name in CUSTODY)]),
    "cleaned": Cleaned.schema,
    "documents": Document.schema,
    "quarantine": Rejection.schema,
    "examples": Example.schema,
    "membership": Membership.schema,
}
# Statistics only of ids: Delta's log would otherwise keep the smallest and largest text of every file.
_ID_COLUMNS = {
    "raw": "build_id,doc_id,source",
    "custody": "build_id,doc_id,source",
    "cleaned": "build_id,doc_id,source",
    "documents": "build_id,doc_id,source",
    "quarantine": "build_id,row_id,reason",
    "examples": "build_id,example_id",
    "membership": "build_id,example_id",
}
_TRIES = 5
_SCANNED = 500  # rows at a time, of those that are large


def state_folder() -> Path:
    """Where this installation keeps everything: SOVEREIGN_STATE, or state/ below the working folder."""
    return Path(os.environ.get("SOVEREIGN_STATE", "state")).resolve()


def model_folder(model: str, *below: str) -> Path:
    """A folder of one model's local files (bases, runs, Data Docs), made if missing."""
    folder = state_folder().joinpath("models", model, *below)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UserError(f"{folder}: can't be made: {e.strerror}; free or name another state folder.") from None
    return folder


class Store:
    """The tables and staging of one model."""

    def __init__(self, model: str, root: str | None = None) -> None:
        root = root or os.environ.get("SOVEREIGN_TABLES") or str(state_folder() / "tables")
        self._root = f"{root.rstrip('/')}/{model}"
        if "://" in root:
            self._files, self._base = pafs.FileSystem.from_uri(self._root)
        else:
            self._files, self._base = pafs.LocalFileSystem(), self._root

    # --- tables ---

    def append(self, table: str, parts: Iterable[pa.Table], build_id: str) -> None:
        """Add a build's rows to a table, a part at a time; rows that an earlier try left there go first."""
        self._remove(table, "build_id", [build_id])
        schema = SCHEMAS[table].append(pa.field("build_id", pa.string()))
        parts = iter(parts)
        first = next((part for part in parts if part.num_rows), None)
        if first is None:
            return

        def batches() -> Iterator[pa.RecordBatch]:
            for part in itertools.chain([first], parts):
                named = part.append_column("build_id", pa.array([build_id] * part.num_rows, pa.string()))
                yield from named.select(schema.names).cast(schema).to_batches()

        settings = {
            "delta.dataSkippingStatsColumns": _ID_COLUMNS[table],
            "delta.logRetentionDuration": "interval 0 days",
        }
        rows = pa.RecordBatchReader.from_batches(schema, batches())
        with _full_disk_is_one_sentence(self._root):
            try:
                write_deltalake(self._path(table), rows, mode="append", schema_mode="merge", configuration=settings)
            except CommitFailedError as e:
                raise TransientError(f"The table {table} is being written by others; try again.") from e
        after_write()

    def read(self, table: str, builds: Sequence[str], columns: list[str] | None = None) -> pa.Table:
        """A table's rows of the given builds, in the builds' order; `columns` plus build_id and sequence.

        `sequence` is the position of the row's build in `builds`.
        """
        wanted = [*(columns or SCHEMAS[table].names), "build_id"]
        delta = self._open(table)
        if delta is None or not builds:
            empty = pa.schema([*(SCHEMAS[table].field(c) for c in wanted[:-1]), ("build_id", pa.string())])
            rows = empty.empty_table()
        else:
            # Filtered here and not while scanning: a table that had deletions has statistics of another string
            # type, which the scanner's filters refuse. Hardly any row belongs to an uncommitted build.
            rows = _of_builds(_all_columns(_files_of(delta, builds), wanted, table).to_table(), builds)
        return _in_order(rows, builds).sort_by("sequence")

    def scan(self, table: str, builds: Sequence[str], columns: list[str]) -> Iterator[pa.Table]:
        """As `read`, some rows at a time and in the order of the files, for rows that are large."""
        delta = self._open(table)
        if delta is None or not builds:
            return
        scanner = _all_columns(_files_of(delta, builds), [*columns, "build_id"], table, batch_size=_SCANNED)
        for batch in scanner.to_batches():
            yield _in_order(_of_builds(pa.Table.from_batches([batch]), builds), builds)

    def delete(self, table: str, column: str, ids: Iterable[str], *, but_reason: str = "") -> None:
        """Remove rows by id for good: from the table, from its older versions and from its log.

        Rows with the reason `but_reason` stay. Safe to call again: what a killed call had only marked as removed goes
        too.
        """
        self._remove(table, column, ids, f" AND reason <> '{_name(but_reason)}'" if but_reason else "")
        self._vacuum(table)

    def compact(self, at_least: int) -> int:
        """Write each table of so many files or more anew as fewer, larger ones; how many files that spared."""
        spared = 0
        for table in SCHEMAS:
            delta = self._open(table)
            if delta is not None and len(delta.file_uris()) >= at_least:
                done = _retry(delta.optimize.compact, table)
                spared += done["numFilesRemoved"] - done["numFilesAdded"]
                after_write()
            self._vacuum(table)
        return spared

    def drop_uncommitted(self, builds: Iterable[str]) -> None:
        """Remove for good what builds that were never committed left behind; `builds` are the committed ones."""
        known = set(builds)
        for table in SCHEMAS:
            self._clear_unfinished(table)
            delta = self._open(table)
            if delta is None:
                continue
            self.delete(table, "build_id", _builds_of(delta) - known)

    def expire(self, table: str, column: str, before: Mapping[str, datetime], otherwise: datetime) -> None:
        """Remove rows whose time in `column` is older for good: than their source's in `before`, or `otherwise`."""

        def older(then: datetime) -> str:
            return f"{column} < TIMESTAMP '{then.astimezone(UTC).isoformat(sep=' ', timespec='seconds')}'"

        named = [f"(source = '{_name(source)}' AND {older(then)})" for source, then in before.items()]
        others = "".join(f" AND source <> '{source}'" for source in before)
        self._mark(table, " OR ".join([*named, f"({older(otherwise)}{others})"]))
        self._vacuum(table)

    def _remove(self, table: str, column: str, ids: Iterable[str], where: str = "") -> None:
        if listed := ", ".join(f"'{_plain(i)}'" for i in sorted(ids)):
            self._mark(table, f"{column} IN ({listed}){where}")

    def _mark(self, table: str, predicate: str) -> None:
        """Mark rows as removed; their files stay until the table is vacuumed."""
        delta = self._open(table)
        if delta is not None and _retry(lambda: delta.delete(predicate), table)["num_deleted_rows"]:
            after_write()

    def _vacuum(self, table: str) -> None:
        """Remove the files that a table no longer has, whoever marked them: of a killed call nothing else tells."""
        delta = self._open(table)
        how = {"retention_hours": 0, "enforce_retention_duration": False, "full": True}
        if delta is None or not delta.vacuum(dry_run=True, **how):
            return
        delta.vacuum(dry_run=False, **how)
        delta.create_checkpoint()
        delta.cleanup_metadata()
        after_write()

    def _clear_unfinished(self, table: str) -> None:
        """Remove the files that a killed writer never named: vacuuming passes them over."""
        for found in self._files.get_file_info(pafs.FileSelector(f"{self._base}/{table}", allow_not_found=True)):
            if "#" in found.base_name:
                self._files.delete_file(found.path)

    def files(self) -> dict[str, int]:
        """The size of every file of the tables, by its path below the model's folder; what is being written is not one.

        Delta's hint at its last checkpoint is left out: it is written over, and holds nothing.
        """
        listed = [pafs.FileSelector(f"{self._base}/{table}", recursive=True, allow_not_found=True) for table in SCHEMAS]
        found = (info for one in listed for info in self._files.get_file_info(one) if info.type == pafs.FileType.File)
        sizes = {info.path.removeprefix(f"{self._base}/"): info.size for info in found if "#" not in info.base_name}
        return {path: size for path, size in sizes.items() if not path.endswith("_last_checkpoint")}

    def named_files(self) -> set[str]:
        """The data files that the tables' logs name, by their paths below the model's folder.

        Raises UserError for a log that can't be read.
        """
        found = set()
        for table in SCHEMAS:
            try:
                delta = self._open(table)
            except Exception as e:  # whatever a damaged log is met with
                raise UserError(
                    f"The log of the table {table} can't be read ({type(e).__name__}); restore it from a backup."
                ) from None
            if delta is not None:
                found |= {f"{table}/{unquote(path)}" for path in pa.table(delta.get_add_actions())["path"].to_pylist()}
        return found

    def hash_file(self, path: str) -> str:
        """The SHA-256 of a file of the tables."""
        digest = hashlib.sha256()
        with self._files.open_input_stream(f"{self._base}/{path}", compression=None) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def _path(self, table: str) -> str:
        return f"{self._root}/{table}"

    def _open(self, table: str) -> DeltaTable | None:
        try:
            return DeltaTable(self._path(table))
        except TableNotFoundError:
            return None

    # --- staging ---

    def stage(self, build_id: str, name: str, rows: pa.Table) -> None:
        """Hand rows to a later task of the same build, whole or not at all."""
        folder = f"{self._base}/staging/{build_id}"
        with _full_disk_is_one_sentence(folder):
            self._files.create_dir(folder, recursive=True)
            pq.write_table(rows, f"{folder}/{name}.tmp", filesystem=self._files)
            self._files.move(f"{folder}/{name}.tmp", f"{folder}/{name}.parquet")
        after_write()

    def staged(self, build_id: str, name: str, columns: list[str] | None = None) -> pa.Table:
        """What an earlier task of this build handed on; a `UserError` when it is no longer there."""
        try:
            path = f"{self._base}/staging/{build_id}/{name}.parquet"
            return pq.read_table(path, columns=columns, filesystem=self._files)
        except FileNotFoundError:
            raise UserError(f"The night {build_id} has no {name} left to go on from; start a new night.") from None

    def staged_names(self, build_id: str, prefix: str) -> list[str]:
        """The names under which this build has staged something, of those that begin with `prefix`, sorted."""
        folder = pafs.FileSelector(f"{self._base}/staging/{build_id}", allow_not_found=True)
        names = (info.base_name.removesuffix(".parquet") for info in self._files.get_file_info(folder))
        return sorted(name for name in names if name.startswith(prefix) and not name.endswith(".tmp"))

    def unstage(self, build_id: str, prefix: str) -> None:
        """Remove what a build has staged under names that begin with `prefix`."""
        for name in self.staged_names(build_id, prefix):
            self._files.delete_file(f"{self._base}/staging/{build_id}/{name}.parquet")

    def clear_staging(self) -> None:
        """Remove the staging of every build: the model's only night has ended, or is about to begin."""
        with contextlib.suppress(FileNotFoundError):
            self._files.delete_dir(f"{self._base}/staging")


def newest_rows(rows: pa.Table, key: str) -> pa.Table:
    """The last row of each key, in the order of the rows, which are in the order of their builds."""
    last = pa.table({key: rows[key], "row": np.arange(rows.num_rows)})
    return rows.take(last.group_by(key).aggregate([("row", "max")])["row_max"].combine_chunks().sort())


def _all_columns(rows: ds.Dataset, wanted: list[str], table: str, *, batch_size: int = 131_072) -> ds.Scanner:
    """A scanner of these columns; one that the table was made without is empty."""
    there = set(rows.schema.names)
    columns = {c: ds.field(c) if c in there else ds.scalar(_empty(SCHEMAS[table].field(c).type)) for c in wanted}
    return rows.scanner(columns=columns, batch_size=batch_size)


def _empty(column: pa.DataType) -> pa.Scalar:
    value = "" if pa.types.is_string(column) else [] if pa.types.is_list(column) else None
    return pa.scalar(value, column)


def _files_of(delta: DeltaTable, builds: Sequence[str]) -> ds.FileSystemDataset:
    """The files of a table that may hold rows of these builds, by the log's statistics."""
    every, wanted = delta.to_pyarrow_dataset(), sorted(builds)
    needed = set()
    for path, least, greatest in _build_ranges(delta):
        at = bisect.bisect_left(wanted, least) if least else 0
        if not least or not greatest or (at < len(wanted) and wanted[at] <= greatest):
            needed.add(unquote(path))
    fragments = [f for f in every.get_fragments() if f.path.lstrip("/") in needed]
    return ds.FileSystemDataset(fragments, every.schema, every.format, every.filesystem)


def _builds_of(delta: DeltaTable) -> set[str]:
    """The builds whose rows a table has; it is read only if one of its files may hold those of several."""
    ranges = {(least, greatest) for _, least, greatest in _build_ranges(delta)}
    if all(least and least == greatest for least, greatest in ranges):
        return {least for least, _ in ranges}
    return set(delta.to_pyarrow_dataset().to_table(columns=["build_id"])["build_id"].unique().to_pylist())


def _build_ranges(delta: DeltaTable) -> list[tuple[str, str | None, str | None]]:
    """Each file's path with the least and the greatest build in it, by the log's statistics; None where it has none."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    if "min.build_id" not in actions.column_names:
        return [(path, None, None) for path in actions["path"].to_pylist()]
    columns = (actions[name].to_pylist() for name in ("path", "min.build_id", "max.build_id"))
    return list(zip(*columns, strict=True))


def _of_builds(rows: pa.Table, builds: Sequence[str]) -> pa.Table:
    return rows.filter(pc.is_in(rows["build_id"], pa.array(list(builds), rows["build_id"].type)))


def _in_order(rows: pa.Table, builds: Sequence[str]) -> pa.Table:
    order = pa.array(list(builds), rows["build_id"].type)
    return rows.append_column("sequence", pc.index_in(rows["build_id"], order).cast(pa.int64()))


def _name(source: str) -> str:
    """A source's name that may stand in a predicate."""
    if not re.fullmatch(NAME, source):
        raise ValueError(f"not a name: {source!r}")
    return source


def _plain(identifier: str) -> str:
    """An id that may stand in a predicate: ours are hexadecimal, so anything else is a mistake."""
    if not re.fullmatch(r"[0-9a-f]+", identifier):
        raise ValueError(f"not an id: {identifier!r}")
    return identifier


def _retry(action, table: str):
    """Run a table change again while another writer gets in between."""
    for attempt in range(1, _TRIES + 1):
        try:
            return action()
        except CommitFailedError as e:
            if attempt == _TRIES:
                raise TransientError(f"The table {table} is being written by others; try again.") from e
    raise AssertionError


@contextlib.contextmanager
def _full_disk_is_one_sentence(where: str):
    try:
        yield
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise  # an object store that stumbles may heal by itself
        raise UserError(f"{where}: can't be written: {e}; free space or name another state folder.") from None
