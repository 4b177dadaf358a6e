"""Detectors of places on a map: decimal pairs and degrees with a compass letter, but no slopes and no dimensions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sovereign_tasks.curate.pii.forms import Hit, Text, before, spans

_PAIR = re.compile(
    r"(?<![\w.,-])[-+]?(?P<lat>\d{1,2}\.(?P<fine>\d{3,}))\s?°?\s?(?P<ns>[NS])?\s?[,;/ ]\s?"
    r"(?P<lon>[-+]?\d{1,3}\.\d{3,})(?:\s?°)?(?:\s?(?P<ew>[EWO])\b)?(?!\w|[.,]\d|°)"
)
_FINE = re.compile(r"[0-9]\.[0-9]{3}")
_NAMED = re.compile(
    r"\blat(?:itude)?[\"']?\s?[:=]?\s?[\"']?(?P<first>[-+]?\d{1,2}\.\d{3,})[\"']?°?\s?[NS]?[\s,;|&]{0,4}(?:and )?"
    r"[\"']?(?:lon|lng|long)(?:itude)?[\"']?\s?[:=]?\s?[\"']?[-+]?\d{1,3}\.\d{3,}",
    re.IGNORECASE,
)
_MINUTE = r"\s?\d{1,2}(?:[.,]\d+)?\s?['′’]"
_SECOND = r"\s?\d{1,2}(?:[.,]\d+)?\s?(?:\"|″|”|''|′′)"
_DEGREES = rf"\d{{1,3}}\s?°(?:{_MINUTE}(?:{_SECOND})?)?"
_COMPASS = re.compile(
    rf"(?<![\w.,]){_DEGREES}\s?[NS]\b[\s,;/]{{0,3}}{_DEGREES}\s?[EWO]\b"
    rf"|\b[NS]\s?{_DEGREES}[\s,;/]{{0,3}}[EWO]\s?{_DEGREES}"
)
_CUE = re.compile(
    r"(?:\b(?:gps|coord\w*|lat\w*|location|located at|position|geo|maps?|koordinaten)\W{1,4}|[@=]|\bat )$", re.I
)


def find_coordinates(text: Text) -> Iterator[Hit]:
    """Latitude and longitude, exact to some 10 metres, or to 100 where they are said to be a place."""
    if "°" in text.plain:
        yield from spans("COORDINATES", _COMPASS, text.plain)
    if not _FINE.search(text.plain):
        return
    if "lat" in text.low:
        yield from (("COORDINATES", m.start("first"), m.end()) for m in _NAMED.finditer(text.plain))
    for found in _PAIR.finditer(text.plain):
        if float(found["lat"]) > 90 or abs(float(found["lon"])) > 180:
            continue
        lettered = found["ns"] and found["ew"]
        signed = "-" in found[0] and len(found["fine"]) >= 4
        if lettered or signed or len(found["fine"]) >= 5 or _CUE.search(before(text.plain, found.start(), 20)):
            yield "COORDINATES", *found.span()
