"""When a row was written: the plain spellings of exports, and which of day and month a column puts first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

_SECONDS, _MILLISECONDS = re.compile(r"\d{9,10}(\.\d+)?"), re.compile(r"\d{12,13}")
_CLOCK = re.compile(
    r"[\s,T]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?\s*(?:(?P<half>[ap])\.?m\.?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE,
)
_PARTED = re.compile(r"(\d{1,2})(?P<by>[./-])(\d{1,2})(?P=by)(\d{4}|\d{2})")
_YEAR_FIRST = re.compile(r"(\d{4})[./-](\d{1,2})[./-](\d{1,2})")
_NAMED = re.compile(
    r"(?:[a-z]{3,9}\.?,?\s+)??(?:(?P<day>\d{1,2})(?:st|nd|rd|th)?\.?[\s-]+(?P<month>[a-z]{3,9})\.?"
    r"|(?P<month2>[a-z]{3,9})\.?\s+(?P<day2>\d{1,2})(?:st|nd|rd|th)?),?[\s-]+(?P<year>\d{4})(?:,?\s+at)?",
    re.IGNORECASE,
)
_LONGEST = 60
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def when(text: str, day_first: bool | None = None) -> datetime | None:
    """A time as ISO 8601, seconds since 1970, 14.03.2026 14:15, 3/14/2026 2:15 PM or 14 March 2026, else None.

    In UTC where it says no zone. `day_first` is what its column says of dates like 3/4/2026; without it, a date
    that may be read in two ways is none.
    """
    text = text.strip().removesuffix(" UTC")
    if len(text) > _LONGEST:
        return None
    try:
        if _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        if _MILLISECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            time = _spelt(text, day_first)
        return time and (time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC))
    except (ValueError, OverflowError, OSError):
        return None


def readings(texts: Iterable[str]) -> tuple[bool | None, ...]:
    """The values of `day_first` by which a column may be read: one, or both where no day is above 12.

    It is None for a column of both kinds, of which only those dates are read that leave no choice.
    """
    found = {_day_first(m) for text in texts if (m := _PARTED.match(text.strip())) and m["by"] != "."} - {None}
    return (found.pop(),) if len(found) == 1 else (None,) if found else (False, True)


def _day_first(parted: re.Match[str]) -> bool | None:
    """Whether a date has its day first, if it says so itself: by its points, or a number that is no month."""
    first, second = int(parted[1]), int(parted[3])
    if parted["by"] == "." or first > 12:
        return True
    return False if second > 12 else None


def _spelt(text: str, day_first: bool | None) -> datetime | None:
    clock = next((m for m in _CLOCK.finditer(text) if m.end() == len(text)), None)
    date = text[: clock.start()] if clock else text
    if m := _YEAR_FIRST.fullmatch(date):
        year, month, day = (int(part) for part in m.groups())
    elif m := _PARTED.fullmatch(date):
        own = _day_first(m)
        day_first = day_first if own is None else own
        if (day_first is None and m[1] != m[3]) or (len(m[4]) == 2 and m["by"] == "-"):
            return None
        day, month = (int(m[1]), int(m[3])) if day_first else (int(m[3]), int(m[1]))
        year = int(m[4]) + (2000 if len(m[4]) == 2 else 0)
    elif m := _NAMED.fullmatch(date):
        month = _MONTHS.index((m["month"] or m["month2"])[:3].lower()) + 1
        year, day = int(m["year"]), int(m["day"] or m["day2"])
    else:
        return None
    if not clock:
        return datetime(year, month, day, tzinfo=UTC)
    hour, half = int(clock["hour"]), (clock["half"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "p" else 0) if 1 <= hour <= 12 else 99
    zone = (clock["zone"] or "Z").upper()
    offset = "+0000" if zone in ("Z", "UTC", "GMT") else zone
    said = f"{year:04}-{month:02}-{day:02} {hour}:{clock['minute']}:{clock['second'] or '00'} {offset}"
    return datetime.strptime(said, "%Y-%m-%d %H:%M:%S %z")
