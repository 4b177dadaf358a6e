"""Where a connection may lead: only to public addresses, checked on the connected socket itself.

The name is resolved by the connection, and its peer is looked at before a byte is sent, so neither a
redirect nor a name that changes its address between two look-ups can lead into the private network. The
one exception is an explicit allowance: a host mapped to an address, which is then connected to as it is.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOT_PUBLIC = [  # local NAT64, site-local, IPv4-compatible, 6to4 relays: what `is_global` lets pass
    ipaddress.ip_network(network) for network in ("64:ff9b:1::/48", "fec0::/10", "::/96", "192.88.99.0/24")
]


class BlockedAddress(Exception):
    """The peer is not a public address; no OSError, so that no layer below tries again."""


def check_peer(sock: socket.socket) -> socket.socket:
    """Give the socket back if its peer is a public address, else close it and raise `BlockedAddress`."""
    peer = sock.getpeername()[0].split("%")[0]
    if not is_public(peer):
        sock.close()
        raise BlockedAddress(peer)
    return sock


def is_public(peer: str) -> bool:
    """Whether an IP address is public, also where it wraps an IPv4 address."""
    ip = ipaddress.ip_address(peer)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
        ip = inner or ip.ipv4_mapped or ip.sixtofour or ip
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_PUBLIC)


class _Http(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return check_peer(super()._new_conn())


class _Https(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return check_peer(super()._new_conn())


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class CheckedAdapter(HTTPAdapter):
    """A requests adapter that checks every peer, and sends the hosts of `connect_to` where it says.

    `connect_to` maps a host name to "address:port"; the request keeps its own Host header and TLS name.
    """

    def __init__(self, connect_to: dict[str, str], retries: Retry) -> None:
        self._connect_to = {host.lower(): target for host, target in connect_to.items()}
        super().__init__(max_retries=retries)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        self._mapped = PoolManager()

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As requests does, with a mapped host's address in place of its name."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if target := self._connect_to.get(host["host"]):
            pool |= {"server_hostname": host["host"], "assert_hostname": host["host"]}
            to = urlsplit(f"//{target}")
            host |= {"host": to.hostname, "port": to.port or host["port"]}
        return host, pool

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        """A pool of checked connections, or of plain ones to exactly a mapped address; never a proxy."""
        host, pool = self.build_connection_pool_key_attributes(request, verify, cert)
        mapped = urlsplit(request.url).hostname in self._connect_to
        manager = self._mapped if mapped else self.poolmanager
        return manager.connection_from_host(**host, pool_kwargs=pool)

    def add_headers(self, request: PreparedRequest, **_: Any) -> None:
        """Name the host that was asked for, also where the connection leads elsewhere."""
        request.headers["Host"] = urlsplit(request.url).netloc

    def close(self) -> None:
        """Close the connections of both kinds."""
        super().close()
        self._mapped.clear()
