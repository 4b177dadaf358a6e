"""Reading sitemaps and their indexes, plain or gzipped, without trusting them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from itertools import islice

from lxml import etree

from sovereign_tasks.collect.fetch import Fetcher, Refused
from sovereign_tasks.collect.fetch.canonical import canonical

MAX_FILES = 50
MAX_BYTES = 50_000_000
MAX_ADDRESSES = 50_000
_GZIP = b"\x1f\x8b"


def read_sitemap(body: bytes) -> tuple[list[str], list[str]]:
    """The addresses of (pages, further sitemaps) in a sitemap, up to where it breaks; both canonical."""
    if body.startswith(_GZIP):
        try:
            body = zlib.decompressobj(wbits=31).decompress(body, MAX_BYTES)
        except zlib.error:
            return [], []
    found: dict[str, list[str]] = {"url": [], "sitemap": []}
    events = etree.iterparse(
        io.BytesIO(body), events=("end",), tag="{*}loc", resolve_entities=False, no_network=True, load_dtd=False
    )
    try:
        for _, loc in events:
            parent = loc.getparent()
            kind = etree.QName(parent).localname if parent is not None else ""
            address = canonical(loc.text or "")
            if kind in found and address and len(found[kind]) < (MAX_ADDRESSES if kind == "url" else MAX_FILES):
                found[kind].append(address)
            loc.clear()
    except etree.XMLSyntaxError:
        pass  # what came before the break is still good
    return found["url"], found["sitemap"]


def listed(fetcher: Fetcher, roots: list[str], inside: Callable[[str], bool]) -> tuple[list[str], dict[str, str]]:
    """All addresses that the sitemaps of `roots` list, and why any sitemap gave none (address to reason).

    Each root's robots.txt names its sitemaps; /sitemap.xml is tried where it names none. Only addresses that
    are `inside` are asked or given, MAX_ADDRESSES in all.
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
    while waiting and len(seen) < MAX_FILES and len(pages) < MAX_ADDRESSES:
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
