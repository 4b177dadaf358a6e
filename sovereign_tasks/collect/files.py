"""The owner's own documents: Markdown, text and HTML files below a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from sovereign_tasks.collect.tally import Tally
from sovereign_tasks.config import PROJECT, FilesSource
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Collected, RawItem, SourceState, Validator, keyed_hash

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")  # what comes after a dot may also be words
MEDIA_TYPES = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".html": "text/html",
    ".htm": "text/html",
}


def collect(
    source: FilesSource,
    state: SourceState,
    *,
    contact: str,
    now: datetime,
    progress: Callable[[int, int], None],
) -> Collected:
    """Read the files that are new or changed; a file is one item, its address its path below the folder.

    A stamp (mtime and size) saves reading what is untouched, and the bytes' digest decides. Hidden files are
    passed over. `UserError` for a folder that is missing.
    """
    folder = (PROJECT / source.folder).resolve()
    if not folder.is_dir():
        raise UserError(f"source {source.name}: folder {folder} does not exist; create it or correct the path.")
    tally = Tally(source.name)
    known = {address for address, _ in state.known}
    paths = dict(sorted((path.relative_to(folder).as_posix(), path) for path in _visible(folder)))
    tally.rows = len(paths)
    read = 0
    for done, (address, path) in enumerate(paths.items(), 1):
        before = state.validators.get(address)
        read += _read(source, tally, folder, address, path, before, now)
        progress(done, len(paths))
    for address in sorted(known - set(paths)):
        tally.vanish(address, "", "file is gone")
    return tally.collected({}, {"bytes": read})


def _visible(folder: Path) -> Iterator[Path]:
    """All files below a folder but hidden ones; a linked folder is given, but not entered."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        linked = [f for f in folders if Path(parent, f).is_symlink()]
        yield from (Path(parent, name) for name in names + linked if not name.startswith("."))


def _read(
    source: FilesSource,
    tally: Tally,
    folder: Path,
    address: str,
    path: Path,
    before: Validator | None,
    now: datetime,
) -> int:
    """Read one file into the tally; the bytes read."""
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    try:
        if not path.resolve().is_relative_to(folder):
            tally.reject(address, "outside_folder")
            return 0
        if not media_type:
            tally.reject(address, "content_type", path.suffix if _SUFFIX.fullmatch(path.suffix) else "")
            return 0
        if not path.is_file():  # a pipe would block, a dangling link has nothing
            tally.reject(address, "unreadable")
            return 0
        stat = path.stat()
        if stat.st_size > source.max_bytes:
            tally.reject(address, "too_large", str(stat.st_size))
            return 0
        stamp = f"{stat.st_mtime_ns}-{stat.st_size}"
        if before and before.etag == stamp:
            tally.reasons["not_modified"] += 1
            return 0
        body = path.read_bytes()
        body.decode("utf-8")
    except UnicodeDecodeError as e:
        tally.reject(address, "not_utf8", f"byte {e.start}")
        return 0
    except OSError as e:
        tally.reject(address, "unreadable", e.strerror or type(e).__name__)
        return 0
    digest = keyed_hash("body", body)
    tally.remember(Validator(address, stamp, "", digest))
    if before and before.digest == digest:
        tally.reasons["unchanged"] += 1
        return len(body)
    tally.items.append(
        RawItem(
            source=source.name,
            kind=source.kind,
            address=address,
            item="",
            group=address,
            parent="",
            body=body,
            media_type=media_type,
            headers="{}",
            title="",
            author="",
            score=None,
            created_at=None,
            fetched_at=now,
            licence=source.licence,
            consent=source.consent,
        )
    )
    return len(body)
