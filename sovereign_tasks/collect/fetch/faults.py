"""Why an address gave nothing, in reason codes."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from http.client import HTTPException, RemoteDisconnected

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    IncompleteRead,
    LocationValueError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

HOST_FAULTS = frozenset(("unreachable", "timeout", "bad_tls"))
_TIMEOUTS = (TimeoutError, ReadTimeoutError, ConnectTimeoutError)
_BAD_ADDRESS = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, LocationValueError)
_DEEPEST = 10


class Refused(Exception):
    """An address that gave nothing: a reason code, what was measured, and whether it may heal by itself."""

    def __init__(self, reason: str, measured: str = "", transient: bool = False) -> None:
        super().__init__(reason, measured)
        self.reason, self.measured, self.transient = reason, measured, transient


def explain(error: Exception, timeout: float) -> Refused:
    """What an exception of the network libraries says about an address; errors of a body come as urllib3's own."""
    causes = list(_causes(error))
    if any(isinstance(c, _TIMEOUTS) and not isinstance(c, NewConnectionError) for c in causes):
        return Refused("timeout", f"over {timeout:g} s", transient=True)
    if isinstance(error, DecodeError):
        return Refused("http_error", "content encoding")
    if isinstance(error, ProtocolError | SSLError):
        cut = next((c for c in causes if isinstance(c, IncompleteRead)), None)
        measured = f"{cut.partial} of {cut.partial + cut.expected} bytes" if cut else ""
        return Refused("truncated", measured, transient=True)
    if isinstance(error, _BAD_ADDRESS):
        return Refused("bad_address")
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            what = cause.verify_message.rstrip(".")
            return Refused("bad_tls", f"certificate verify failed: {what}", transient=True)
        if isinstance(cause, ssl.SSLError):
            return Refused("bad_tls", (cause.reason or "").replace("_", " ").lower(), transient=True)
        if isinstance(cause, HTTPException) and not isinstance(cause, RemoteDisconnected):
            return Refused("http_error", f"invalid answer ({type(cause).__name__})")
        if isinstance(cause, requests.exceptions.InvalidHeader):
            return Refused("http_error", "invalid headers")
    return Refused("unreachable", type(causes[-1]).__name__, transient=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it wraps, outermost first."""
    cause: BaseException | None = error
    for _ in range(_DEEPEST):
        if cause is None:
            return
        yield cause
        inside = [getattr(cause, "reason", None), *reversed(cause.args), cause.__cause__]
        cause = next((i for i in inside if isinstance(i, BaseException)), None)
