"""Asking servers politely and safely: one address, one answer, everything about it capped.

Robots rules, rate, size and time are held here, and a redirect is an answer like any other, so whoever
follows one asks again through the same checks.
"""

from __future__ import annotations

import string
import threading
import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import quote, urlsplit

import requests
from urllib3 import Retry
from urllib3.exceptions import HTTPError, InvalidHeader

from sovereign_tasks import __version__
from sovereign_tasks.collect.fetch.answer import Answer, read_answer
from sovereign_tasks.collect.fetch.canonical import origin
from sovereign_tasks.collect.fetch.connect import BlockedAddress, CheckedAdapter, within
from sovereign_tasks.collect.fetch.faults import HOST_FAULTS, Refused, explain
from sovereign_tasks.collect.fetch.pace import Hosts
from sovereign_tasks.collect.fetch.robots import MAX_BYTES as ROBOTS_BYTES
from sovereign_tasks.collect.fetch.robots import Rules, answered, unreachable
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Validator

__all__ = ["AGENT", "MAX_REDIRECTS", "Answer", "Fetcher", "Refused", "user_agent"]

AGENT = "Sovereign"
MAX_REDIRECTS = 5
_BUSY = (429, 503)
_TRIES = 3
_LONGEST_BUSY = 150
_DAY = 86_400
_LONGEST_CRAWL_DELAY = 300.0


NO_CONTACT = (
    "contact in config/platform.yaml is empty; name an address or a page there, by which a site's owner can reach you."
)


def user_agent(contact: str) -> str:
    """The name given to every server, with where its operator can be reached, in what a header may hold."""
    readable = "".join(c for c in " ".join(contact.split()) if c.isprintable())
    return f"{AGENT}/{__version__}" + (f" (+{quote(readable, safe=string.punctuation + ' ')})" if readable else "")


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: to find the next request, requests would read a redirect's body whole, however much it unpacks to."""


class Fetcher:
    """Asks addresses, from any number of threads at once.

    `requests` answered and `bytes` of their bodies, before decompression, count what it cost. `rate` is in
    requests a second to one host, `connections` how many of them may be under way at once, `timeout` in seconds for
    one answer with its body, and `max_bytes` counts after decompression. `clock` and `sleep` are seconds of one
    monotonic clock, which the pauses keep to. A host that asks to be left in peace for longer than can be waited
    for is not asked again. Cookies are never kept.
    """

    def __init__(
        self,
        contact: str,
        *,
        rate: float,
        max_bytes: int,
        timeout: float,
        connect_to: dict[str, str],
        connections: int = 1,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.requests, self.bytes, self.clock = 0, 0, clock
        self._introduced, self._own_hosts = bool(contact.strip()), {host.lower() for host in connect_to}
        self._pause, self._max_bytes, self._timeout = 1 / rate, max_bytes, timeout
        self._hosts = Hosts(connections, clock, sleep)
        self._lock = threading.Lock()  # for the counts and the dictionaries, never held while waiting
        self._gates: dict[str, threading.Lock] = {}
        self._rules: dict[str, Rules] = {}
        # Nothing is tried again down there: every try waits for its host's turn.
        self._retry = Retry(total=0, respect_retry_after_header=False, retry_after_max=_DAY)
        self._session = _Session()
        self._session.trust_env = False  # no proxy, no .netrc
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers["User-Agent"] = user_agent(contact)
        adapter = CheckedAdapter(connect_to, self._retry, connections)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def rules(self, address: str) -> Rules:
        """The robots rules of an address's origin, asked for once (RFC 9309).

        `UserError` where a stranger's server would be asked without a word of who asks.
        """
        if not self._introduced and urlsplit(address).hostname not in self._own_hosts:
            raise UserError(f"{urlsplit(address).hostname} is not in connect_to, and {NO_CONTACT}")
        root = origin(address)
        with self._lock:
            gate = self._gates.setdefault(root, threading.Lock())
        with gate:
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

        `types` are the content types to accept, all if empty. Redirects are not followed. This waits for the host's
        turn, and for a busy server up to a cap.
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
        host = self._hosts[urlsplit(address).netloc]
        with host.slot:
            began = self.clock()
            for left in reversed(range(_TRIES)):
                host.wait(max(self._pause, delay))
                if host.left_alone:
                    raise Refused("unreachable", host.left_alone, transient=True)
                try:
                    answer = self._once(address, headers, max_bytes, types, truncate)
                except Refused as e:
                    if e.reason == "unreachable" and left == _TRIES - 1:
                        continue  # a connection that failed is tried once more
                    if e.reason != "blocked_address":
                        host.note(failed=e.reason in HOST_FAULTS)
                    raise
                if answer.status in _BUSY:
                    seconds = self._busy_seconds(answer.headers.get("Retry-After", ""))
                    if seconds > _LONGEST_BUSY:
                        host.leave(f"Retry-After {seconds:.0f} s before")
                    else:
                        host.rest(seconds)
                    if left and self.clock() - began + seconds <= _LONGEST_BUSY:
                        continue
                host.note(failed=answer.status in _BUSY or answer.status >= 500)
                return answer
        raise AssertionError("the last try answers or raises")

    def _busy_seconds(self, asked: str) -> float:
        try:
            return self._retry.parse_retry_after(asked)
        except (InvalidHeader, ValueError, OverflowError):
            return 1.0

    def _once(
        self, address: str, headers: dict[str, str], max_bytes: int, types: tuple[str, ...], truncate: bool
    ) -> Answer:
        try:
            with (
                within(self._timeout),
                self._session.get(
                    address, headers=headers, timeout=self._timeout, stream=True, allow_redirects=False
                ) as response,
            ):
                try:
                    return read_answer(address, response, types, max_bytes, truncate)
                finally:
                    with self._lock:
                        self.requests += 1
                        self.bytes += response.raw.tell()
        except BlockedAddress as e:
            raise Refused("blocked_address", str(e)) from None
        except (requests.RequestException, HTTPError, OSError) as e:
            raise explain(e, self._timeout) from None
