"""One address per page: how a url is spelt before it becomes part of a document's identity."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from requests.utils import requote_uri

_PORTS = {"http": 80, "https": 443}
_TRACKING = re.compile(r"utm_\w+|gclid|dclid|fbclid|msclkid|yclid|mc_[ce]id|_ga|_hs(enc|mi)|igshid|ref_src", re.I)
_LONGEST = 2000


def canonical(address: str, base: str = "") -> str | None:
    """Spell an http(s) address one way, relative to `base`; None for anything that is not one.

    Lower-case ASCII host, no default port, no user, no fragment, no tracking parameters; the order of the
    other parameters stays, since servers may care.
    """
    try:
        parts = urlsplit(urljoin(base, address.strip()))
        port = parts.port
        host = (parts.hostname or "").rstrip(".").encode("idna").decode("ascii").lower()
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host:
        return None
    host = f"[{host}]" if ":" in host else host
    if port not in (None, _PORTS[parts.scheme]):
        host = f"{host}:{port}"
    query = "&".join(p for p in parts.query.split("&") if p and not _TRACKING.fullmatch(p.split("=")[0]))
    spelt = urlunsplit(SplitResult(parts.scheme, host, parts.path or "/", query, ""))
    spelt = requote_uri(spelt)
    return spelt if len(spelt) <= _LONGEST else None


def origin(address: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def site(address: str) -> str:
    """Host and port without a leading www., which is what bounds a crawl."""
    return urlsplit(address).netloc.removeprefix("www.")
