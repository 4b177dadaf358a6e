"""Small real servers for the collectors: what a path answers is set by the test, and what was asked is logged."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sovereign_tasks.collect import collect
from sovereign_tasks.records import Collected, Gone, RawItem, Rejection, SourceState, Validator, document_id
from sovereign_tasks.sources import SourceConfig

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOST = "www.site.example"
ROOT = f"http://{HOST}"


@dataclass
class Reply:
    """One answer; with `etag`, a matching If-None-Match is answered 304."""

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    etag: bool = False
    modified: str = ""


@dataclass
class Asked:
    path: str
    status: int
    headers: dict[str, str]


class Server:
    """A site of `replies` by path; a reply may be a function of the handler that writes for itself."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply | Callable[[BaseHTTPRequestHandler], Reply | None]] = {}
        self.otherwise: Callable[[BaseHTTPRequestHandler], Reply] = lambda _: Reply(status=404)
        self.asked: list[Asked] = []
        self.peers: list[tuple[str, int]] = []  # one per connection
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                server.peers.append(self.client_address)

            def do_GET(self) -> None:
                reply = server.replies.get(self.path, server.otherwise)
                if callable(reply):
                    reply = reply(self)
                if reply is None:
                    server.asked.append(Asked(self.path, 200, dict(self.headers)))
                    return
                body = reply.body.encode() if isinstance(reply.body, str) else reply.body
                headers = {"Content-Type": "text/html"} | reply.headers
                status = reply.status
                if reply.etag:
                    headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:12]}"'
                    status = 304 if self.headers.get("If-None-Match") == headers["ETag"] else status
                if reply.modified:
                    headers["Last-Modified"] = reply.modified
                    status = 304 if self.headers.get("If-Modified-Since") == reply.modified else status
                body = b"" if status == 304 else body
                server.asked.append(Asked(self.path, status, dict(self.headers)))
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def statuses(self, path: str) -> list[int]:
        return [a.status for a in self.asked if a.path == path]


class Clock:
    """Time that passes only while something sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


EMPTY = SourceState({}, {}, [])


@dataclass
class Gathered:
    """A whole collection: its parts put together."""

    parts: list[Collected]

    def _all(self, name: str) -> list[Any]:
        return [one for part in self.parts for one in getattr(part, name)]

    @property
    def items(self) -> list[RawItem]:
        return sorted(self._all("items"), key=lambda i: (i.address, i.item))

    @property
    def gone(self) -> list[Gone]:
        return self._all("gone")

    @property
    def validators(self) -> list[Validator]:
        return self._all("validators")

    @property
    def rejections(self) -> list[Rejection]:
        return self._all("rejections")

    @property
    def cursor(self) -> dict[str, Any]:
        return self.parts[-1].cursor

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def reasons(self) -> dict[str, int]:
        return dict(sum((Counter(part.reasons) for part in self.parts), Counter()))

    @property
    def notes(self) -> dict[str, Any]:
        return dict(sum((Counter(part.notes) for part in self.parts), Counter()))


def run(
    source: SourceConfig, state: SourceState = EMPTY, *, contact: str = "me@x.example", stop_after: int | None = None
) -> Gathered:
    """Collect from a source; with `stop_after`, cut off once that many parts are durable."""
    parts: list[Collected] = []

    def hand_on(part: Collected) -> None:
        if len(parts) == stop_after:
            raise CutOff
        parts.append(part)

    with contextlib.suppress(CutOff):
        collect(source, state, contact=contact, now=NOW, hand_on=hand_on)
    return Gathered(parts)


class CutOff(BaseException):
    """A collection is ended from outside, as a kill would; no collector may catch it."""


def reasons(got: Gathered, source: str, rows: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Reasons by the name that `rows` gives an (address, item), since a rejection goes by a keyed hash alone."""
    names = {document_id(source, *where): name for name, where in rows.items()}
    return {names[r.row_id]: r.reason for r in got.rejections}


def after(state: SourceState, got: Gathered) -> SourceState:
    """What the ledger remembers once a night is committed, or a retry goes on from."""
    for part in got.parts:
        found, gone = ([(one.address, one.item) for one in rows] for rows in (part.items, part.gone))
        state = replace(state.after(found, gone, part.validators), cursor=part.cursor)
    return state
