"""One loopback HTTP server for the site, the forum's API under /reddit, and a log of every request."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sovereign_tasks.demo import reddit_api, site
from sovereign_tasks.demo.limits import RateLimit

FORUM = "/reddit"
LARGEST_FORM = 64 * 1024


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "almanac", ""
    timeout = 30  # seconds of silence before a connection is closed
    wbufsize = -1  # one segment an answer: unbuffered, headers and body wait for each other's ACK

    def do_GET(self) -> None:
        self._answer({})

    def do_HEAD(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > LARGEST_FORM:
            self.close_connection = True
            self._send(413, b"form too large", {"Content-Type": "text/plain"})
            return
        self._answer(dict(parse_qsl(self.rfile.read(int(length)).decode("utf-8", "replace"))))

    def _answer(self, form: dict[str, str]) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        if path == "/healthz":
            self._send(200, b"ok\n", {"Content-Type": "text/plain"})
        elif path.startswith(f"{FORUM}/"):
            self._forum(path.removeprefix(FORUM), {**dict(parse_qsl(url.query)), **form})
        elif self.command == "POST":
            self._send(405, b"", {"Allow": "GET, HEAD"})
        else:
            self._page(path)

    def _forum(self, path: str, fields: dict[str, str]) -> None:
        allowed, limits = self.server.limit.call()
        headers = {"Content-Type": "application/json; charset=utf-8", **limits}
        if not allowed:
            self._send(429, b'{"message": "Too Many Requests", "error": 429}', headers)
            return
        scheme = "Basic " if path.endswith("/access_token") else "bearer "
        if not self.headers.get("Authorization", "").lower().startswith(scheme.lower()):
            self._send(401, b'{"message": "Unauthorized", "error": 401}', headers)
            return
        found = self.server.forum.answer(path, fields)
        if found is None:
            self._send(404, b'{"message": "Not Found", "error": 404}', headers)
        else:
            self._send(200, json.dumps(found).encode(), headers)

    def _page(self, path: str) -> None:
        page = self.server.resources.get(path)
        if page is None:
            self._send(404, b"<h1>Page not found</h1>", {"Content-Type": "text/html; charset=utf-8"})
        elif page.location:
            self._send(page.status, b"", {"Location": page.location})
        elif page.status != 200:
            self._send(page.status, page.body, {"Content-Type": page.content_type})
        else:
            stamp = email.utils.format_datetime(page.last_modified, usegmt=True)
            headers = {"ETag": page.etag, "Last-Modified": stamp}
            if self._has_it_already(page):
                self._send(304, b"", headers)
            else:
                self._send(200, page.body, {**headers, "Content-Type": page.content_type})

    def _has_it_already(self, page: site.Page) -> bool:
        """Whether the validators match; If-None-Match decides alone where given (RFC 9110, 13.2.2)."""
        tags = self.headers.get("If-None-Match")
        if tags is not None:
            return tags.strip() == "*" or page.etag in [tag.strip().removeprefix("W/") for tag in tags.split(",")]
        since = self.headers.get("If-Modified-Since")
        try:
            moment = email.utils.parsedate_to_datetime(since) if since else None
        except ValueError:
            return False  # a date that is none is ignored
        if moment is None:
            return False
        return page.last_modified <= (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string())
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")  # PRAW asks for it, yet reuses what isn't said to be closed
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = b"" if self.command == "HEAD" else body
        self.wfile.write(sent)
        self.server.log(self.command, self.headers.get("Host", ""), self.path, status, len(sent))

    def log_message(self, *args: Any) -> None:
        """The standard lines go nowhere: `_send` writes the log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, day: int, log_file: Path | None, forum: reddit_api.Api, limit: RateLimit) -> None:
        self.resources, self.log_file, self.forum, self.limit = site.resources(day), log_file, forum, limit
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def log(self, method: str, host: str, path: str, status: int, size: int) -> None:
        """One JSON object a line, so that whatever a client sends in stays escaped."""
        if self.log_file is None:
            return
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        row = {"time": now, "method": method, "host": host, "path": path, "status": status, "bytes": size}
        with self._lock, self.log_file.open("a", encoding="ascii") as out:
            out.write(json.dumps(row) + "\n")


class DemoServer:
    """The bundled domain on 127.0.0.1; a context manager. Port 0: a free one; OSError if it is taken.

    `forum` takes the bundled forum's place, and `limit` counts its calls; without one every call is allowed.
    """

    def __init__(
        self,
        day: int = 1,
        port: int = 0,
        log_file: Path | None = None,
        forum: reddit_api.Api | None = None,
        limit: RateLimit | None = None,
    ) -> None:
        self._server = _Server(port, day, log_file, forum or reddit_api.bundled(day), limit or RateLimit())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def forum_url(self) -> str:
        """PRAW's `reddit_url`; its `oauth_url` is the same with a slash at the end, since PRAW joins paths to it."""
        return f"{self.url}{FORUM}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> DemoServer:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
