"""Web archives: the newest capture of each page in WARC files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from warcio.archiveiterator import ArchiveIterator
from warcio.bufferedreaders import BufferedReader
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecord

from sovereign_tasks.collect.fetch.canonical import canonical, site
from sovereign_tasks.collect.local import Broken, matching, settings_of, stamp
from sovereign_tasks.collect.night import Night
from sovereign_tasks.records import Validator, keyed_hash
from sovereign_tasks.sources import SourceConfig
from sovereign_tasks.strict_yaml import patterns

SUFFIXES = (".warc", ".warc.gz")
TEXT_TYPES = ("text/html", "application/xhtml+xml", "text/plain", "text/markdown")
_GONE = ("404", "410")
_ENCODINGS = ("identity", *(name for name in BufferedReader.DECOMPRESSORS if name in ("gzip", "deflate", "br")))


class WarcSource(SourceConfig):
    """Pages captured in WARC files."""

    kind: Literal["warc"]
    path: str = Field(min_length=1)
    """A file, a folder, or a pattern such as crawl/*.warc.gz; relative paths start at the project's folder."""
    hosts: list[str] = Field([])
    """Hosts to take pages of, with or without www.; all where it is left out."""
    include: list[str] = Field([])
    """Regular expressions of paths to take; all where it is left out."""
    exclude: list[str] = Field([])
    """Regular expressions of paths to leave out."""
    max_pages: int = Field(5_000, ge=1)
    """Pages per night at most; the next night goes on from there."""
    max_bytes: int = Field(5_000_000, ge=1_000)
    """Bytes of one page after decompression at most."""

    _patterns = field_validator("include", "exclude")(patterns)


class Capture(NamedTuple):
    """Where a capture of a page lies, in an order in which the newest is the largest."""

    date: str
    file: str
    offset: int
    gone: bool


def collect(source: WarcSource, night: Night) -> dict[str, Any]:
    """Take the newest capture of each page of the files that are new or changed; a page is one item.

    A page whose newest capture answers 404 or 410 is gone. A page stays when the file it came from is no more:
    archives are moved away when they are full, and a page that is to go can be excluded. A file that ends badly
    is rejected with its name, and what it holds up to there is taken.
    """
    return _Visit(source, night).run()


class _Visit:
    def __init__(self, source: WarcSource, night: Night) -> None:
        self.source, self.night = source, night
        self.files = matching(source, source.path, SUFFIXES)
        self.hosts = {host.lower().removeprefix("www.") for host in source.hosts}
        self.include = [re.compile(pattern) for pattern in source.include]
        self.exclude = [re.compile(pattern) for pattern in source.exclude]
        self.live = {address for address, _ in night.state.known}
        cursor = night.state.cursor
        self.place: dict[str, Any] = cursor.get("place", {})
        self.cut_off = "left" in cursor
        self.left: int = cursor.get("left", source.max_pages)
        self.newest: dict[str, Capture] = {}
        self.passed: dict[str, Counter[str]] = {}
        self.faults: dict[str, Broken] = {}

    def run(self) -> dict[str, Any]:
        for address in sorted(self.live):
            if not self._wanted(address):
                self.night.vanish(address, "", "excluded")
        settings = settings_of(self.source, "path", "max_pages")
        stamps = {name: stamp(path, settings=settings) for name, path in self._pending(settings)}
        read: list[str] = []
        for name in stamps:
            read.append(name)
            self._index(name)
            if sum(self._is_new(address, capture) for address, capture in self.newest.items()) >= self.left:
                break  # no page of the files behind would have room tonight
        chosen: dict[str, list[tuple[str, Capture]]] = {name: [] for name in read}
        for address, capture in sorted(self.newest.items(), key=lambda c: (c[1].file, c[1].offset)):
            chosen[capture.file].append((address, capture))
        for done, name in enumerate(read, 1):
            if not self._file(name, stamps[name], chosen[name]):
                return {"place": self.place}
            self.night.progress(done, len(stamps))
        self._settle(len(read) == len(stamps))
        return {}

    def _pending(self, settings: str) -> Iterator[tuple[str, Path]]:
        """The files that were touched since; all, if a page is wanted anew."""
        validators = self.night.state.validators
        complete = all((v := validators.get(address)) and v.digest for address in self.live)
        for name, path in self.files.items():
            before = validators.get(name)
            if self.cut_off and name < self.place.get("file", ""):
                continue
            if complete and before and before.etag == stamp(path, settings=settings):
                self.night.asked()
                self.night.count("not_modified")
            else:
                yield name, path

    def _index(self, name: str) -> None:
        """Find the newest capture of each page without keeping a body."""
        passed = self.passed[name] = Counter()
        try:
            with self.files[name].open("rb") as file:
                for record, offset in _records(file):
                    if record.rec_type == "revisit":
                        passed["revisit"] += 1
                    if record.rec_type != "response":
                        continue
                    address = canonical(record.rec_headers.get_header("WARC-Target-URI") or "")
                    if reason := self._unwanted(address, record):
                        passed[reason] += 1
                        continue
                    gone = record.http_headers.get_statuscode() in _GONE
                    capture = Capture(_date(record), name, offset, gone)
                    passed["older_capture"] += address in self.newest
                    self.newest[address] = max(capture, self.newest.get(address, capture))
        except Broken as broken:
            self.faults[name] = broken
        except OSError as e:
            self.faults[name] = Broken("unreadable", e.strerror or type(e).__name__)

    def _unwanted(self, address: str | None, record: ArcWarcRecord) -> str:
        if not address or not record.http_headers:
            return "no_page"
        status = record.http_headers.get_statuscode()
        if status not in ("200", *_GONE):
            return f"http_{status}"
        kind = (record.http_headers.get_header("Content-Type") or "").partition(";")[0].strip().lower()
        if status == "200" and kind not in TEXT_TYPES:
            return "content_type"
        return "" if self._wanted(address) else "excluded"

    def _wanted(self, address: str) -> bool:
        path = urlsplit(address).path
        return (
            (not self.hosts or site(address) in self.hosts)
            and (not self.include or any(p.search(path) for p in self.include))
            and not any(p.search(path) for p in self.exclude)
        )

    def _is_new(self, address: str, capture: Capture) -> bool:
        before = self.night.state.validators.get(address)
        return not (before and before.digest) or capture.date > before.etag

    def _file(self, name: str, stamped: str, chosen: list[tuple[str, Capture]]) -> bool:
        """Take a file's captures that were chosen; false where the night has no more room."""
        place = self.place if (self.place.get("file"), self.place.get("stamp")) == (name, stamped) else {}
        with self.files[name].open("rb") as file:
            for address, capture in chosen:
                if capture.offset <= place.get("offset", -1):
                    continue
                if self.left == 0:
                    return False
                if self._is_new(address, capture):
                    self._take(file, address, capture)
                    self.left -= 1
                else:
                    self.passed[name]["not_newer"] += 1
                self.place = {"file": name, "stamp": stamped, "offset": capture.offset}
                self.night.checkpoint({"place": self.place, "left": self.left})
        for reason, rows in sorted(self.passed[name].items()):
            self.night.asked(rows)
            self.night.count(reason, rows)
        if name in self.faults:
            self.night.asked()
            self.night.reject(name, self.faults[name].reason, self.faults[name].measured)
        else:
            self.night.remember(Validator(name, stamped, "", ""))
        return True

    def _take(self, file: IO[bytes], address: str, capture: Capture) -> None:
        self.night.asked()
        before = self.night.state.validators.get(address)
        if capture.gone:
            if address in self.live:
                self.night.vanish(address, "", "http 404 or 410")
            self.night.remember(Validator(address, capture.date, "", "gone"))
            return self.night.count("gone")
        file.seek(capture.offset)
        record = next(iter(ArchiveIterator(file)))
        if (record.http_headers.get_header("Content-Encoding") or "identity").lower() not in _ENCODINGS:
            return self._refuse(address, capture, "content_encoding", "")  # warcio would give it as it is
        try:
            body = record.content_stream().read(self.source.max_bytes + 1)
        except Exception as e:  # whatever a capture can do to a decoder, the other pages go on
            return self._refuse(address, capture, "unreadable", type(e).__name__)
        if len(body) > self.source.max_bytes:
            return self._refuse(address, capture, "too_large", f"more than {self.source.max_bytes}")
        digest = keyed_hash("body", body)
        self.night.note(bytes=len(body))
        self.night.remember(Validator(address, capture.date, "", digest))
        if before and before.digest == digest:
            return self.night.count("unchanged")
        kind = record.http_headers.get_header("Content-Type")
        return self.night.keep(address, body, kind, headers={"content-type": kind, "captured": capture.date})

    def _refuse(self, address: str, capture: Capture, reason: str, measured: str) -> None:
        """Leave a page's newest capture out; an older one of another file does not take its place."""
        self.night.remember(Validator(address, capture.date, "", reason))
        self.night.reject(address, reason, measured)

    def _settle(self, whole: bool) -> None:
        """A page that is wanted anew and in no file any more is not looked for every night."""
        for address in self.live - self.newest.keys() if whole and not self.faults else ():
            before = self.night.state.validators.get(address)
            if not (before and before.digest):
                self.night.remember(Validator(address, "", "", "absent"))


def _records(file: IO[bytes]) -> Iterator[tuple[ArcWarcRecord, int]]:
    """The records and where they begin, each read to its end; `Broken` where the file ends within one."""
    records = ArchiveIterator(file)
    try:
        for record in records:
            offset = records.get_record_offset()
            if record.raw_stream.limit > 0:
                raise Broken("truncated", f"record at byte {offset}")
            yield record, offset
    except (ArchiveLoadFailed, EOFError, ValueError) as e:
        if "non-chunked" in str(e):
            raise Broken("not_seekable", "one gzip block over all records; warcio recompress mends it") from None
        raise Broken("unreadable", f"after byte {file.tell()}") from None


def _date(record: ArcWarcRecord) -> str:
    """When a capture was made, in UTC and spelt one way; the beginning of time where it does not say."""
    try:
        said = datetime.fromisoformat(record.rec_headers.get_header("WARC-Date") or "")
    except ValueError:
        said = datetime.fromtimestamp(0, UTC)
    return (said if said.tzinfo else said.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="microseconds")
