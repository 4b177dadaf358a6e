"""What a crawl has still to ask, host by host, and what it has met: enough to go on from after a kill."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

_MOST_KEPT = 10_000


class Frontier:
    """Addresses in the order they were added, each once, given out in turns over hosts.

    At most `connections` addresses of one host are out at a time: from `take` until `settle`. So many that are
    `most` are taken of those offered.
    """

    def __init__(self, connections: int, most: int) -> None:
        self._connections, self._most = connections, most
        self._queues: dict[str, deque[str]] = {}
        self._out: dict[str, int] = {}
        self._depth: dict[str, int] = {}
        self._done: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._depth)

    @property
    def done(self) -> int:
        """How many addresses are settled."""
        return len(self._done)

    def add(self, address: str, depth: int) -> None:
        """Queue an address that was not met before."""
        if address not in self._depth:
            self._depth[address] = depth
            self._queues.setdefault(urlsplit(address).netloc, deque()).append(address)

    def offer(self, address: str, depth: int) -> bool:
        """Queue an address if there is room; whether it is among those met."""
        if address not in self._depth and len(self._depth) >= self._most:
            return False
        self.add(address, depth)
        return True

    def depth(self, address: str) -> int:
        """Links between a start address and this one, as far as is known."""
        return self._depth[address]

    def take(self) -> str | None:
        """The next address of a host that may be asked, if there is one; hosts take turns."""
        for host, queue in self._queues.items():
            if queue and self._out.get(host, 0) < self._connections:
                self._queues[host] = self._queues.pop(host)  # to the end of the round
                self._out[host] = self._out.get(host, 0) + 1
                return queue.popleft()
        return None

    def settle(self, address: str) -> None:
        """Note that an address is dealt with."""
        self._out[urlsplit(address).netloc] -= 1
        self._done[address] = None

    def left(self) -> Iterator[str]:
        """What is not settled, in the order it was added."""
        return (address for address in self._depth if address not in self._done)

    def dump(self) -> dict[str, Any]:
        """What a retry needs; addresses beyond a cap are found again another night."""
        left = [[address, self._depth[address]] for address in self.left()]
        return {"done": [[a, self._depth[a]] for a in self._done], "left": left[:_MOST_KEPT]}

    def load(self, dumped: dict[str, Iterable[tuple[str, int]]]) -> None:
        """Go on where `dump` was taken."""
        for address, depth in dumped["done"]:
            self._depth[address] = depth
            self._done[address] = None
        for address, depth in dumped["left"]:
            self.add(address, depth)
