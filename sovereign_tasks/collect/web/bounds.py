"""Which addresses a web source declares to be crawled."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from sovereign_tasks.collect.fetch.canonical import canonical, site
from sovereign_tasks.collect.web import WebSource
from sovereign_tasks.records import keyed_hash


class Bounds:
    """The bounds of one source; `mark` differs where a page that did not change may lead further than before."""

    def __init__(self, source: WebSource) -> None:
        self.starts = [a for start in source.start if (a := canonical(start))]
        self.sites = {site(start) for start in self.starts} | {h.removeprefix("www.") for h in source.hosts}
        self._include, self._exclude = (
            [re.compile(pattern) for pattern in patterns] for patterns in (source.include, source.exclude)
        )
        declared = [*map(sorted, (self.starts, source.include, source.exclude, self.sites)), source.max_depth]
        self.mark = keyed_hash("bounds", json.dumps(declared))

    def on_site(self, address: str) -> bool:
        """Whether an address is at one of the hosts."""
        return site(address) in self.sites

    def inside(self, address: str) -> bool:
        """Whether an address is within all of the bounds."""
        path = urlsplit(address).path
        if not self.on_site(address) or any(p.search(path) for p in self._exclude):
            return False
        return not self._include or address in self.starts or any(p.search(path) for p in self._include)
