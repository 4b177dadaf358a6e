"""Crawling a site night after night: what is known is asked again conditionally, what is new is found."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from itertools import zip_longest
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from sovereign_tasks.collect import page, sitemap
from sovereign_tasks.collect.canonical import canonical, origin, site
from sovereign_tasks.collect.http import MAX_REDIRECTS, Answer, Fetcher, Refused
from sovereign_tasks.collect.night import Night
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import Validator, keyed_hash
from sovereign_tasks.sources import SourceConfig

PAGE_TYPES = ("text/html", "application/xhtml+xml", "text/plain", "text/markdown")
_KEPT_HEADERS = ("content-language", "content-type")
_MOST_WAITING = 10_000


class WebSource(SourceConfig):
    """Pages reached from start addresses and sitemaps, within the start addresses' hosts."""

    kind: Literal["web"]
    start: list[str] = Field(min_length=1)
    """Addresses to begin at; only their hosts are crawled."""
    exclude: list[str] = Field([])
    """Regular expressions of paths to leave out."""
    max_pages: int = Field(500, ge=1)
    """Pages per night at most."""
    max_depth: int = Field(6, ge=0)
    """Links to follow from a start address at most."""
    requests_per_second: float = Field(1.0, gt=0)
    """Requests a second to one host at most."""
    max_bytes: int = Field(5_000_000, ge=1_000)
    """Bytes of one page after decompression at most."""
    timeout_seconds: float = Field(20.0, gt=0)
    """Time for one page, redirects and body included."""
    connect_to: dict[str, str] = Field({})
    """Host to address:port, an explicit allowance to fetch that host from a private address."""

    @field_validator("start")
    @classmethod
    def _http_addresses(cls, start: list[str]) -> list[str]:
        for address in start:
            if not re.match(r"https?://[^/\s]+", address):
                raise ValueError(f"{address!r} is not an http or https address")
        return start

    @field_validator("exclude")
    @classmethod
    def _patterns(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as e:
                raise ValueError(f"{pattern!r} is not a regular expression: {e}") from None
        return patterns


def collect(source: WebSource, night: Night) -> dict[str, Any]:
    """Crawl a site within its start addresses' hosts; a whole page is one item.

    Every address asked is an item or counted under a reason. The cursor keeps each page's depth, the addresses
    that this night had no room for or could not reach, and the last known page asked. `TransientError` if
    nothing answered.
    """
    with Fetcher(
        night.contact,
        rate=source.requests_per_second,
        max_bytes=source.max_bytes,
        timeout=source.timeout_seconds,
        connect_to=source.connect_to,
    ) as fetcher:
        return _Crawl(source, night, fetcher).run()


class _Crawl:
    def __init__(self, source: WebSource, night: Night, fetcher: Fetcher) -> None:
        self.source, self.night, self.fetcher = source, night, fetcher
        state = self.state = night.state
        self.starts = [a for start in source.start if (a := canonical(start))]
        if len(self.starts) < len(source.start):
            bad = next(start for start in source.start if not canonical(start))
            raise UserError(f"source {source.name}: start: {bad!r} is not a web address; correct it.")
        self.sites = {site(start) for start in self.starts}
        self.exclude = [re.compile(pattern) for pattern in source.exclude]
        self.live = {address for address, _ in state.known}
        validated = {a for a, v in state.validators.items() if v.etag or v.last_modified or v.digest}
        self.known = self.live | validated
        self.depth: dict[str, int] = {a: d for a, d in state.cursor.get("depth", {}).items() if a in self.known}
        self.waiting: dict[str, int] = {}
        self.chain: dict[str, int] = {}
        self.queue: deque[str] = deque()
        self.seen: dict[str, int] = {}
        self.last: str = state.cursor.get("last", "")
        self.redirects: dict[str, str] = {}
        self.answered = False
        self.failures: list[tuple[str, Refused]] = []

    def run(self) -> dict[str, Any]:
        self._seed()
        spent = 0
        while self.queue and spent < self.source.max_pages:
            address = self.queue.popleft()
            unmodified = self._visit(address, self.seen[address])
            spent += not unmodified
            if address in self.known and address not in self.starts:
                self.last = address
            self.night.asked()
            self.night.progress(len(self.seen) - len(self.queue), len(self.seen))
        self._raise_if_nothing_answered()
        self.waiting |= {a: self.seen[a] for a in self.queue if a not in self.known}
        waiting = dict(sorted(self.waiting.items())[:_MOST_WAITING])
        self.night.note(requests=self.fetcher.requests, bytes=self.fetcher.bytes, waiting=len(waiting))
        return {"depth": dict(sorted(self.depth.items())), "waiting": waiting, "last": self.last}

    def _seed(self) -> None:
        """Queue what is known in turn with what waits, from where the last night ended: a cap starves neither."""
        for address in self.starts:
            self._add(address, 0)
        known = sorted(self.known)
        at = bisect_right(known, self.last)
        for address in known:
            if address in self.live and not self._inside(address):
                self.night.vanish(address, "", "excluded")
        waiting = sorted(self.state.cursor.get("waiting", {}).items())
        for new, old in zip_longest(waiting, known[at:] + known[:at]):
            if new:
                self._add(*new)
            if old:
                self._add(old, self.depth.get(old, self.source.max_depth))
        roots = sorted({origin(start) for start in self.starts})
        addresses, failed = sitemap.listed(self.fetcher, roots, self._inside)
        for address in addresses:
            self._add(address, 1)
        for address, reason in failed.items():
            self.night.asked()
            self.night.reject(address, reason, "sitemap")

    def _inside(self, address: str) -> bool:
        path = urlsplit(address).path
        return site(address) in self.sites and not any(p.search(path) for p in self.exclude)

    def _add(self, address: str, depth: int) -> None:
        if address not in self.seen and self._inside(address):
            self.seen[address] = depth
            self.queue.append(address)

    def _visit(self, address: str, depth: int) -> bool:
        """Ask one address and sort its answer; true if it was not modified."""
        validator = self.state.validators.get(address)
        try:
            answer = self.fetcher.ask(address, validator, PAGE_TYPES)
            busy = answer.status == 429 or answer.status >= 500
            self.answered |= not busy
            if answer.target:
                self._follow(address, answer.target, depth)
            elif answer.status == 304 and validator:
                self.night.count("not_modified")
                return True
            elif answer.status in (404, 410):
                self._leave_out(address, f"http_{answer.status}", gone=f"http {answer.status}")
            elif answer.status != 200:
                raise Refused("http_error", str(answer.status), transient=busy)
            else:
                self._take(answer, depth, validator)
        except Refused as refused:
            self.answered |= not refused.transient and refused.reason != "blocked_address"
            self.failures.append((address, refused))
            self.night.reject(address, refused.reason, refused.measured)
            if refused.transient and address not in self.known:
                self.waiting[address] = depth
        return False

    def _follow(self, address: str, target: str, depth: int) -> None:
        """A redirect's target is an address like any other, asked under the same rules."""
        hops = self.chain.get(address, 0) + 1
        if target == address or hops > MAX_REDIRECTS or self._loops(address, target):
            raise Refused("redirect_loop")
        if not self._inside(target):
            raise Refused("off_site", urlsplit(target).hostname or "")
        self.chain[target] = hops
        self.redirects[address] = target
        if address in self.live:
            self.night.vanish(address, "", "moved")
        self.night.count("redirect")
        self._add(target, depth)

    def _loops(self, address: str, target: str) -> bool:
        at: str | None = target
        for _ in range(MAX_REDIRECTS):
            at = self.redirects.get(at) if at else None
            if at == address:
                return True
        return False

    def _take(self, answer: Answer, depth: int, validator: Validator | None) -> None:
        address = answer.address
        try:
            facts = page.read_page(address, answer.body, answer.headers)
        except Exception as e:  # whatever a page can do to a parser, the other pages go on
            raise Refused("unreadable", type(e).__name__) from None
        self.depth[address] = depth
        if not facts.nofollow and depth < self.source.max_depth:
            for link in facts.links:
                self._add(link, depth + 1)
        elsewhere = facts.canonical not in ("", address) and origin(facts.canonical) == origin(address)
        digest = "" if facts.noindex or elsewhere else keyed_hash("body", answer.body)
        etag, modified = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
        self.night.remember(Validator(address, etag, modified, digest))
        if facts.noindex:
            self._leave_out(address, "noindex", gone="noindex")
        elif elsewhere:
            self._leave_out(address, "canonical", gone="moved")
            self._add(facts.canonical, depth)
        elif validator and validator.digest == digest:
            self.night.count("unchanged")
        else:
            self._keep(answer)

    def _leave_out(self, address: str, reason: str, *, gone: str) -> None:
        """A page that is no item (any more): gone if it was one, else a rejection."""
        if address in self.live:
            self.night.vanish(address, "", gone)
            self.night.count(reason)
            return
        self.night.reject(address, reason)
        if reason.startswith("http_"):
            self.night.remember(Validator(address, "", "", ""))

    def _raise_if_nothing_answered(self) -> None:
        if self.answered or not self.failures:
            return
        address, refused = self.failures[0]
        where = f"source {self.source.name}: {address}"
        if all(r.reason == "blocked_address" for _, r in self.failures):
            raise UserError(
                f"{where} leads to {refused.measured}, which is no public address; if that is meant, "
                f"allow it under the source's connect_to."
            )
        raise TransientError(f"{where} can't be reached ({refused.measured or refused.reason}).")

    def _keep(self, answer: Answer) -> None:
        headers = {h: answer.headers[h] for h in _KEPT_HEADERS if h in answer.headers}
        # The media type goes with its charset, for whoever decodes the body.
        self.night.keep(answer.address, answer.body, headers["content-type"], headers=headers)
