"""A night's crawl of one web source: workers ask and read pages, one thread keeps the frontier and the results."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import zip_longest
from typing import Any
from urllib.parse import urlsplit

from sovereign_tasks.collect import page
from sovereign_tasks.collect.fetch import Answer, Fetcher, Refused
from sovereign_tasks.collect.fetch.canonical import origin
from sovereign_tasks.collect.http_source import raise_unanswered
from sovereign_tasks.collect.night import Night
from sovereign_tasks.collect.web import WebSource, sitemap
from sovereign_tasks.collect.web.absent import AbsentPages
from sovereign_tasks.collect.web.bounds import Bounds
from sovereign_tasks.collect.web.frontier import Frontier
from sovereign_tasks.collect.web.redirects import Redirects
from sovereign_tasks.records import Validator, keyed_hash

PAGE_TYPES = (
    "text/html",
    "application/xhtml+xml",
    "text/plain",
    "text/markdown",
    "application/pdf",
)
_KEPT_HEADERS = ("content-language", "content-type", "date", "last-modified")
_MOST_WAITING = 10_000
_MOST_WORKERS = 32
_MOVED = (301, 308)

Visit = tuple[Answer, page.PageFacts | None]


class Crawl:
    """One night of one source; every address asked is an item or counted under a reason."""

    def __init__(self, source: WebSource, night: Night, fetcher: Fetcher) -> None:
        self.source, self.night, self.fetcher = source, night, fetcher
        state = night.state
        self.bounds = Bounds(source)
        self.began = fetcher.clock()
        self.validators = dict(state.validators)
        self.live = {address for address, _ in state.known}
        validated = {a for a, v in state.validators.items() if v.etag or v.last_modified or v.digest}
        self.known = self.live | validated
        self.absent = AbsentPages(fetcher)
        self.frontier = Frontier(source.connections, len(self.known) + source.max_pages + _MOST_WAITING)
        self.depth: dict[str, int] = {a: d for a, d in state.cursor.get("depth", {}).items() if a in self.known}
        self.last: dict[str, str] = dict(state.cursor.get("last", {}))
        self.waiting: dict[str, int] = {}
        self.redirects = Redirects()
        self.spent = self.dropped = 0
        self.answered = False
        self.failures: list[tuple[str, Refused]] = []

    def run(self) -> dict[str, Any]:
        """Ask until nothing is left or the night's pages or hours are spent; the cursor for the next night."""
        self._begin()
        running: dict[Future[Visit], str] = {}
        workers = max(1, min(_MOST_WORKERS, len(self.bounds.sites) * self.source.connections))
        with ThreadPoolExecutor(workers, thread_name_prefix="crawl") as pool:
            try:
                while True:
                    while self._may_go_on(len(running)) and (address := self.frontier.take()):
                        running[pool.submit(self._visit, address)] = address
                    if not running:
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self._settle(running.pop(future), future)
                        self.night.progress(self.frontier.done, len(self.frontier))
                        self.night.checkpoint(self._unfinished)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if self.failures and not self.answered:
            raise_unanswered(self.source, self.failures)
        self.waiting |= {a: self.frontier.depth(a) for a in self.frontier.left() if a not in self.known}
        self.night.note(requests=self.fetcher.requests, bytes=self.fetcher.bytes, waiting=len(self.waiting))
        if self.dropped:
            self.night.note(links_dropped=self.dropped)
        return self._kept() | {"waiting": dict(sorted(self.waiting.items()))}

    def _may_go_on(self, running: int) -> bool:
        in_time = self.fetcher.clock() - self.began < self.source.max_hours * 3600
        return in_time and self.spent + running < self.source.max_pages

    def _kept(self) -> dict[str, Any]:
        return {"depth": dict(sorted(self.depth.items())), "last": self.last, "bounds": self.bounds.mark}

    def _unfinished(self) -> dict[str, Any]:
        tonight = {
            **self.frontier.dump(),
            **self.redirects.dump(),
            "new": sorted(self.depth.keys() - self.known),  # a retry finds them known, and is not to
            "waiting": self.waiting,
            "spent": self.spent,
            "answered": self.answered,
            "seconds": round(self.fetcher.clock() - self.began),
        }
        return self._kept() | {"tonight": tonight}

    def _begin(self) -> None:
        if tonight := self.night.state.cursor.get("tonight"):
            self.frontier.load(tonight)
            self.redirects.load(tonight)
            self.waiting, self.spent, self.answered = tonight["waiting"], tonight["spent"], tonight["answered"]
            self.began -= tonight["seconds"]
            self.known -= set(tonight["new"])
        else:
            self._seed()

    def _seed(self) -> None:
        """Queue what is known in turn with what waits, from where the last night ended: a cap starves neither."""
        if self.night.state.cursor.get("bounds") != self.bounds.mark:
            self._ask_in_full()
        for address in self.bounds.starts:
            self.frontier.add(address, 0)
        for address in sorted(self.live):
            if not self.bounds.inside(address):
                self.depth.pop(address, None)
                self.night.vanish(address, "", "excluded")
        by_host: defaultdict[str, list[str]] = defaultdict(list)
        for address in sorted(self.known):
            by_host[urlsplit(address).netloc].append(address)
        turns = []
        for host, known in sorted(by_host.items()):
            at = bisect_right(known, self.last.get(host, ""))
            turns += known[at:] + known[:at]
        waiting = sorted(self.night.state.cursor.get("waiting", {}).items())
        for new, old in zip_longest(waiting, turns):
            if new:
                self._add(*new)
            if old:
                self._add(old, self.depth.get(old, self.source.max_depth))
        roots = sorted({origin(start) for start in self.bounds.starts})
        until = self.began + self.source.max_hours * 1800  # half the night: the rest is for pages
        addresses, failed = sitemap.listed(self.fetcher, roots, self.bounds.on_site, until)
        self.dropped += sum(not self._offer(address, 1) for address in addresses)
        for address, reason in failed.items():
            self.night.asked()
            self.night.reject(address, reason, "sitemap")

    def _ask_in_full(self) -> None:
        """Forget what would spare known pages an answer, also for the nights to come; their digests stay."""
        for address in self.known & self.validators.keys():
            # One without a digest is known by this one, which no body has.
            blank = self.validators[address]._replace(etag="", last_modified="")
            self.validators[address] = blank if blank.digest else blank._replace(digest="-")
            self.night.remember(self.validators[address])

    def _add(self, address: str, depth: int) -> None:
        if self.bounds.inside(address):
            self.frontier.add(address, depth)

    def _offer(self, address: str, depth: int) -> bool:
        """Queue what is found if there is room; false only if there is none."""
        return not self.bounds.inside(address) or self.frontier.offer(address, depth)

    def _visit(self, address: str) -> Visit:
        """Ask one address and read what it says of itself; in a worker, so it changes nothing."""
        validator = self.validators.get(address)
        answer = self.fetcher.ask(address, validator, PAGE_TYPES)
        if answer.status != 200:
            return answer, None
        try:
            facts = page.read_page(address, answer.body, answer.headers)
        except Exception as e:  # whatever a page can do to a parser, the other pages go on
            raise Refused("unreadable", type(e).__name__) from None
        same = validator and validator.digest == keyed_hash("body", answer.body)
        if not same and address not in self.bounds.starts and self.absent.looks_absent(answer):
            raise Refused("soft_404")  # as with any 404, its links lead nowhere
        return answer, facts

    def _settle(self, address: str, future: Future[Visit]) -> None:
        """Sort what came of one address."""
        self.frontier.settle(address)
        self.night.asked()
        depth, validator = self.frontier.depth(address), self.validators.get(address)
        try:
            answer, facts = future.result()
            busy = answer.status == 429 or answer.status >= 500
            self.answered |= not busy
            self.spent += answer.status != 304
            if answer.target:
                self._follow(answer, depth)
            elif answer.status == 304 and validator:
                self.night.count("not_modified")
            elif answer.status in (404, 410):
                self._leave_out(address, f"http_{answer.status}", gone=f"http {answer.status}")
            elif facts is None:
                raise Refused("http_error", str(answer.status), transient=busy)
            else:
                self._take(answer, facts, depth, validator)
        except Refused as refused:
            self.spent += 1
            self._refuse(address, refused, depth)
        if address in self.known and address not in self.bounds.starts:
            self.last[urlsplit(address).netloc] = address

    def _refuse(self, address: str, refused: Refused, depth: int) -> None:
        self.answered |= not refused.transient and refused.reason != "blocked_address"
        self.failures.append((address, refused))
        if refused.reason == "soft_404":
            self._leave_out(address, "soft_404", gone="soft 404")
            return
        self.night.reject(address, refused.reason, refused.measured)
        if refused.transient and address not in self.known:
            self.waiting[address] = depth

    def _follow(self, answer: Answer, depth: int) -> None:
        """A redirect's target is an address like any other, asked under the same rules.

        Only a lasting one says that a known page has moved; after any other it stays as it was.
        """
        address, target = answer.address, answer.target
        if not self.bounds.inside(target):
            raise Refused("off_site", urlsplit(target).hostname or "")
        self.redirects.follow(address, target)
        if address in self.live and answer.status in _MOVED:
            self.depth.pop(address, None)
            self.night.vanish(address, "", "moved")
        self.night.count("redirect")
        self._add(target, depth)

    def _take(self, answer: Answer, facts: page.PageFacts, depth: int, validator: Validator | None) -> None:
        address = answer.address
        self.depth[address] = depth
        links = facts.links if not facts.nofollow and depth < self.source.max_depth else []
        no_room = sum(not self._offer(link, depth + 1) for link in links)
        self.dropped += no_room + facts.dropped
        elsewhere = facts.canonical not in ("", address) and origin(facts.canonical) == origin(address)
        digest = "" if facts.noindex or elsewhere else keyed_hash("body", answer.body)
        etag, modified = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
        # Where links had no room, only a full answer will lead to them another night.
        self.night.remember(Validator(address, *(("", "") if no_room else (etag, modified)), digest))
        if facts.noindex:
            self._leave_out(address, "noindex", gone="noindex")
        elif elsewhere:
            self._leave_out(address, "canonical", gone="moved")
            self._add(facts.canonical, depth)
        elif validator and validator.digest == digest:
            self.night.count("unchanged")
        else:
            headers = {h: answer.headers[h] for h in _KEPT_HEADERS if h in answer.headers}
            # The media type goes with its charset, for whoever decodes the body.
            self.night.keep(address, answer.body, headers["content-type"], headers=headers)

    def _leave_out(self, address: str, reason: str, *, gone: str) -> None:
        """A page that is no item (any more): gone if it was one, else a rejection."""
        if address in self.live:
            self.depth.pop(address, None)
            self.night.vanish(address, "", gone)
            self.night.count(reason)
            return
        self.night.reject(address, reason)
        if reason in ("http_404", "http_410", "soft_404"):
            self.night.remember(Validator(address, "", "", ""))
