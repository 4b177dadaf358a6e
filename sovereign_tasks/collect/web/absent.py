"""Pages that say "not found" with status 200: told by asking each host for an address it can't have."""

from __future__ import annotations

import re
import threading
from urllib.parse import unquote, urlsplit

from lxml import etree

from sovereign_tasks.collect.fetch import Answer, Fetcher, Refused
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
        said = _words(answer)
        return len(said & shown) >= _ALIKE * len(said | shown)

    def _ask(self, root: str) -> frozenset[str]:
        try:
            answer = self._fetcher.ask(f"{root}/{keyed_hash('absent page', root)}", types=("text/html",))
        except Refused:
            return frozenset()
        return _words(answer) if answer.status == 200 else frozenset()


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
