"""Web sites, night after night: what is known is asked again conditionally, what is new is found."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from sovereign_tasks.collect.http_source import HttpSource, bare_hosts, web_addresses
from sovereign_tasks.collect.night import Night
from sovereign_tasks.strict_yaml import patterns


class WebSource(HttpSource):
    """Pages reached from start addresses and sitemaps, within declared bounds."""

    kind: Literal["web"]
    start: list[str] = Field(min_length=1)
    """Addresses to begin at."""
    hosts: list[str] = Field([])
    """Hosts to crawl beside those of the start addresses."""
    include: list[str] = Field([])
    """Regular expressions of paths to keep to; start pages and sitemaps are read all the same."""
    exclude: list[str] = Field([])
    """Regular expressions of paths to leave out."""
    max_pages: int = Field(500, ge=1)
    """Pages per night at most; pages that did not change cost none."""
    max_hours: float = Field(3.0, gt=0)
    """Hours a night may take at most; the rest come in the next nights."""
    max_depth: int = Field(6, ge=0)
    """Links to follow from a start address at most."""
    connections: int = Field(1, ge=1, le=8)
    """Requests to one host at the same time at most."""

    _web_addresses = field_validator("start")(web_addresses)

    _bare_hosts = field_validator("hosts")(bare_hosts)
    _patterns = field_validator("include", "exclude")(patterns)


def collect(source: WebSource, night: Night) -> dict[str, Any]:
    """Crawl a site within its bounds; a whole page is one item, several hosts are asked at once.

    A night ends when nothing is left, or its pages or hours are spent.

    The cursor keeps each page's depth, the addresses that this night had no room for or could not reach, the
    last known page asked of each host, and the bounds: after others, every page is asked for in full once,
    since one that did not change may lead further. In the middle of a night it keeps also what is done and what
    is left. `UserError` for an address that is blocked, `TransientError` if nothing answered.
    """
    from sovereign_tasks.collect.web.crawl import Crawl

    with source.fetcher(night, connections=source.connections) as fetcher:
        return Crawl(source, night, fetcher).run()
