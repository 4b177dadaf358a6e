"""The files of a folder: one on this machine, or one of an object store by its address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from sovereign_tasks.collect.local import locate, plain, visible
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.sources import SourceConfig


@dataclass(frozen=True, slots=True)
class Found:
    """A file by its path below the folder; `fault` says why it can't be one of the source's documents."""

    address: str
    path: str
    size: int
    stamp: str
    fault: str = ""

    @property
    def changed_at(self) -> datetime | None:
        """When the file was last written, which its stamp begins with; None for a time that no calendar has."""
        try:
            return datetime.fromtimestamp(int(self.stamp.partition("-")[0]) // 10**9, UTC)
        except (ValueError, OverflowError, OSError):
            return None


class Folder:
    """A folder's visible files; `UserError` if it is missing, `TransientError` if its store does not answer.

    `unread` are the folders below it that could not be read, once its files were listed.
    """

    def __init__(self, source: SourceConfig, where: str) -> None:
        self._name, self._where = source.name, where
        self.unread: list[str] = []
        self._local = None if "://" in where else locate(where)
        if self._local and not self._local.is_dir():
            raise UserError(
                f"source {source.name}: folder {self._local} does not exist; create it or correct the path."
            )
        if not self._local:
            try:
                self._store, self._root = fs.FileSystem.from_uri(where)
            except (ValueError, pa.ArrowException) as e:
                raise UserError(
                    f"source {source.name}: folder: {where!r} is no object store's address ({e})."
                ) from None

    def files(self) -> Iterator[Found]:
        """All files in the order of their addresses."""
        found = self._local_files(self._local) if self._local else self._stored_files()
        return iter(sorted(map(_named, found), key=lambda f: f.address))

    def read(self, found: Found) -> bytes:
        """A file's bytes; an `OSError` where they can't be had."""
        if self._local:
            return Path(found.path).read_bytes()
        with self._store.open_input_file(found.path) as file:
            return file.readall()

    def _local_files(self, folder: Path) -> Iterator[Found]:
        failed: list[OSError] = []
        for path in visible(folder, failed.append):
            address = path.relative_to(folder).as_posix()
            try:
                if not path.resolve().is_relative_to(folder):
                    yield Found(address, "", 0, "", "outside_folder")
                elif not path.is_file():  # a pipe would block, a dangling link has nothing
                    yield Found(address, "", 0, "", "unreadable")
                else:
                    stat = path.stat()
                    yield Found(address, str(path), stat.st_size, f"{stat.st_mtime_ns}-{stat.st_size}")
            except (OSError, RuntimeError):  # RuntimeError: links in a ring
                yield Found(address, "", 0, "", "unreadable")
        for error in failed:
            address = Path(error.filename).relative_to(folder).as_posix()
            if address == ".":
                raise UserError(
                    f"source {self._name}: folder {folder} can't be read ({error.strerror}); make it readable."
                )
            self.unread.append(address)
            yield Found(address, "", 0, "", "unreadable")

    def _stored_files(self) -> Iterator[Found]:
        try:
            infos = self._store.get_file_info(fs.FileSelector(self._root, recursive=True))
        except FileNotFoundError:
            raise UserError(
                f"source {self._name}: folder {self._where} does not exist; create it or correct the address."
            ) from None
        except OSError as e:
            raise TransientError(
                f"source {self._name}: folder {self._where} can't be listed ({type(e).__name__})."
            ) from None
        for info in infos:
            address = info.path.removeprefix(self._root).lstrip("/")
            if info.is_file and not any(part.startswith(".") for part in address.split("/")):
                yield Found(address, info.path, info.size, f"{info.mtime_ns}-{info.size}")


def _named(found: Found) -> Found:
    """A file under an address that can be kept; one whose name is no plain text is none of the source's documents."""
    address = plain(found.address)
    return found if address == found.address else replace(found, address=address, fault="file_name")
