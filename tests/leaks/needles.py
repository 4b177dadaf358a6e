"""Words to look for, and the escapes in which a text may hold them."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from cryptography.fernet import Fernet, InvalidToken

_ESCAPES = re.compile(rb"(?:\\u[0-9a-fA-F]{4})+|\\x[0-9a-fA-F]{2}|\\[^ux]")
_CONTROLS = {b"n": b"\n", b"r": b"\n", b"t": b" ", b"f": b" ", b"b": b" ", b"0": b""}
_ENTITY = re.compile(rb"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});")
_PERCENT = re.compile(rb"%([0-9a-fA-F]{2})")
_QUOTED = re.compile(rb"=(?:\r?\n|([0-9a-fA-F]{2}))")
_BLANKS = (b"\xc2\xa0", "Ġ".encode(), "▁".encode())  # no-break, and how tokenizers write a space
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_LINES = re.compile(rb"(?:^[A-Za-z0-9+/_-]{16,}\r?\n)+[A-Za-z0-9+/_-]*={0,2}", re.MULTILINE)


class Needles:
    """Names of needles, each with its spellings; case and the kind of white space do not tell spellings apart.

    `fernet_keys` open what was encrypted with them.
    """

    def __init__(self, spellings: Mapping[str, Sequence[str]], fernet_keys: Sequence[str] = ()) -> None:
        self.names = frozenset(spellings)
        self._forms = sorted({(name, form) for name, every in spellings.items() for s in every for form in _forms(s)})
        self._fernets = [Fernet(key) for key in fernet_keys]

    def find(self, data: bytes) -> set[str]:
        """The needles that stand in the data, in plain or under escapes."""
        found: set[str] = set()
        for text in {_folded(view) for view in _views(data)}:
            found |= {name for name, form in self._forms if name not in found and form in text}
        return found

    def encoded(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """What stands in the data as Base64, all of it in one piece but for containers, and what keys open."""
        plain: list[bytes] = []
        for text in dict.fromkeys((data, _unescaped(data))):
            for match in _RUN.finditer(text):
                if match[0].startswith(b"gAAAA"):
                    yield from (("Fernet", opened) for opened in self._opened(match[0]))
                # one that was cut from a longer one may begin anywhere in a group of four
                starts = range(4) if match.start() == 0 else range(1)
                plain += [_from_base64(match[0][start:]) for start in starts]
            plain += [_from_base64(re.sub(rb"\s", b"", match[0])) for match in _LINES.finditer(text)]
        for one in plain:
            if len(one) > 64:
                yield "Base64", one
        yield "Base64", b"\n".join(one for one in plain if len(one) <= 64)

    def _opened(self, token: bytes) -> Iterator[bytes]:
        for fernet in self._fernets:
            with suppress(InvalidToken):
                yield fernet.decrypt(token)


def _forms(spelling: str) -> set[bytes]:
    forms = {spelling.encode(), spelling.casefold().encode(), spelling.replace(" ", "+").encode()}
    if not spelling.isascii():
        forms |= {spelling.encode(encoding) for encoding in ("utf-16-le", "utf-16-be")}
        with suppress(UnicodeEncodeError):
            forms.add(spelling.encode("cp1252"))
    return {_folded(form) for form in forms}


def _folded(view: bytes) -> bytes:
    for blank in _BLANKS:
        view = view.replace(blank, b" ")
    return b" ".join(view.lower().split())


def _views(data: bytes) -> Iterator[bytes]:
    """The data as it stands, and without each kind of escape; escapes may lie within escapes."""
    yield data
    if b"\0" in data:
        yield data.replace(b"\0", b"")  # UTF-16 and UTF-32 of what is ASCII
    yield from (undo(data) for undo in (_without_entities, _without_percents, _without_quoting))
    yield _without_quoting(_unescaped(data))
    for _ in range(3):
        data = _unescaped(data)
        yield data
        data = _without_percents(_without_entities(data))
        yield data


def _unescaped(data: bytes) -> bytes:
    """Without the backslashes of JSON and of Python's repr."""

    def plain(match: re.Match[bytes]) -> bytes:
        escape = match[0]
        if escape[1:2] == b"u":
            units = bytes.fromhex(escape.replace(b"\\u", b"").decode())
            return units.decode("utf-16-be", "replace").encode()
        if escape[1:2] == b"x":
            return bytes.fromhex(escape[2:].decode())
        return _CONTROLS.get(escape[1:], escape[1:])

    return _ESCAPES.sub(plain, data) if b"\\" in data else data


def _without_entities(data: bytes) -> bytes:
    if b"&" not in data:
        return data
    return _ENTITY.sub(lambda m: html.unescape(m[0].decode()).encode("utf-8", "replace"), data)


def _without_percents(data: bytes) -> bytes:
    return _PERCENT.sub(lambda m: bytes.fromhex(m[1].decode()), data) if b"%" in data else data


def _without_quoting(data: bytes) -> bytes:
    """Without the escapes of quoted-printable and of its encoded words in mail headers."""
    if b"=" not in data:
        return data
    plain = _QUOTED.sub(lambda m: bytes.fromhex(m[1].decode()) if m[1] else b"", data)
    return plain.replace(b"_", b" ") if b"=?" in data else plain


def _from_base64(run: bytes) -> bytes:
    run = run.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    return base64.b64decode(run[: len(run) - (len(run) % 4 == 1)] + b"=" * (-len(run) % 4 % 3))
