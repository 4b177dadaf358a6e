"""The owner's own documents: Markdown, text and HTML files below a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sovereign_tasks.collect.night import Night
from sovereign_tasks.config import PROJECT
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Validator, keyed_hash
from sovereign_tasks.sources import Profile, SourceConfig

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")  # what comes after a dot may also be words
MEDIA_TYPES = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".html": "text/html",
    ".htm": "text/html",
}


class FilesSource(SourceConfig):
    """Markdown, text and HTML files below a folder."""

    kind: Literal["files"]
    profile: Profile = "document"
    folder: str
    """The folder; relative paths start at the project's folder."""
    max_bytes: int = Field(20_000_000, ge=1)
    """Bytes of one file at most."""


def collect(source: FilesSource, night: Night) -> dict[str, Any]:
    """Read the files that are new or changed; a file is one item, its address its path below the folder.

    A stamp (mtime and size) saves reading what is untouched, and the bytes' digest decides. Hidden files are
    passed over. `UserError` for a folder that is missing.
    """
    folder = (PROJECT / source.folder).resolve()
    if not folder.is_dir():
        raise UserError(f"source {source.name}: folder {folder} does not exist; create it or correct the path.")
    paths = dict(sorted((path.relative_to(folder).as_posix(), path) for path in _visible(folder)))
    for done, (address, path) in enumerate(paths.items(), 1):
        night.asked()
        _read(source, night, folder, address, path)
        night.progress(done, len(paths))
        night.checkpoint({})
    for address, _ in night.state.known:
        if address not in paths:
            night.vanish(address, "", "file is gone")
    return {}


def _visible(folder: Path) -> Iterator[Path]:
    """All files below a folder but hidden ones; a linked folder is given, but not entered."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        linked = [f for f in folders if Path(parent, f).is_symlink()]
        yield from (Path(parent, name) for name in names + linked if not name.startswith("."))


def _read(source: FilesSource, night: Night, folder: Path, address: str, path: Path) -> None:
    media_type, before = MEDIA_TYPES.get(path.suffix.lower()), night.state.validators.get(address)
    try:
        if not path.resolve().is_relative_to(folder):
            return night.reject(address, "outside_folder")
        if not media_type:
            return night.reject(address, "content_type", path.suffix if _SUFFIX.fullmatch(path.suffix) else "")
        if not path.is_file():  # a pipe would block, a dangling link has nothing
            return night.reject(address, "unreadable")
        stat = path.stat()
        if stat.st_size > source.max_bytes:
            return night.reject(address, "too_large", str(stat.st_size))
        stamp = f"{stat.st_mtime_ns}-{stat.st_size}"
        if before and before.etag == stamp:
            return night.count("not_modified")
        body = path.read_bytes()
        body.decode("utf-8")
    except UnicodeDecodeError as e:
        return night.reject(address, "not_utf8", f"byte {e.start}")
    except OSError as e:
        return night.reject(address, "unreadable", e.strerror or type(e).__name__)
    digest = keyed_hash("body", body)
    night.note(bytes=len(body))
    night.remember(Validator(address, stamp, "", digest))
    if before and before.digest == digest:
        return night.count("unchanged")
    return night.keep(address, body, media_type)
