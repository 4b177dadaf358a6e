"""A Hugging Face dataset folder: rows in Parquet parts by split, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example

COLUMNS = pa.schema(
    [
        *(Example.schema.field(name) for name in ("messages", "kind")),
        *((name, pa.string()) for name in ("label", "source", "licence", "consent", "language")),
        *(Example.schema.field(name) for name in ("dated", "doc_ids", "example_id")),
    ]
)
PART_ROWS = 50_000
_UNUSABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR),
    *(errno.EBUSY, errno.ENOTEMPTY, errno.EEXIST, errno.ENAMETOOLONG),
)
_GROUP_ROWS = 5_000  # held in memory per split


@dataclass(frozen=True, slots=True)
class File:
    """A Parquet file of a folder: its path there, rows, size in bytes and SHA-256."""

    path: str
    rows: int
    size: int
    sha256: str


class Parts:
    """Writes a split's rows to data/, a part at a time; the names tell how many parts there are, so they come last."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder / "data", split
        self._waiting: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[int] = []

    def write(self, rows: pa.Table) -> None:
        """Add rows with COLUMNS."""
        self._waiting.append(rows.select(COLUMNS.names).cast(COLUMNS))
        if sum(table.num_rows for table in self._waiting) >= _GROUP_ROWS:
            self._flush()

    def close(self) -> list[File]:
        """Finish the last part and give all of them their names; none where there were no rows."""
        self._flush()
        self._end_part()
        files = []
        for number, rows in enumerate(self._rows):
            path = self._folder / f"{self._split}-{number:05}-of-{len(self._rows):05}.parquet"
            self._part(number).rename(path)
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            files.append(File(f"data/{path.name}", rows, path.stat().st_size, digest))
        return files

    def abandon(self) -> None:
        """Let go of an open file."""
        self._end_part()

    def _flush(self) -> None:
        waiting, self._waiting = pa.concat_tables([COLUMNS.empty_table(), *self._waiting]), []
        while waiting.num_rows:
            if self._writer is None:
                self._folder.mkdir(exist_ok=True)
                self._writer = pq.ParquetWriter(self._part(len(self._rows)), COLUMNS)
                self._rows.append(0)
            fits = waiting.slice(0, PART_ROWS - self._rows[-1])
            self._writer.write_table(fits)
            self._rows[-1] += fits.num_rows
            waiting = waiting.slice(fits.num_rows)
            if self._rows[-1] == PART_ROWS:
                self._end_part()

    def _end_part(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _part(self, number: int) -> Path:
        return self._folder / f"{self._split}.{number}"


def unfinished(folder: Path) -> Path:
    """Where a folder is written until it is whole; what a killed writer left lies there too."""
    return folder.with_name(f".{folder.name}.unfinished")


def check_free(folder: Path) -> None:
    """See that a folder can be made here, or is there and empty."""
    with _told(folder):
        if os.path.ismount(folder):
            raise UserError(f"{folder}: is a mount point, whose place no folder can take; name a new folder inside it.")
        if folder.is_dir() and not any(folder.iterdir()):
            return
        if folder.exists() or folder.is_symlink():
            raise UserError(f"{folder}: is there already and not an empty folder; name another, or remove it first.")


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """A folder beside the wanted one to write to; it takes the name once the body has ended well."""
    check_free(folder)
    with _told(folder):
        temporary = unfinished(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        try:
            yield temporary
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Say in a sentence why a folder can't be made, where another one could."""
    try:
        yield
    except OSError as e:
        if e.errno not in _UNUSABLE:
            raise
        raise UserError(f"{folder}: can't be written: {e.strerror}; name another folder.") from None
