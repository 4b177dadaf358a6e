"""The templates, always escaping, and how times, durations and figures are written."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
MISSING = "–"


def moment(at: datetime, zone: ZoneInfo | None = None) -> str:
    """A time with its offset, as 22 Nov 2026, 02:04 +01:00; in the machine's timezone unless `zone` is given."""
    local = at.astimezone(zone)
    offset = f"{local:%z}"
    return f"{local.day} {local:%b %Y, %H:%M} {offset[:3]}:{offset[3:5]}"


def duration(seconds: float) -> str:
    """Seconds as 0.42 s, 12.3 s or 2 min 3 s."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def count(number: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def figure(value: float, signed: bool = False) -> str:
    """A measured figure to three decimals with a true minus; a dash for what was not measured."""
    if not math.isfinite(value):
        return MISSING
    return f"{value:{'+' if signed else ''}.3f}".replace("-", "\u2212")


def measure(number: int, what: str) -> str:
    """A count of something, as 16 expectations; bytes as 433 kB."""
    if what != "bytes":
        return f"{count(number)} {words(what)}"
    return f"{count(round(number / 1000))} kB" if number >= 1000 else f"{number} bytes"


def words(code: str) -> str:
    """A code such as near_duplicate as words."""
    return code.replace("_", " ")


def sentence(text: str) -> str:
    """Text with a capital first letter and the rest as it is."""
    return text[:1].upper() + text[1:]


def environment() -> Environment:
    """The templates of the pages; everything put into them is escaped, and a missing value is an error."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "moment": moment,
        "duration": duration,
        "count": count,
        "figure": figure,
        "measure": measure,
        "words": words,
        "sentence": sentence,
    }
    return templates
