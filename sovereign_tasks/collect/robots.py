"""The robots rules of one origin, as RFC 9309 has them, read by Protego."""

from __future__ import annotations

import re
from dataclasses import dataclass

from protego import Protego

MAX_BYTES = 512 * 1024
# A group is for the product token before a version or a space, which Protego would take as part of the name.
_PRODUCT = re.compile(r"^([ \t]*user-agent[ \t]*:[ \t]*[^\s/#]+)[ \t/][^\r\n]*", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Rules:
    """What an origin allows `agent`; `failed` is set where its robots.txt could not be had: then nothing is."""

    parsed: Protego
    agent: str
    failed: str = ""
    reason: str = ""

    def allowed(self, address: str) -> bool:
        """Whether the address may be asked for."""
        return not self.failed and self.parsed.can_fetch(address, self.agent)

    @property
    def delay(self) -> float:
        """Seconds between requests that it asks for."""
        return float(self.parsed.crawl_delay(self.agent) or 0.0)

    @property
    def sitemaps(self) -> list[str]:
        """The sitemaps it names."""
        return list(self.parsed.sitemaps)


def answered(status: int, body: bytes, agent: str) -> Rules:
    """Rules from an answer: 4xx allows everything; a busy or failing server disallows everything."""
    if status == 429 or status >= 500:
        return unreachable("robots_unreachable", f"robots.txt answered {status}", agent)
    text = body.decode("utf-8-sig", errors="replace") if status == 200 else ""
    return Rules(Protego.parse(_PRODUCT.sub(r"\1", text)), agent)


def unreachable(reason: str, measured: str, agent: str = "") -> Rules:
    """Rules of an origin whose robots.txt could not be had."""
    return Rules(Protego.parse(""), agent, failed=measured, reason=reason)
