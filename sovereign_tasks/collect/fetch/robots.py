"""The robots rules of one origin, as RFC 9309 has them, read by Protego."""

from __future__ import annotations

import re
from dataclasses import dataclass

from protego import Protego

MAX_BYTES = 512 * 1024
_GROUP = re.compile(r"\s*user[ -]?agent\s*[:\s]\s*(\*(?=\s|#|$)|[a-z_-]*)", re.I)
_FIELD = re.compile(r"\s*([a-z_-]+)\s*:", re.I)
_READ = frozenset(
    "allow disallow dissallow dissalow disalow diasllow disallaw crawl-delay sitemap sitemaps site-map".split()
)


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
    """Rules from an answer: 2xx gives them; 4xx allows everything; a busy or failing server disallows everything."""
    if status == 429 or status >= 500:
        return unreachable("robots_unreachable", f"robots.txt answered {status}", agent)
    text = body[:MAX_BYTES].decode("utf-8", errors="replace") if 200 <= status < 300 else ""
    return Rules(Protego.parse("\n".join(_as_protego_reads(text, agent))), agent)


def unreachable(reason: str, measured: str, agent: str = "") -> Rules:
    """Rules of an origin whose robots.txt could not be had."""
    return Rules(Protego.parse(""), agent, failed=measured, reason=reason)


def _as_protego_reads(text: str, agent: str) -> list[str]:
    """The lines that matter, where Protego alone would differ from the standard.

    Protego takes a group for part of a name ("sov") as ours, and a version as part of the name; and lines with
    fields that nobody reads end a group's list of agents. A byte order mark, whole or torn, and NULs are left out.
    """
    lines = []
    for line in text.lstrip("\ufeff\ufffd").replace("\0", "").splitlines():
        group, field = _GROUP.match(line), _FIELD.match(line)
        if group:
            name = group[1].lower()
            lines.append(f"User-agent: {name if name == '*' else agent if name == agent.lower() else '~'}")
        elif not field or field[1].lower() in _READ:
            lines.append(line)
    return lines
