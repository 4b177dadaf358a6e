"""Where a connection may lead, and for how long: only to public addresses, and until a deadline.

A name is resolved here and the connection made to exactly the address that was checked, so neither a redirect
nor a name that changes its address between two look-ups can lead into the private network; nothing is sent there,
not even to connect. The one exception is an explicit allowance: a host mapped to an address, which is then
connected to as it is. The deadline covers the whole answer, however slowly its bytes drip in; only the system's
name look-up keeps its own time.
"""

from __future__ import annotations

import io
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

_MOST_HOSTS = 256
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOT_PUBLIC = [  # local NAT64, site-local, IPv4-compatible, 6to4 relays: what `is_global` lets pass
    ipaddress.ip_network(network) for network in ("64:ff9b:1::/48", "fec0::/10", "::/96", "192.88.99.0/24")
]
_deadline = threading.local()


class BlockedAddress(Exception):
    """The peer is not a public address; no OSError, so that no layer below tries again."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """End whatever this thread reads from the network within so many seconds, with a `TimeoutError`."""
    _deadline.at = time.monotonic() + seconds
    try:
        yield
    finally:
        del _deadline.at


def is_public(peer: str) -> bool:
    """Whether an IP address is public, also where it wraps an IPv4 address."""
    ip = ipaddress.ip_address(peer)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
        ip = inner or ip.ipv4_mapped or ip.sixtofour or ip
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_PUBLIC)


class CheckedAdapter(HTTPAdapter):
    """A requests adapter that checks every peer, and connects the hosts of `connect_to` where it says.

    `connect_to` maps a host name to "address:port"; the request keeps its Host header and TLS name. `connections`
    are kept open to one host.
    """

    def __init__(self, connect_to: dict[str, str], retries: Retry, connections: int) -> None:
        self._connect_to = {host.lower(): target for host, target in connect_to.items()}
        super().__init__(pool_connections=_MOST_HOSTS, pool_maxsize=connections, max_retries=retries)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **settings: Any) -> None:
        """Pools of checked connections, which share one TLS context and so read the trusted certificates once."""
        context = create_urllib3_context()
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        context.sslsocket_class = _TlsSocket
        super().init_poolmanager(connections, maxsize, block, ssl_context=context, **settings)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _pool(HTTPConnectionPool, partial(_Http, self._connect_to)),
            "https": _pool(HTTPSConnectionPool, partial(_Https, self._connect_to)),
        }

    def cert_verify(self, *_: Any) -> None:
        """Nothing: the context verifies."""


def _pool(kind: type[HTTPConnectionPool], connection: partial[HTTPConnection]) -> type[HTTPConnectionPool]:
    return type(kind.__name__, (kind,), {"ConnectionCls": connection})


class _Checked:
    def __init__(self, connect_to: dict[str, str], **settings: Any) -> None:
        super().__init__(**settings)
        self._connect_to = connect_to

    def _new_conn(self) -> socket.socket:
        return _connect(self, self._connect_to.get(self.host, ""))

    @property
    def is_connected(self) -> bool:
        return super().is_connected and not self.sock.has_more()


class _Http(_Checked, HTTPConnection):
    pass


class _Https(_Checked, HTTPSConnection):
    pass


def _connect(connection: HTTPConnection, target: str) -> socket.socket:
    """Connect to a target "address:port", or to a public address of the connection's own host."""
    to = urlsplit(f"//{target}")
    host, port = to.hostname or connection.host, to.port or connection.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as e:
        raise NameResolutionError(host, connection, e) from e
    for *_, address in found:
        if not target and not is_public(address[0]):
            raise BlockedAddress(address[0])
    error = OSError("no address")
    for tried, (family, kind, protocol, _, address) in enumerate(found):
        sock = _Socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(_left() / (len(found) - tried))
            sock.connect(address)
            sock.settimeout(_left())  # for a handshake
            return sock
        except OSError as e:
            sock.close()
            error = e
    if isinstance(error, TimeoutError):
        raise ConnectTimeoutError(connection, str(error)) from error
    raise NewConnectionError(connection, str(error)) from error


def _left() -> float:
    left = _deadline.at - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


class _Timed:
    """A socket that gives each read what is left until the deadline, where a plain one would start anew."""

    resting = False

    def recv_into(self, *args: Any) -> int:
        if self.resting:
            raise BlockingIOError(socket.EAGAIN, "between two answers")
        self.settimeout(_left())
        return super().recv_into(*args)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return _Reader(self, super().makefile("rb", buffering=0))

    def has_more(self) -> bool:
        """Whether bytes wait that the system can't see."""
        return False


class _Socket(_Timed, socket.socket):
    pass


class _TlsSocket(_Timed, ssl.SSLSocket):
    def has_more(self) -> bool:
        return self.pending() > 0


class _Reader(io.BufferedReader):
    """Reads one answer; what it holds at the end was more than announced, and then no other answer follows."""

    def __init__(self, sock: _Timed, raw: socket.SocketIO) -> None:
        super().__init__(raw)
        self._sock = sock

    def close(self) -> None:
        if not self.closed:
            self._sock.resting = True  # so that looking ahead reads nothing new
            with suppress(OSError):
                if self.peek():
                    self._sock.shutdown(socket.SHUT_RDWR)
            self._sock.resting = False
        super().close()
