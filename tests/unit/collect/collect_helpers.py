"""Small real servers for the collectors: what a path answers is set by the test, and what was asked is logged."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sovereign_tasks.records import Collected, SourceState, keyed_hash

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
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

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


EMPTY = SourceState({}, {}, [])


def reasons(got: Collected, source: str, rows: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Reasons by the name that `rows` gives an (address, item), since a rejection goes by a keyed hash alone."""
    names = {keyed_hash("document", source, *where): name for name, where in rows.items()}
    return {names[r.row_id]: r.reason for r in got.rejections}


def after(state: SourceState, got: Collected) -> SourceState:
    """What the ledger remembers once a night is committed."""
    gone = {(g.address, g.item) for g in got.gone}
    known = {(i.address, i.item) for i in got.items} | (set(state.known) - gone)
    validators = state.validators | {v.address: v for v in got.validators}
    return SourceState(validators, got.cursor, sorted(known))
