"""Reading a server's answer, no further than it is wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from sovereign_tasks.collect.fetch.canonical import canonical
from sovereign_tasks.collect.fetch.faults import Refused

_TYPE = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,80}")
_LENGTH = re.compile(r"([0-9]{1,18})(\s*,\s*\1)*")
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: `target` is where a redirect leads, canonical; the body is empty unless 2xx.

    Values of repeated headers are joined by commas; those of X-Robots-Tag by line breaks, as each stands for itself.
    """

    address: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    target: str


def read_answer(
    address: str, response: requests.Response, types: tuple[str, ...], max_bytes: int, truncate: bool
) -> Answer:
    """The answer with its body, decompressed; `Refused` if it is no use.

    A body of more than `max_bytes` is refused, or cut where `truncate` says so. Errors of the network pass.
    """
    status, headers = response.status_code, CaseInsensitiveDict(response.headers)
    if not _LENGTH.fullmatch(headers.get("Content-Length", "0").strip()):
        raise Refused("http_error", "invalid Content-Length")
    if tags := response.raw.headers.getlist("X-Robots-Tag"):
        headers["X-Robots-Tag"] = "\n".join(" ".join(tag.split()) for tag in tags)
    if 200 <= status < 300:
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if status == 200 and types and kind not in types:
            raise Refused("content_type", kind if _TYPE.fullmatch(kind) else "none")
        return Answer(address, status, headers, _read(response, max_bytes, truncate), "")
    target = ""
    if status in _REDIRECTS:
        location = headers.get("Location", "").encode("latin-1").decode("utf-8", "replace")
        target = canonical(location, address) or ""
        if not target or not location:
            raise Refused("http_error", f"{status} without a usable Location")
    _leave(response)
    return Answer(address, status, headers, b"", target)


def _read(response: requests.Response, max_bytes: int, truncate: bool) -> bytes:
    """By small reads, so that no more is unpacked than is kept; at its end the connection goes back by itself."""
    codings = {coding.strip().lower() for coding in response.headers.get("Content-Encoding", "").split(",")}
    if codings - {"", "identity", *response.raw.CONTENT_DECODERS}:
        raise Refused("http_error", "content encoding")
    parts, size = [], 0
    while size <= max_bytes and (chunk := response.raw.read1(_CHUNK, decode_content=True)):
        parts.append(chunk)
        size += len(chunk)
    if size > max_bytes and not truncate:
        raise Refused("too_large", f"over {max_bytes} bytes")
    return b"".join(parts)[:max_bytes]


def _leave(response: requests.Response) -> None:
    """Read a short body that nobody wants, so that the connection can serve the next request."""
    left = _CHUNK
    with suppress(HTTPError):
        while left > 0 and (chunk := response.raw.read1(left, decode_content=False)):
            left -= len(chunk)
