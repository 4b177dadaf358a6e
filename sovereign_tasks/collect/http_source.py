"""What sources share that ask web servers: how fast, how long, how much, and which private hosts they may reach."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import Field

from sovereign_tasks.collect.fetch import Fetcher, Refused
from sovereign_tasks.collect.fetch.canonical import canonical
from sovereign_tasks.collect.night import Night
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.sources import SourceConfig


class HttpSource(SourceConfig):
    """A source behind web servers."""

    requests_per_second: float = Field(1.0, gt=0)
    """Requests a second to one host at most."""
    max_bytes: int = Field(5_000_000, ge=1_000)
    """Bytes of one answer after decompression at most."""
    timeout_seconds: float = Field(20.0, gt=0)
    """Time for one answer with its body."""
    connect_to: dict[str, str] = Field({})
    """Host to address:port, an explicit allowance to fetch that host from a private address."""

    def fetcher(self, night: Night, connections: int = 1) -> Fetcher:
        """A fetcher that keeps to these settings; a context manager."""
        return Fetcher(
            night.contact,
            rate=self.requests_per_second,
            max_bytes=self.max_bytes,
            timeout=self.timeout_seconds,
            connect_to=self.connect_to,
            connections=connections,
        )


def web_addresses(addresses: list[str]) -> list[str]:
    """The addresses, if each is one of the web; else a `ValueError`."""
    for address in addresses:
        if not re.match(r"https?://[^/\s]+", address) or not canonical(address):
            raise ValueError(f"{address!r} is not an http or https address")
    return addresses


def bare_hosts(hosts: list[str]) -> list[str]:
    """The hosts, if each is a name with or without a port; else a `ValueError`."""
    for host in hosts:
        if not re.fullmatch(r"[\w.-]+(:\d+)?", host):
            raise ValueError(f"{host!r} is not a host; write it without scheme and path, as www.example.com")
    return hosts


def raise_unanswered(source: SourceConfig, failures: Sequence[tuple[str, Refused]]) -> None:
    """Say that no server answered: `UserError` where private addresses are the reason, else `TransientError`."""
    address, refused = failures[0]
    where = f"source {source.name}: {address}"
    if all(r.reason == "blocked_address" for _, r in failures):
        raise UserError(
            f"{where} leads to {refused.measured}, which is no public address; if that is meant, "
            f"allow it under the source's connect_to."
        )
    raise TransientError(f"{where} can't be reached ({refused.measured or refused.reason}).")
