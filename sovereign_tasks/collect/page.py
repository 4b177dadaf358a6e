"""What a page says about itself and where it leads: links, canonical address, robots directives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from bs4.dammit import EncodingDetector
from lxml import etree

from sovereign_tasks.collect.fetch import AGENT
from sovereign_tasks.collect.fetch.canonical import canonical

_NOINDEX = {"noindex", "none"}
_MOST_LINKS = 5_000
_TWO_PART = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")


@dataclass(frozen=True, slots=True)
class PageFacts:
    """Links in order and canonical, the canonical address it names (or empty), directives, tags beyond the cap."""

    links: list[str]
    canonical: str
    noindex: bool
    nofollow: bool
    dropped: int = 0


def read_page(address: str, body: bytes, headers: Mapping[str, str]) -> PageFacts:
    """Read a page's facts; a text that is not HTML has none but its header's directives."""
    directives = _header_directives(headers.get("X-Robots-Tag", ""))
    content_type = headers.get("Content-Type", "")
    if "html" not in content_type.lower():
        return PageFacts([], "", bool(directives & _NOINDEX), True)
    charset = re.search(r"charset=[\"']?([\w.:-]+)", content_type, re.I)
    tags = _tags(body, charset[1] if charset else "")
    found = tags.found
    for meta in found["meta"]:
        if meta.get("name", "").strip().lower() in ("robots", AGENT.lower()):
            directives |= _words(meta.get("content", ""))
    base = next((canonical(tag["href"], address) for tag in found["base"] if "href" in tag), None) or address
    named = (t["href"] for t in found["link"] if "canonical" in t.get("rel", "").split() and "href" in t)
    links = {
        link: None
        for a in found["a"]
        if "href" in a and "nofollow" not in a.get("rel", "").lower().split() and (link := canonical(a["href"], base))
    }
    return PageFacts(
        list(links),
        next((canonical(href, base) or "" for href in named), ""),
        bool(directives & _NOINDEX),
        bool(directives & {"nofollow", "none"}),
        tags.dropped,
    )


class _Tags:
    """A parser's target that keeps four tags' attributes in the page's order, and no tree: that may be very deep.

    Of each tag so many are kept, and the others counted.
    """

    def __init__(self) -> None:
        self.found: dict[str, list[Mapping[str, str]]] = {"base": [], "meta": [], "link": [], "a": []}
        self.dropped = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag not in self.found:
            return
        if len(self.found[tag]) < _MOST_LINKS:
            self.found[tag].append(attributes)
        else:
            self.dropped += 1

    def close(self) -> None:
        pass


def _tags(body: bytes, charset: str) -> _Tags:
    """The page's tags, read in its header's charset, else as its byte order mark, its own word or its bytes say."""
    tags = _Tags()
    detector = EncodingDetector(body, [charset] if charset else [], is_html=True)
    for encoding in detector.encodings:
        with suppress(LookupError):  # no such encoding
            parser = etree.HTMLParser(target=tags, encoding=encoding)
            parser.feed(detector.markup)
            parser.close()
            break
    return tags


def _words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(",")}


def _header_directives(header: str) -> set[str]:
    """X-Robots-Tag may address one crawler by name ("otherbot: noindex, nofollow"), until the next name or line."""
    directives: set[str] = set()
    for line in header.splitlines():
        ours = True
        for word in line.split(","):
            name, colon, rest = word.partition(":")
            if colon and name.strip().lower() not in _TWO_PART:
                ours = name.strip().lower() == AGENT.lower()
                word = rest
            if ours:
                directives.add(word.strip().lower())
    return directives
