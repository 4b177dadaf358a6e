"""Walks a folder and says which needles it keeps, and where."""

from __future__ import annotations

import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tests.leaks.containers import opener
from tests.leaks.needles import Needles

CHUNK, OVERLAP = 1 << 20, 1 << 13
DEEPEST = 8
_DEFLATED = re.compile(rb"x[\x01\x5e\x9c\xda]")


@dataclass(frozen=True, order=True)
class Hit:
    """A needle, the file below the folder, and the table and column or the way into the file."""

    needle: str
    path: str
    where: str


@dataclass
class Scan:
    """What was found how often, and what could not be taken apart, by path and way, with the error."""

    hits: Counter[Hit] = field(default_factory=Counter)
    unread: dict[tuple[str, str], str] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0


def scan(folder: Path, needles: Needles) -> Scan:
    """Look through everything below a folder, names included; links are not followed.

    Every file is searched as it lies, and what can be taken apart also part by part. Memory is bounded by the
    largest single value of a table.
    """
    return _Scanner(folder, needles).run()


class _Scanner:
    def __init__(self, folder: Path, needles: Needles) -> None:
        self._folder, self._needles, self._scan = folder, needles, Scan()

    def run(self) -> Scan:
        for path in sorted(self._folder.rglob("*")):
            self._path = path.relative_to(self._folder).as_posix()
            self._note(self._path.encode("utf-8", "surrogateescape"), "name")
            if path.is_symlink():
                self._note(str(path.readlink()).encode("utf-8", "surrogateescape"), "link")
            elif path.is_file():
                self._scan.files += 1
                self._scan.bytes += path.stat().st_size
                with path.open("rb") as file:
                    self._look(file, "", 0)
        return self._scan

    def _look(self, file: BinaryIO, where: str, depth: int) -> None:
        """Search a file as it lies, then take it apart."""
        head = b""
        for number, chunk in enumerate(_chunks(file)):
            head = head if number else chunk[:512]
            self._note(chunk, where)
            for kind, inner in self._packed(chunk):
                self._deeper(io.BytesIO(inner), where, kind, depth)
        take = opener(head)
        if take is None:
            return
        file.seek(0)
        try:
            for name, part in take(file):
                self._deeper(part, where, name, depth)
        except Exception as e:  # whatever a broken file does to its reader
            self._scan.unread[self._path, where] = f"{type(e).__name__}: {e}"

    def _deeper(self, part: BinaryIO, where: str, name: str, depth: int) -> None:
        if depth < DEEPEST:
            self._look(part, f"{where} > {name}".removeprefix(" > "), depth + 1)
        else:
            self._scan.unread[self._path, where] = "lies too deep"

    def _packed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """What is encoded or compressed in the middle of something else."""
        yield from ((kind, inner) for kind, inner in self._needles.encoded(chunk) if inner)
        for match in _DEFLATED.finditer(chunk, 1):
            try:
                inner = zlib.decompressobj().decompress(chunk[match.start() :], CHUNK)
            except zlib.error:
                continue
            if len(inner) > 8:
                yield "zlib", inner

    def _note(self, data: bytes, where: str) -> None:
        for needle in self._needles.find(data):
            self._scan.hits[Hit(needle, self._path, where or "bytes")] += 1


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """A file's bytes in chunks that overlap, so that nothing is cut in two."""
    tail = b""
    while block := file.read(CHUNK):
        yield tail + block
        tail = block[-OVERLAP:]
