"""Mail in files: mbox files, EML files and Maildirs below a folder.

An mbox that only grew is read from where the last night ended. One that was rewritten is gone through again, of
which the identity of messages makes no doubles.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sovereign_tasks.collect.mail.mailbox import Found
from sovereign_tasks.collect.night import Night
from sovereign_tasks.config import PROJECT
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import Validator, keyed_hash

if TYPE_CHECKING:
    from sovereign_tasks.collect.mail import MailSource

MARK = "file "  # a message's id has no space in it
_LINE = 65_536
_MOST_HEAD = 262_144
_BLOCK = 1 << 20
_SEPARATOR = re.compile(rb"From (?:-?\s*|\S.*\d\d:\d\d.*)$")
_FIELD = re.compile(rb"[!-9;-~]{1,200}:")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


@dataclass(slots=True)
class _File:
    """A file and how much of it was dealt with; `ends` gives where the messages that begin at an offset end."""

    path: Path
    mbox: bool
    stamp: str
    start: int
    size: int
    ends: dict[int, int]
    hashed: int
    hasher: Any

    def digest(self, end: int) -> str:
        """The keyed hash of the first `end` bytes; asked for ever larger ends, it reads each byte once."""
        with self.path.open("rb") as file:
            file.seek(self.hashed)
            while self.hashed < end and (block := file.read(min(_BLOCK, end - self.hashed))):
                self.hasher.update(block)
                self.hashed += len(block)
        return keyed_hash("mbox", self.hasher.digest())


class Folder:
    """The mail files below a folder as a `Mailbox`; a place is a file's path and an offset."""

    editable = True

    def __init__(self, source: MailSource, night: Night, places: Collection[str]) -> None:
        self.night = night
        self.root = (PROJECT / source.folder).resolve()
        self.address = f"mail:{self.root.name}"
        if not self.root.is_dir():
            raise UserError(f"source {source.name}: folder {self.root} does not exist; create it or correct the path.")
        self.files: dict[str, _File] = {}
        resumed = "taken" in night.state.cursor  # then this night's files were already reported on
        for name, path in sorted(_mail_files(self.root)):
            try:
                fault = self._open(name, path)
            except (OSError, RuntimeError) as e:  # also a link to itself
                fault = ("unreadable", getattr(e, "strerror", None) or type(e).__name__)
            if fault and not resumed:
                night.asked()
                night.reject(name, *fault)
        untouched = sum(f.start >= f.size for f in self.files.values())
        if untouched and not resumed:
            night.asked(untouched)
            night.count("not_modified", untouched)
        self.gone = {place for place in places if self._is_gone(place)}

    def messages(self) -> Iterator[Found]:
        """Messages from where each file was left, by file and offset."""
        for name, file in self.files.items():
            if file.start >= file.size:
                continue
            with file.path.open("rb") as stream:
                for offset, end, head in _split(stream, file):
                    file.ends[offset] = end
                    yield Found(f"{name}@{offset}", head, end - offset)

    def read(self, place: str) -> bytes | None:
        """A message's bytes as they were sent; `TransientError` for a file that is being rewritten."""
        name, offset = _parted(place)
        file = self.files[name]
        try:
            with file.path.open("rb") as stream:
                if offset not in file.ends:
                    stream.seek(offset)
                    file.ends[offset] = next((end for _, end, _ in _split(stream, file, offset)), offset)
                stream.seek(offset)
                body = stream.read(file.ends[offset] - offset)
        except OSError as e:
            raise TransientError(f"{file.path}: went away while it was read ({e.strerror}).") from None
        return _QUOTED_FROM.sub(rb"\1", body.partition(b"\n")[2]) if file.mbox else body

    def cursor(self, place: str | None) -> dict[str, Any]:
        """Remember how far each file was dealt with; there is nothing for a cursor."""
        upto, offset = _parted(place) if place else ("", 0)
        for name, file in self.files.items():
            end = file.ends[offset] if place and name == upto else file.size
            before = self.night.state.validators.get(MARK + name)
            if end > file.start or before is None or before.etag != file.stamp:
                stamp = file.stamp if end == file.size else ""
                digest = file.digest(end) if file.mbox else ""
                self.night.remember(Validator(MARK + name, stamp, str(end), digest))
            if place and name == upto:
                break
        for known in self.night.state.validators:
            if known.startswith(MARK) and known.removeprefix(MARK) not in self.files:
                self.night.remember(Validator(known, "", "", ""))
        return {}

    def _open(self, name: str, path: Path) -> tuple[str, str] | None:
        """Find where to go on in a file; a reason where it is no mail or can't be read."""
        if not path.resolve().is_relative_to(self.root):
            return "outside_folder", ""
        if not path.is_file():
            return "unreadable", ""
        with path.open("rb") as stream:
            begins = stream.read(5)
        mbox = begins == b"From " and path.suffix.lower() != ".eml"
        if not (mbox or path.suffix.lower() in (".eml", ".mbox") or _in_maildir(path)):
            return "content_type", ""
        stat = path.stat()
        stamp = f"{stat.st_mtime_ns}-{stat.st_size}"
        file = _File(path, mbox, stamp, 0, stat.st_size, {}, 0, hashlib.sha256())
        before = self.night.state.validators.get(MARK + name)
        if before and before.etag == stamp:
            file.start = file.size
        elif before and mbox and before.last_modified:
            end = int(before.last_modified)
            if end <= file.size and file.digest(end) == before.digest and _begins_message(path, end):
                file.start = end
            else:
                file.hashed, file.hasher = 0, hashlib.sha256()
        if path.suffix.lower() == ".mbox" and not mbox and file.size:
            return "unreadable", "no mbox"
        self.files[name] = file
        return None

    def _is_gone(self, place: str) -> bool:
        name, offset = _parted(place)
        return name not in self.files or self.files[name].start <= offset


def _parted(place: str) -> tuple[str, int]:
    name, _, offset = place.rpartition("@")
    return name, int(offset)


def _in_maildir(path: Path) -> bool:
    return path.parent.name in ("cur", "new") and (path.parent.parent / "cur").is_dir()


def _mail_files(root: Path) -> Iterator[tuple[str, Path]]:
    """(lasting name, path) of the visible files; one in a Maildir goes by its name without its flags."""
    for parent, folders, names in os.walk(root):
        here = Path(parent)
        maildir = "cur" in folders and "new" in folders
        folders[:] = ["cur", "new"] if maildir else [f for f in folders if not f.startswith(".")]
        for name in () if maildir else names:
            if name.startswith("."):
                continue
            path = here / name
            stands = here.parent / re.split(r"[:!;]2,", name)[0] if _in_maildir(path) else path
            yield os.fsencode(stands.relative_to(root)).decode("utf-8", "backslashreplace"), path


def _begins_message(path: Path, offset: int) -> bool:
    """Whether a file ends at an offset or a message begins there; else the one before had not been whole."""
    with path.open("rb") as stream:
        stream.seek(offset)
        return stream.read(5) in (b"", b"From ")


def _split(stream: BinaryIO, file: _File, offset: int | None = None) -> Iterator[tuple[int, int, bytes]]:
    """(offset, end, headers) of each message from an offset on; an EML file is one message.

    A separator is a From line after a blank one and before a header field, for bodies have lines like it.
    """
    if not file.mbox:
        yield 0, file.size, _head(stream)
        return
    at = begun = file.start if offset is None else offset
    stream.seek(at)
    head: list[bytes] = []
    length, in_head, blank = 0, True, True
    line = stream.readline(_LINE)
    while line and at < file.size:
        following = stream.readline(_LINE)
        if blank and at > begun and _SEPARATOR.match(line) and _FIELD.match(following):
            yield begun, at, b"".join(head)
            begun, head, length, in_head = at, [], 0, True
        elif in_head and at > begun:
            in_head = bool(line.strip()) and length < _MOST_HEAD
            head.append(line)
            length += len(line)
        blank = not line.strip(b"\r\n")
        at += len(line)
        line = following
    if at > begun:
        yield begun, at, b"".join(head)


def _head(stream: BinaryIO) -> bytes:
    lines, length = [], 0
    while (line := stream.readline(_LINE)).strip() and length < _MOST_HEAD:
        lines.append(line)
        length += len(line)
    return b"".join(lines)
