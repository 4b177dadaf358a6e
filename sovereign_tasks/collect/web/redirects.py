"""The redirects that a night has followed, so that none is followed for ever."""

from __future__ import annotations

from typing import Any

from sovereign_tasks.collect.fetch import MAX_REDIRECTS, Refused


class Redirects:
    """Each address's target, and how many redirects led to it."""

    def __init__(self) -> None:
        self._targets: dict[str, str] = {}
        self._hops: dict[str, int] = {}

    def follow(self, address: str, target: str) -> None:
        """Note a redirect; `Refused` for a loop or one too many in a row."""
        hops = self._hops.get(address, 0) + 1
        if target == address or hops > MAX_REDIRECTS or self._loops(address, target):
            raise Refused("redirect_loop")
        self._hops[target] = hops
        self._targets[address] = target

    def _loops(self, address: str, target: str) -> bool:
        at: str | None = target
        for _ in range(MAX_REDIRECTS):
            at = self._targets.get(at) if at else None
            if at == address:
                return True
        return False

    def dump(self) -> dict[str, Any]:
        """What a retry needs."""
        return {"chain": self._hops, "redirects": self._targets}

    def load(self, dumped: dict[str, Any]) -> None:
        """Go on where `dump` was taken."""
        self._hops, self._targets = dumped["chain"], dumped["redirects"]
