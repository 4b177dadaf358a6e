"""Detectors of addresses of machines: IP of both versions, MAC, and telephones' serial numbers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from stdnum import imei

from sovereign_tasks.curate.pii.forms import LINK, Hit, Text, before, spans

_IPV4 = re.compile(r"\d(?<![\w.-]\d)\d{0,2}(?:\.\d{1,3}){3}(?!\w|\.\d|-\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9a-f]*:[0-9a-f:]*:)[0-9a-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])", re.I)
_NUMBERED = re.compile(
    r"(?:\bv(?:er(?:sion)?)?\.?|release|firmware|section|sec\.|chapter|§|clause|figure|fig\.|table|rule|code|"
    r"build|step|"
    r"driver|update|patch|kernel|bios|oid|part|article|paragraph|appendix)"
    r"(?: (?:no\.?|number|is))?[ :=#]{0,2}$", re.IGNORECASE)  # fmt: skip
_MAC = re.compile(r"(?<![\w:-])[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![\w:-])", re.IGNORECASE)
_IMEI = re.compile(rf"\bimei{LINK}(?P<value>\d{{2}}[ -]?\d{{6}}[ -]?\d{{6}}[ -]?\d{{1,2}})(?!\w)", re.IGNORECASE)


def find_machines(text: Text) -> Iterator[Hit]:
    """Addresses of machines; version numbers, section numbers and slopes are none."""
    plain = text.plain
    if plain.count(":") > 4 or plain.count("-") > 4:
        yield from (h for h in spans("MAC", _MAC, plain) if not plain[h[1] : h[2]].replace("-", "").isdecimal())
    if "imei" in text.low:
        yield from (h for h in spans("ID", _IMEI, plain) if imei.is_valid(plain[h[1] : h[2]]))
    if plain.count(".") > 2:
        yield from _addresses(plain, _IPV4)
    if "::" in plain or plain.count(":") > 6:
        yield from _addresses(plain, _IPV6)


def _addresses(text: str, pattern: re.Pattern[str]) -> Iterator[Hit]:
    for found in pattern.finditer(text):
        if _NUMBERED.search(before(text, found.start(), 20)):
            continue
        try:
            ipaddress.ip_address(found[0])
        except ValueError:
            continue
        # "::" and "::1" name no machine; 6:12::8:12 is a proportion of slopes
        if pattern is _IPV4 or (len(found[0]) > 3 and re.search(r"[a-f.]|\w{3}", found[0], re.IGNORECASE)):
            yield "IP", *found.span()
