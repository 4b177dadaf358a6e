"""Pages that say "not found" with status 200: told by asking each host for an address it can't have.

A host that shows its home page there tells nothing so, and none of its pages is taken for absent.
"""

from __future__ import annotations

import re
import threading
from urllib.parse import unquote, urlsplit

from lxml import etree

from sovereign_tasks.collect.fetch import MAX_REDIRECTS, Answer, Fetcher, Refused
from sovereign_tasks.collect.fetch.canonical import origin
from sovereign_tasks.records import keyed_hash

_ALIKE = 0.9
_WORD = re.compile(r"\w+")


class AbsentPages:
    """What each host gives for a page that is not there, asked for once, when a host first gives a page."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._lock = threading.Lock()
        self._gates: dict[str, threading.Lock] = {}
        self._shown: dict[str, frozenset[str]] = {}

    def looks_absent(self, answer: Answer) -> bool:
        """Whether a page is all but the one that its host shows for an address it can't have."""
        if "html" not in answer.headers.get("Content-Type", ""):
            return False
        root = origin(answer.address)
        with self._lock:
            gate = self._gates.setdefault(root, threading.Lock())
        with gate:
            if root not in self._shown:
                self._shown[root] = self._ask(root)
            shown = self._shown[root]
        if not shown:
            return False
        return _alike(_words(answer), shown)

    def _ask(self, root: str) -> frozenset[str]:
        """What a host shows for an address it can't have, if that is not its home page."""
        shown = self._see(f"{root}/{keyed_hash('absent page', root)}", 0)
        return shown if shown and not _alike(self._see(f"{root}/", MAX_REDIRECTS), shown) else frozenset()

    def _see(self, address: str, hops: int) -> frozenset[str]:
        try:
            answer = self._fetcher.ask(address, types=("text/html",))
        except Refused:
            return frozenset()
        if hops and answer.target and origin(answer.target) == origin(address):
            return self._see(answer.target, hops - 1)
        return _words(answer) if answer.status == 200 else frozenset()


def _alike(some: frozenset[str], others: frozenset[str]) -> bool:
    return len(some & others) >= _ALIKE * len(some | others)


def _words(answer: Answer) -> frozenset[str]:
    """The words that a reader sees, in runs of three, without the page's own address, which it may repeat."""
    root = etree.HTML(answer.body)
    if root is None:
        return frozenset()
    # What comes after a stray </html> stands beside the root.
    parts = [
        node.xpath("descendant-or-self::text()[not(ancestor::script or ancestor::style)]")
        for node in (root, *root.itersiblings())
    ]
    seen = " ".join(text for part in parts for text in part)
    path = urlsplit(answer.address).path
    for own in (path, unquote(path), path.strip("/")):
        seen = seen.replace(own, " ") if len(own) > 1 else seen
    words = _WORD.findall(seen.lower())
    return frozenset(" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2)))
