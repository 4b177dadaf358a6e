"""Asking servers politely and safely: one address, one answer, everything about it capped.

Robots rules, rate, size and time are held here, and a redirect is an answer like any other, so whoever
follows one asks again through the same checks.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from urllib3 import Retry
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader, MaxRetryError, ReadTimeoutError

from sovereign_tasks import __version__
from sovereign_tasks.collect.canonical import canonical, origin
from sovereign_tasks.collect.connect import BlockedAddress, CheckedAdapter
from sovereign_tasks.collect.robots import MAX_BYTES as ROBOTS_BYTES
from sovereign_tasks.collect.robots import Rules, answered, unreachable
from sovereign_tasks.records import Validator

AGENT = "Sovereign"
MAX_REDIRECTS = 5
_TYPE = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,80}")
_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 503)
_TRIES = 3
_LONGEST_WAIT = 60
_LONGEST_CRAWL_DELAY = 300.0
_DEAD_AFTER = 5
_CHUNK = 65536


class Refused(Exception):
    """An address that gave nothing: a reason code, what was measured, and whether it may heal by itself."""

    def __init__(self, reason: str, measured: str = "", transient: bool = False) -> None:
        super().__init__(reason, measured)
        self.reason, self.measured, self.transient = reason, measured, transient


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: `target` is where a redirect leads, canonical; the body is empty unless 200."""

    address: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    target: str


def user_agent(contact: str) -> str:
    """The name given to every server, with where its operator can be reached."""
    return f"{AGENT}/{__version__}" + (f" (+{contact.strip()})" if contact.strip() else "")


class Fetcher:
    """Asks addresses one after the other; `requests` and `bytes` count what it cost.

    `rate` is in requests a second to one host, `timeout` in seconds for one answer with its body, and
    `max_bytes` counts after decompression. `clock` and `sleep` are seconds of one monotonic clock.
    """

    def __init__(
        self,
        contact: str,
        *,
        rate: float,
        max_bytes: int,
        timeout: float,
        connect_to: dict[str, str],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.requests = self.bytes = 0
        self._pause, self._max_bytes, self._timeout = 1 / rate, max_bytes, timeout
        self._clock, self._sleep = clock, sleep
        self._rules: dict[str, Rules] = {}
        self._next: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        # Connections are tried twice here; busy servers are waited for below, where time is counted.
        self._retry = Retry(
            total=1, status=0, respect_retry_after_header=False, retry_after_max=_LONGEST_WAIT, backoff_factor=0
        )
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no .netrc
        self._session.headers["User-Agent"] = user_agent(contact)
        adapter = CheckedAdapter(connect_to, self._retry)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def rules(self, address: str) -> Rules:
        """The robots rules of an address's origin, asked for once (RFC 9309)."""
        root = origin(address)
        if root not in self._rules:
            self._rules[root] = self._ask_rules(root)
        return self._rules[root]

    def ask(
        self,
        address: str,
        validator: Validator | None = None,
        types: tuple[str, ...] = (),
        max_bytes: int | None = None,
    ) -> Answer:
        """Ask one address, conditionally with a validator; `Refused` if it may not be asked or fails.

        `types` are the content types to accept, all if empty. Redirects are not followed.
        """
        rules = self.rules(address)
        if rules.failed:
            raise Refused(rules.reason, rules.failed, transient=rules.reason != "blocked_address")
        if not rules.allowed(address):
            raise Refused("robots")
        if rules.delay > _LONGEST_CRAWL_DELAY:
            raise Refused("robots", f"crawl-delay {rules.delay:g}")
        headers = {}
        if validator and validator.etag:
            headers["If-None-Match"] = validator.etag
        if validator and validator.last_modified:
            headers["If-Modified-Since"] = validator.last_modified
        return self._request(address, headers, max_bytes or self._max_bytes, types, rules.delay)

    def _ask_rules(self, root: str) -> Rules:
        address: str = f"{root}/robots.txt"
        try:
            for _ in range(MAX_REDIRECTS + 1):
                answer = self._request(address, {}, ROBOTS_BYTES, truncate=True)
                if not answer.target:
                    return answered(answer.status, answer.body, AGENT)
                address = answer.target
        except Refused as e:
            return unreachable(e.reason, e.measured or e.reason)
        return answered(404, b"", AGENT)

    def _request(
        self,
        address: str,
        headers: dict[str, str],
        max_bytes: int,
        types: tuple[str, ...] = (),
        delay: float = 0.0,
        truncate: bool = False,
    ) -> Answer:
        host = urlsplit(address).netloc
        if self._failures.get(host, 0) >= _DEAD_AFTER:
            raise Refused("unreachable", f"{_DEAD_AFTER} failures in a row before", transient=True)
        with self._failures_of(host):
            for left in reversed(range(_TRIES)):
                self._wait(host, max(self._pause, delay))
                deadline = self._clock() + self._timeout
                response = self._session.get(
                    address, headers=headers, timeout=self._timeout, stream=True, allow_redirects=False
                )
                with response:
                    self.requests += 1
                    if response.status_code in _BUSY and left:
                        self._sleep(self._busy_seconds(response))
                        continue
                    return self._answer(address, response, deadline, max_bytes, types, truncate)
        raise AssertionError("the last try answers or raises")

    @contextmanager
    def _failures_of(self, host: str) -> Iterator[None]:
        """Say what went wrong in reason codes, and count failures in a row."""
        try:
            yield
        except BlockedAddress as e:
            raise Refused("blocked_address", str(e)) from None
        except (requests.RequestException, HTTPError, OSError) as e:
            self._failures[host] = self._failures.get(host, 0) + 1
            raise _explain(e) from None
        except Refused as e:
            self._failures[host] = self._failures.get(host, 0) + 1 if e.reason == "timeout" else 0
            raise
        self._failures[host] = 0

    def _wait(self, host: str, pause: float) -> None:
        now = self._clock()
        due = max(self._next.get(host, now), now)
        if due > now:
            self._sleep(due - now)
        self._next[host] = due + pause

    def _busy_seconds(self, response: requests.Response) -> float:
        try:
            asked = self._retry.get_retry_after(response.raw)
        except InvalidHeader:
            asked = None
        return 1.0 if asked is None else asked

    def _answer(
        self,
        address: str,
        response: requests.Response,
        deadline: float,
        max_bytes: int,
        types: tuple[str, ...],
        truncate: bool,
    ) -> Answer:
        status, headers = response.status_code, CaseInsensitiveDict(response.headers)
        target, body = "", b""
        if status in _REDIRECTS:
            target = canonical(headers.get("Location", ""), address) or ""
            if not target or not headers.get("Location"):
                raise Refused("http_error", f"{status} without a usable Location")
        elif status == 200:
            kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if types and kind not in types:
                raise Refused("content_type", kind if _TYPE.fullmatch(kind) else "none")
            body = self._read(response, deadline, max_bytes, truncate)
        return Answer(address, status, headers, body, target)

    def _read(self, response: requests.Response, deadline: float, max_bytes: int, truncate: bool) -> bytes:
        """The decompressed body; by small reads, so that neither a bomb nor a slow drip gets past."""
        parts, size = [], 0
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            parts.append(chunk)
            size += len(chunk)
            self.bytes += len(chunk)
            if size > max_bytes:
                if truncate:
                    break
                raise Refused("too_large", f"over {max_bytes} bytes")
            if self._clock() > deadline:
                raise Refused("timeout", f"over {self._timeout:g} s", transient=True)
        else:
            response.raw.release_conn()
        return b"".join(parts)[:max_bytes]


def _explain(error: Exception) -> Refused:
    cause = error.args[0] if error.args else error
    cause = getattr(cause, "reason", None) if isinstance(cause, MaxRetryError) else cause
    if isinstance(error, requests.Timeout | ReadTimeoutError) or isinstance(cause, ReadTimeoutError):
        return Refused("timeout", transient=True)
    if isinstance(error, DecodeError):
        return Refused("http_error", "content encoding")
    if isinstance(error, requests.exceptions.InvalidURL):
        return Refused("bad_address")
    return Refused("unreachable", type(cause).__name__, transient=True)
