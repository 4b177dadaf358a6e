"""What a page says about itself and where it leads: links, canonical address, robots directives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bs4 import BeautifulSoup, SoupStrainer

from sovereign_tasks.collect.canonical import canonical
from sovereign_tasks.collect.http import AGENT

_WANTED = SoupStrainer(["base", "meta", "link", "a"])
_NOINDEX = {"noindex", "none"}
_TWO_PART = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")


@dataclass(frozen=True, slots=True)
class PageFacts:
    """Links in order and canonical, the canonical address it names (or empty), directives."""

    links: list[str]
    canonical: str
    noindex: bool
    nofollow: bool


def read_page(address: str, body: bytes, headers: Mapping[str, str]) -> PageFacts:
    """Read a page's facts; a text that is not HTML has none but its header's directives."""
    directives = _header_directives(headers.get("X-Robots-Tag", ""))
    content_type = headers.get("Content-Type", "")
    if "html" not in content_type.lower():
        return PageFacts([], "", bool(directives & _NOINDEX), True)
    charset = re.search(r"charset=[\"']?([\w.:-]+)", content_type, re.I)
    soup = BeautifulSoup(body, "lxml", parse_only=_WANTED, from_encoding=charset[1] if charset else None)
    for meta in soup.find_all("meta", attrs={"name": True, "content": True}):
        if meta["name"].strip().lower() in ("robots", AGENT.lower()):
            directives |= _words(meta["content"])
    base_tag = soup.find("base", href=True)
    base = (canonical(base_tag["href"], address) if base_tag else None) or address
    named = soup.find("link", rel="canonical", href=True)
    links = {
        link: None
        for a in soup.find_all("a", href=True)
        if "nofollow" not in (a.get("rel") or []) and (link := canonical(a["href"], base))
    }
    return PageFacts(
        list(links),
        (canonical(named["href"], base) or "") if named else "",
        bool(directives & _NOINDEX),
        bool(directives & {"nofollow", "none"}),
    )


def _words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(",")}


def _header_directives(header: str) -> set[str]:
    """X-Robots-Tag may address one crawler by name ("otherbot: noindex, nofollow"), until the next name."""
    directives: set[str] = set()
    ours = True
    for word in header.split(","):
        name, colon, rest = word.partition(":")
        if colon and name.strip().lower() not in _TWO_PART:
            ours = name.strip().lower() == AGENT.lower()
            word = rest
        if ours:
            directives.add(word.strip().lower())
    return directives
