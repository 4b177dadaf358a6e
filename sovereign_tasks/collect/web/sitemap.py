"""Reading sitemaps and their indexes, plain or gzipped, without trusting them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice

from lxml import etree

from sovereign_tasks.collect.fetch import Fetcher, Refused
from sovereign_tasks.collect.fetch.canonical import canonical

MAX_FILES = 50
MAX_BYTES = 50_000_000
MAX_ADDRESSES = 50_000
_GZIP = b"\x1f\x8b"
_CHUNK = 65536
_DEEPEST = 32


def read_sitemap(body: bytes) -> tuple[list[str], list[str]]:
    """The addresses of (pages, further sitemaps) in a sitemap, up to where it breaks; both canonical."""
    if body.startswith(_GZIP):
        try:
            body = zlib.decompressobj(wbits=31).decompress(body, MAX_BYTES)
        except zlib.error:
            return [], []
    locations = _Locations()
    parser = etree.XMLParser(target=locations, resolve_entities=False, no_network=True, load_dtd=False)
    with suppress(etree.XMLSyntaxError, RecursionError):  # what came before the break is still good
        for at in range(0, len(body), _CHUNK):
            parser.feed(body[at : at + _CHUNK])
        parser.close()
    return locations.found["url"], locations.found["sitemap"]


class _Locations:
    """A parser's target that keeps each <loc> by the name of the element it stands in, and no tree."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {"url": [], "sitemap": []}
        self._open: list[str] = []
        self._text: list[str] = []

    def start(self, tag: str, _: Mapping[str, str]) -> None:
        if len(self._open) == _DEEPEST:
            raise RecursionError("no sitemap is so deep")
        self._open.append(tag.rpartition("}")[2])
        self._text.clear()

    def data(self, text: str) -> None:
        if self._open[-1] == "loc":
            self._text.append(text)

    def end(self, _: str) -> None:
        kind = self._open[-2] if self._open[-1] == "loc" and len(self._open) > 1 else ""
        address = canonical("".join(self._text)) if kind in self.found else None
        if address and len(self.found[kind]) < (MAX_ADDRESSES if kind == "url" else MAX_FILES):
            self.found[kind].append(address)
        self._open.pop()
        self._text.clear()

    def close(self) -> None:
        pass


def listed(
    fetcher: Fetcher, roots: list[str], inside: Callable[[str], bool], until: float
) -> tuple[list[str], dict[str, str]]:
    """All addresses that the sitemaps of `roots` list, and why any sitemap gave none (address to reason).

    Each root's robots.txt names its sitemaps; /sitemap.xml is tried where it names none. Only addresses that
    are `inside` are asked or given, MAX_ADDRESSES in all, and none is asked past `until` on the fetcher's clock.
    """
    pages: set[str] = set()
    failed: dict[str, str] = {}
    waiting: list[str] = []
    guessed: set[str] = set()
    for root in roots:
        rules = fetcher.rules(root)
        named = [a for s in rules.sitemaps if (a := canonical(s, root))]
        if not named and not rules.failed:
            guessed.add(f"{root}/sitemap.xml")
        waiting += named
    waiting += sorted(guessed)
    seen: set[str] = set()
    while waiting and len(seen) < MAX_FILES and len(pages) < MAX_ADDRESSES and fetcher.clock() < until:
        address = waiting.pop(0)
        if address in seen or not inside(address):
            continue
        seen.add(address)
        try:
            answer = fetcher.ask(address, max_bytes=MAX_BYTES)
        except Refused as e:
            failed[address] = e.reason
            continue
        if answer.target:
            waiting.insert(0, answer.target)
        elif answer.status == 200:
            urls, more = read_sitemap(answer.body)
            new = (url for url in urls if url not in pages and inside(url))
            pages.update(list(islice(new, MAX_ADDRESSES - len(pages))))
            waiting += more
        elif address not in guessed:
            failed[address] = f"http_{answer.status}"
    return sorted(pages), failed
