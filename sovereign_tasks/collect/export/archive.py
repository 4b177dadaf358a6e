"""Members of a zip, a tar.gz or an unpacked folder by their names, read into memory and never extracted."""

from __future__ import annotations

import gzip
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sovereign_tasks.collect.local import Broken, visible

MAX_MEMBER = 500_000_000
_MAX_ALL = 2_000_000_000
_CHUNK = 1_000_000
_MAX_PASSED = 50_000_000_000


def wanted_files(path: Path, wanted: re.Pattern[str]) -> list[Path]:
    """The files whose times tell whether an archive changed: itself, or of a folder those that are wanted."""
    if not path.is_dir():
        return [path]
    return sorted(p for p in visible(path) if wanted.fullmatch(p.relative_to(path).as_posix()))


def read_members(path: Path, wanted: re.Pattern[str]) -> dict[str, bytes]:
    """The members whose whole name matches, by the match's group `name`; of several, the one nearest to the top.

    `Broken` for an archive that is no such thing, is cut short or encrypted, or holds more than can be read.
    """
    found: dict[str, tuple[int, bytes]] = {}
    total = 0
    try:
        for member, size, file in _members(path, wanted):
            name, depth = wanted.fullmatch(member)["name"], member.count("/")  # type: ignore[index]
            if name in found and found[name][0] <= depth:
                continue
            with file:
                body = file.read(MAX_MEMBER + 1)
            total += len(body)
            if len(body) > MAX_MEMBER or total > _MAX_ALL:
                raise Broken("too_large", f"{name} is larger than {MAX_MEMBER} bytes")
            if len(body) < size:
                raise Broken("truncated", name)
            found[name] = (depth, body)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
        NotImplementedError,
    ) as e:
        raise Broken("unreadable", str(e) or type(e).__name__) from None
    return {name: body for name, (_, body) in sorted(found.items())}


def _members(path: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, int, IO[bytes]]]:
    """The wanted members one by one: name, size it should have, stream."""
    if path.is_dir():
        root = path.resolve()
        for file in wanted_files(path, wanted):
            if file.is_file() and file.resolve().is_relative_to(root):
                yield file.relative_to(path).as_posix(), file.stat().st_size, file.open("rb")
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if wanted.fullmatch(info.filename):
                    yield info.filename, min(info.file_size, MAX_MEMBER), archive.open(info)
    else:
        # Members as they come: to know all names, all would be unpacked first.
        with gzip.open(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as stream:
            for member in stream:
                if member.offset_data > _MAX_PASSED:
                    raise Broken("too_large", f"more than {_MAX_PASSED} bytes")
                name = member.name.removeprefix("./")
                if member.isfile() and wanted.fullmatch(name) and (file := stream.extractfile(member)):
                    yield name, min(member.size, MAX_MEMBER), file
            while unpacked.read(_CHUNK):  # tarfile takes a cut for the end; gzip knows better
                pass
