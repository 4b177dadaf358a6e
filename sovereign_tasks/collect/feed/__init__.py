"""Feeds: their new and edited entries, with the whole text from the feed or from the entry's page."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from sovereign_tasks.collect.feed.entries import Entry, read_entries
from sovereign_tasks.collect.fetch import MAX_REDIRECTS, Answer, Fetcher, Refused
from sovereign_tasks.collect.fetch.canonical import canonical, site
from sovereign_tasks.collect.http_source import HttpSource, bare_hosts, raise_unanswered, web_addresses
from sovereign_tasks.collect.night import Night
from sovereign_tasks.collect.page import read_page
from sovereign_tasks.records import Validator, keyed_hash

_PAGE_TYPES = ("text/html", "application/xhtml+xml", "text/plain", "text/markdown")
_PAGES_AGAIN = 20


class FeedSource(HttpSource):
    """Entries of RSS, Atom, RDF and JSON feeds: a blog, a newsletter, a changelog."""

    kind: Literal["feed"]
    feeds: list[str] = Field(min_length=1)
    """Addresses of the feeds."""
    full_text: Literal["auto", "entry", "page"] = "auto"
    """Where an entry's text comes from: the feed, its page, or its page where the feed has only a summary."""
    hosts: list[str] = Field([])
    """Hosts beside a feed's own whose pages may be asked for."""
    max_entries: int = Field(200, ge=1)
    """New or edited entries per night at most; the rest come in the next nights."""

    _web_addresses = field_validator("feeds")(web_addresses)
    _bare_hosts = field_validator("hosts")(bare_hosts)


def collect(source: FeedSource, night: Night) -> dict[str, Any]:
    """Read the feeds that changed; an entry is one item, by its id, at its page's address.

    An edited entry comes anew. One that left its feed stays, since feeds show only their newest; it is gone once
    its page says so: 404, 410 or noindex. Pages that were taken are asked for that in turn, a few a night; one
    that is wanted once more comes from there. The cursor keeps what the entries were read by, the last page asked,
    and what is wanted once more though no feed has it. `TransientError` if no feed answered.
    """
    with source.fetcher(night) as fetcher:
        return _Reading(source, night, fetcher).run()


class _Reading:
    def __init__(self, source: FeedSource, night: Night, fetcher: Fetcher) -> None:
        self.source, self.night, self.fetcher = source, night, fetcher
        self.validators, self.cursor = night.state.validators, night.state.cursor
        self.live = {item: address for address, item in night.state.known}
        self.rules = keyed_hash("feed", source.full_text, *sorted(source.hosts))
        self.wanted = {item for item in self.live if not self._digest(item)}  # once more
        self.left: set[str] = set(self.cursor.get("left", []))
        # Other rules, or an entry that is wanted once more, can't be served by feeds that need not answer in full.
        self.conditional = self.cursor.get("rules") == self.rules and self.wanted <= self.left
        self.taken: int = self.cursor.get("tonight", 0)
        self.last: str = self.cursor.get("last", "")
        self.seen: set[str] = set()
        self.answered = False
        self.failures: list[tuple[str, Refused]] = []

    def run(self) -> dict[str, Any]:
        """Each feed, then a few of the known pages."""
        feeds = list(dict.fromkeys(filter(None, map(canonical, self.source.feeds))))
        for done, feed in enumerate(feeds, 1):
            try:
                self._read(feed)
            except Refused as refused:
                self.answered |= not refused.transient and refused.reason != "blocked_address"
                self.failures.append((feed, refused))
                self.night.asked()
                self.night.reject(feed, refused.reason, refused.measured)
            self.night.progress(done, len(feeds))
        if self.failures and not self.answered:
            raise_unanswered(self.source, self.failures)
        self._ask_again()
        self.night.note(requests=self.fetcher.requests, bytes=self.fetcher.bytes)
        if not self.conditional and not self.failures:  # every feed was read in full
            self.left = self.wanted
        return {"rules": self.rules, "last": self.last, "left": sorted(self.left & self.wanted - self.seen)}

    def _so_far(self) -> dict[str, Any]:
        rules, left = self.cursor.get("rules", ""), sorted(self.left)
        return {"rules": rules, "last": self.last, "left": left, "tonight": self.taken}

    def _digest(self, name: str) -> str:
        before = self.validators.get(name)
        return before.digest if before else ""

    def _ask(
        self,
        address: str,
        before: Callable[[str], Validator | None],
        types: tuple[str, ...] = (),
        inside: Callable[[str], bool] = lambda address: True,
    ) -> Answer:
        """The answer at the end of an address's redirects, each asked under the same rules: 200, 304, 404 or 410."""
        for _ in range(MAX_REDIRECTS + 1):
            if not inside(address):
                raise Refused("off_site", urlsplit(address).hostname or "")
            validator = before(address)
            answer = self.fetcher.ask(address, validator, types)
            if not answer.target:
                if answer.status in (200, 404, 410) or (answer.status == 304 and validator):
                    return answer
                busy = answer.status == 429 or answer.status >= 500
                raise Refused("http_error", str(answer.status), transient=busy)
            address = answer.target
        raise Refused("redirect_loop")

    def _read(self, feed: str) -> None:
        """One feed. Its validator is kept once nothing of it waits: a feed that need not answer hides what does."""
        answer = self._ask(feed, lambda a: self.validators.get(f"feed {a}") if self.conditional else None)
        self.answered = True
        if answer.status == 304:
            self.night.asked()
            return self.night.count("not_modified")
        if answer.status != 200:
            raise Refused(f"http_{answer.status}")
        entries = read_entries(feed, answer.body, answer.headers)
        waiting = False
        for entry in reversed(entries):  # the oldest will leave the feed first
            if entry.item not in self.seen:
                self.seen.add(entry.item)
                self.night.asked()
                waiting |= not self._take(feed, entry)
                self.night.checkpoint(self._so_far)
        etag, modified = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
        marks = ("", "") if waiting else (etag, modified)
        return self.night.remember(Validator(f"feed {answer.address}", *marks, ""))

    def _take(self, feed: str, entry: Entry) -> bool:
        """Take an entry that is new or edited; false if it has to wait for another night."""
        address = entry.link or feed
        digest = keyed_hash("entry", self.rules, address, entry.title, entry.text)
        if self._digest(entry.item) == digest:
            self.night.count("unchanged")
            return True
        if self.taken == self.source.max_entries:
            self.night.count("waiting")
            return False
        wants_page = self.source.full_text == "page" or (self.source.full_text == "auto" and not entry.whole)
        there = True
        try:
            if wants_page and entry.link:
                there = self._take_page(feed, entry)
            elif entry.text.strip():
                self._keep(entry, address, entry.text.encode(), entry.media_type)
            else:
                raise Refused("no_text")
        except Refused as refused:
            self.night.reject(address, refused.reason, refused.measured, item=entry.item)
            if refused.transient:
                return False
        if there:  # else its page may yet come: it is new again whenever the feed changes
            self.taken += 1
            self.wanted.discard(entry.item)
            self.night.remember(Validator(entry.item, "", "", digest))
        return True

    def _take_page(self, feed: str, entry: Entry) -> bool:
        """Take an entry's page; false if it is not there."""
        name, item = f"page {entry.item}", entry.item
        same = self.conditional and item not in self.wanted and self.live.get(item) == entry.link
        before = self.validators.get(name) if same else None
        answer = self._ask_page(entry.link, before, site(feed))
        if answer.status == 304:
            self.night.count("not_modified")
            return True
        if reason := _why_gone(answer):
            self._gone(entry.link, item, reason)
            return answer.status == 200
        digest = self._remember_page(entry.link, item, answer)
        if before and before.digest == digest:
            self.night.count("unchanged")
        else:
            self._keep(entry, entry.link, answer.body, answer.headers["Content-Type"])
        return True

    def _remember_page(self, address: str, item: str, answer: Answer) -> str:
        """Note what a page is compared with; its digest."""
        digest = keyed_hash("body", answer.body)
        # Behind a redirect, what the server marks is not the address that will be asked.
        marks = [answer.headers.get(h, "") if answer.address == address else "" for h in ("ETag", "Last-Modified")]
        self.night.remember(Validator(f"page {item}", *marks, digest))
        return digest

    def _ask_page(self, address: str, before: Validator | None, own: str) -> Answer:
        hosts = {own, *(site(f"http://{host.lower()}") for host in self.source.hosts)}
        return self._ask(address, lambda a: before if a == address else None, _PAGE_TYPES, lambda a: site(a) in hosts)

    def _keep(self, entry: Entry, address: str, body: bytes, media_type: str) -> None:
        if self.live.get(entry.item, address) != address:
            self.night.vanish(self.live[entry.item], entry.item, "moved")
        self.night.keep(
            address,
            body,
            media_type,
            item=entry.item,
            headers={"content-type": media_type, "people": list(entry.people)},
            title=entry.title,
            author=entry.author,
            created_at=entry.created_at,
        )

    def _gone(self, address: str, item: str, reason: str) -> None:
        self.night.remember(Validator(f"page {item}", "", "", ""))
        if item not in self.live:
            return self.night.reject(address, reason, item=item)
        self.night.vanish(self.live[item], item, reason)
        return self.night.count(reason)

    def _ask_again(self) -> None:
        """Whether the next few pages of known entries are still there; what changed in them the feed would say.

        Of an entry that is wanted once more, and that the feeds have no more, its page is all there is.
        """
        pages = sorted(item for item in self.live if self._digest(f"page {item}") and item not in self.seen)
        at = bisect_right(pages, self.last)
        for item in (pages[at:] + pages[:at])[:_PAGES_AGAIN]:
            address, mark = self.live[item], None if item in self.wanted else self.validators[f"page {item}"]
            self.night.asked()
            try:
                answer = self._ask_page(address, mark, site(address))
                if reason := _why_gone(answer):
                    self._gone(address, item, reason)
                elif item in self.wanted:
                    self.wanted.discard(item)
                    self.night.remember(Validator(item, "", "", self._remember_page(address, item, answer)))
                    media_type = answer.headers["Content-Type"]
                    headers = {"content-type": media_type}
                    self.night.keep(address, answer.body, media_type, item=item, headers=headers)
                else:
                    self.night.count("not_modified" if answer.status == 304 else "still_there")
            except Refused as refused:
                self.night.reject(address, refused.reason, refused.measured, item=item)
            self.last = item


def _why_gone(answer: Answer) -> str:
    """Why a page may not be kept, or empty."""
    if answer.status in (404, 410):
        return f"http_{answer.status}"
    if answer.status == 304:
        return ""
    try:
        return "noindex" if read_page(answer.address, answer.body, answer.headers).noindex else ""
    except Exception as e:  # whatever a page can do to a parser, the other pages go on
        raise Refused("unreadable", type(e).__name__) from None
