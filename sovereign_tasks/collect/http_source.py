"""What sources share that ask web servers: how fast, how long, how much, and which private hosts they may reach."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from pydantic import Field, field_validator

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

    @field_validator("connect_to")
    @classmethod
    def _targets(cls, connect_to: dict[str, str]) -> dict[str, str]:
        for host, target in connect_to.items():
            if not _is_target(target):
                raise ValueError(
                    f"{host}: {target!r} is not address:port; write it as 10.0.0.5:80, [fd00::5]:80 or server.local"
                )
        return connect_to

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
    """The hosts as addresses spell them, if each is a name with or without a port; else a `ValueError`."""
    spelt = []
    for host in hosts:
        address = canonical(f"http://{host}") if re.fullmatch(r"[\w.-]+(:\d+)?", host) else None
        if not address:
            raise ValueError(f"{host!r} is not a host; write it without scheme and path, as www.example.com")
        spelt.append(urlsplit(address).netloc.removesuffix(":443"))
    return spelt


def _is_target(target: str) -> bool:
    """Whether this is an IP address or a host name, with or without a port."""
    with suppress(ValueError):
        parts = urlsplit(f"//{target}")
        host = parts.hostname or ""
        if parts.netloc != target or parts.port == 0 or target.endswith(":") or "@" in target:
            return False
        if re.fullmatch(r"[\w-]+(\.[\w-]+)*", host):
            return True
        return bool(ipaddress.ip_address(host))
    return False


def raise_unanswered(source: SourceConfig, failures: Sequence[tuple[str, Refused]]) -> None:
    """Say that no server answered: `UserError` where private addresses are the reason, else `TransientError`."""
    address, refused = failures[0]
    where = f"source {source.name}: {address.partition('?')[0]}"  # a query may hold anything
    if all(r.reason == "blocked_address" for _, r in failures):
        raise UserError(
            f"{where} leads to {refused.measured}, which is no public address; if that is meant, "
            f"allow it under the source's connect_to."
        )
    raise TransientError(f"{where} can't be reached ({refused.measured or refused.reason}).")
