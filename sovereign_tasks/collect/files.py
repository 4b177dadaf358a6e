"""The owner's own documents below a folder: text, Markdown, HTML, PDF, Word, transcripts, tables of answers."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import Field

from sovereign_tasks.collect.folder import Folder, Found
from sovereign_tasks.collect.local import Broken, by_address
from sovereign_tasks.collect.night import Night
from sovereign_tasks.collect.table import SUFFIXES as TABLES
from sovereign_tasks.collect.table import read_among_documents
from sovereign_tasks.collect.tabular.reading import Reading
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
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".srt": "application/x-subrip",
    ".vtt": "text/vtt",
}


class FilesSource(SourceConfig):
    """Markdown, text, HTML, PDF, Word, subtitle and question-and-answer files below a folder."""

    kind: Literal["files"]
    profile: Profile = "document"
    folder: str = Field(min_length=1)
    """The folder: a path (relative ones start at the project's folder), or an object store's address (s3://...)."""
    max_bytes: int = Field(20_000_000, ge=1)
    """Bytes of one file at most."""


def collect(source: FilesSource, night: Night) -> dict[str, Any]:
    """Read the files that are new or changed; a file is one item, its address its path below the folder.

    A CSV or TSV file of questions and answers gives an item for each of these. A stamp (mtime and size) saves
    reading what is untouched, and the bytes' digest decides. Hidden files are passed over. `UserError` for a folder
    that is missing, or empty though documents came from it; what lies below one that can't be read stays.
    """
    folder = Folder(source, source.folder)
    files = list(folder.files())
    if night.state.known and not files:
        raise UserError(
            f"source {source.name}: folder {source.folder} is empty, though documents came from it; mount its disk or "
            "bring the files back. If all of them are to go, leave one empty .txt file there and accept the night that "
            "stops."
        )
    tables = Reading(night, by_address(night.state.known))
    after = night.state.cursor.get("after", "")  # where an earlier try of this night was cut off
    tables.beside = {"after": after}
    for done, found in enumerate(files, 1):
        if found.address > after:
            _read(source, night, folder, found, tables)
            tables.beside = {"after": found.address}
            night.checkpoint(tables.beside)
        night.progress(done, len(files))
    unread = tuple(f"{address}/" for address in folder.unread)
    there = {found.address for found in files}
    for address, item in night.state.known:
        if address not in there and not address.startswith(unread):
            night.vanish(address, item, "file is gone")
            night.remember(Validator(address, "", "", ""))
    return {}


def _read(source: FilesSource, night: Night, folder: Folder, found: Found, tables: Reading) -> None:
    address, suffix = found.address, PurePosixPath(found.address).suffix
    try:
        if media_type := _media_type(source, found, suffix):
            _take(night, folder, found, media_type)
        else:
            read_among_documents(tables, address, found.stamp, lambda: folder.read(found))
    except Broken as broken:
        tables.broken(address, found.stamp, broken.reason, broken.measured)
    except OSError as e:
        tables.broken(address, found.stamp, "unreadable", e.strerror or type(e).__name__)


def _media_type(source: FilesSource, found: Found, suffix: str) -> str:
    """What the file is read as, empty for a table; `Broken` for what is not read."""
    media_type, table = MEDIA_TYPES.get(suffix.lower(), ""), suffix.lower() in TABLES
    if found.fault:
        raise Broken(found.fault)
    if not media_type and not table:
        raise Broken("content_type", suffix if _SUFFIX.fullmatch(suffix) else "")
    if found.size > source.max_bytes:
        raise Broken("too_large", str(found.size))
    return media_type


def _take(night: Night, folder: Folder, found: Found, media_type: str) -> None:
    before = night.state.validators.get(found.address)
    if before and before.etag == found.stamp:
        night.asked()
        return night.count("not_modified")
    body = folder.read(found)
    digest = keyed_hash("body", body)
    night.asked()
    night.note(bytes=len(body))
    night.remember(Validator(found.address, found.stamp, "", digest))
    if before and before.digest == digest:
        return night.count("unchanged")
    return night.keep(found.address, body, media_type, created_at=found.changed_at)
