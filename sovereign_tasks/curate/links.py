"""Addresses that a text links to."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urldefrag, urljoin, urlsplit

MAX_LINKS = 100


def absolute(links: Iterable[str], base: str) -> list[str]:
    """Resolve links against `base`: http(s) addresses without fragments, in order, each once, MAX_LINKS at most.

    What stays relative (`base` may be empty), points into its own page or is no address is left out.
    """
    found: dict[str, None] = {}
    for link in dict.fromkeys(links):
        try:
            target = urldefrag(urljoin(base, link.strip())).url
            parts = urlsplit(target)
        except ValueError:
            continue
        if parts.scheme in ("http", "https") and parts.hostname and link.strip()[:1] not in ("", "#"):
            found[target] = None
            if len(found) == MAX_LINKS:
                break
    return list(found)
