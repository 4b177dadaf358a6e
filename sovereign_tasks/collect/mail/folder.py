"""Mail in files: mbox files, EML files and Maildirs below a folder.

An mbox that only grew is read from where the last night ended. One that was rewritten is gone through again, of
which the identity of messages makes no doubles.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, BinaryIO

from sovereign_tasks.collect.local import locate
from sovereign_tasks.collect.mail.mailbox import Found
from sovereign_tasks.collect.mail.tree import Tree, in_maildir, withheld
from sovereign_tasks.collect.night import Night
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

    editable, judged = True, False

    def __init__(self, source: MailSource, night: Night, places: Collection[str], again: bool) -> None:
        self.night, self.again = night, again
        self.root = locate(source.folder)
        self.address = f"mail:{self.root.name}"
        if not self.root.is_dir():
            raise UserError(f"source {source.name}: folder {self.root} does not exist; create it or correct the path.")
        self.files: dict[str, _File] = {}
        self.refused: set[str] = set()
        self.faulted: set[str] = set()
        self.resumed = "taken" in night.state.cursor  # then this night's files were already reported on
        tree = Tree(self.root)
        for name, path in sorted(tree.files()):
            try:
                self._refuse(name, path, self._open(name, path))
            except (OSError, RuntimeError) as e:  # also a link to itself
                self._fault(name, e)
        if "." in tree.failed:
            why = tree.failed["."].strerror
            raise UserError(
                f"source {source.name}: folder {self.root} can't be read ({why}); mend its permissions or disk."
            )
        for folder, why in tree.failed.items():
            self._fault(folder, why)
        if night.state.known and not (self.files or self.faulted or tree.maildirs):
            raise UserError(
                f"source {source.name}: folder {self.root} holds no mail any more; mount its disk or correct the path, "
                "or put an empty .mbox file there if what came from it is to be forgotten."
            )
        untouched = sum(f.start >= f.size for f in self.files.values())
        self._untouched(untouched)
        self.partial = bool(self.faulted)
        self.gone = {place for place in places if self._is_gone(place)}

    def messages(self) -> Iterator[Found]:
        """Messages from where each file was left, or from its begin, by file and offset."""
        for name, file in self.files.items():
            first = 0 if self.again else file.start
            if first >= file.size:
                continue
            try:
                with file.path.open("rb") as stream:
                    for offset, end, head in _split(stream, file, first):
                        file.ends[offset] = end
                        yield Found(f"{name}@{offset}", head, end - offset, offset < file.start)
            except OSError as e:
                raise self._stumble("can't be read to its end", e) from None

    def read(self, place: str) -> bytes | None:
        """A message's bytes as they were sent; `TransientError` for a file that is being rewritten."""
        name, offset = _parted(place)
        if self._is_faulted(name):
            return None
        file = self.files[name]
        try:
            with file.path.open("rb") as stream:
                if offset not in file.ends:
                    stream.seek(offset)
                    file.ends[offset] = next((end for _, end, _ in _split(stream, file, offset)), offset)
                stream.seek(offset)
                body = stream.read(file.ends[offset] - offset)
        except OSError as e:
            raise self._stumble("went away while it was read", e) from None
        return _QUOTED_FROM.sub(rb"\1", body.partition(b"\n")[2]) if file.mbox else body

    def _stumble(self, how: str, e: OSError) -> TransientError:
        """The error without the file's name, which may be somebody's."""
        return TransientError(f"source {self.night.source.name}: a file below {self.root} {how} ({e.strerror}).")

    def cursor(self, place: str | None) -> dict[str, Any]:
        """Remember how far each file was dealt with; there is nothing for a cursor."""
        upto, offset = _parted(place) if place else ("", 0)
        for name, file in self.files.items():
            end = max(file.start, file.ends[offset]) if place and name == upto else file.size
            before = self.night.state.validators.get(MARK + name)
            if end > file.start or before is None or before.etag != file.stamp:
                stamp = file.stamp if end == file.size else ""
                digest = file.digest(end) if file.mbox else ""
                self.night.remember(Validator(MARK + name, stamp, str(end), digest))
            if place and name == upto:
                break
        for known, before in self.night.state.validators.items():
            if known.startswith(MARK) and before.etag + before.last_modified:
                name = known.removeprefix(MARK)
                if not (name in self.files or name in self.refused or self._is_faulted(name)):
                    self.night.remember(Validator(known, "", "", ""))
        return {}

    def _refuse(self, name: str, path: Path, reason: tuple[str, str] | None) -> None:
        """Say once why a file is left out, until it is touched."""
        if not reason:
            return
        self.refused.add(name)
        stat = path.lstat()
        now = Validator(MARK + name, f"{stat.st_mtime_ns}-{stat.st_size}", "", reason[0])
        if self.night.state.validators.get(MARK + name) == now:
            self._untouched(1)
        else:
            self._reject(name, *reason)
            self.night.remember(now)

    def _fault(self, name: str, error: Exception) -> None:
        """Say each night what can't be read; what was found there stays."""
        self.files.pop(name, None)
        self.faulted.add(name)
        self._reject(name, "unreadable", getattr(error, "strerror", None) or type(error).__name__)

    def _reject(self, name: str, reason: str, measured: str) -> None:
        if not self.resumed:
            self.night.asked()
            self.night.reject(name, reason, measured)

    def _untouched(self, files: int) -> None:
        if files and not self.resumed:
            self.night.asked(files)
            self.night.count("not_modified", files)

    def _is_faulted(self, name: str) -> bool:
        """Whether a file, or a folder above it, can't be read."""
        return bool(self.faulted) and not self.faulted.isdisjoint([name, *map(str, PurePosixPath(name).parents)])

    def _open(self, name: str, path: Path) -> tuple[str, str] | None:
        """Find where to go on in a file; a reason where it is no mail or can't be read."""
        if not path.resolve().is_relative_to(self.root):
            return "outside_folder", ""
        if not S_ISREG(path.stat().st_mode):  # a link to nothing raises
            return "unreadable", ""
        if reason := withheld(path):
            return reason, ""
        with path.open("rb") as stream:
            begins = stream.read(5)
        mbox = begins == b"From " and path.suffix.lower() != ".eml"
        if not (mbox or path.suffix.lower() in (".eml", ".mbox") or in_maildir(path)):
            return "content_type", ""
        stat = path.stat()
        stamp = f"{stat.st_mtime_ns}-{stat.st_size}"
        file = _File(path, mbox, stamp, 0, stat.st_size, {}, 0, hashlib.sha256())
        before = self.night.state.validators.get(MARK + name)
        if before and before.etag == stamp and before.last_modified:
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
        return not self._is_faulted(name) and (name not in self.files or self.files[name].start <= offset)


def _parted(place: str) -> tuple[str, int]:
    name, _, offset = place.rpartition("@")
    return name, int(offset)


def _begins_message(path: Path, offset: int) -> bool:
    """Whether a file ends at an offset or a message begins there; else the one before had not been whole."""
    with path.open("rb") as stream:
        stream.seek(offset)
        return stream.read(5) in (b"", b"From ")


def _split(stream: BinaryIO, file: _File, offset: int) -> Iterator[tuple[int, int, bytes]]:
    """(offset, end, headers) of each message from an offset on; an EML file is one message.

    A separator is a From line after a blank one and before a header field, for bodies have lines like it.
    """
    if not file.mbox:
        yield 0, file.size, _head(stream)
        return
    at = begun = offset
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
