"""What the detectors share: a text read once, and the words that join a cue to its value."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

Hit = tuple[str, int, int]
"""Class, start and end."""

LINK = (
    r"[\"']?(?:\s(?:number|numero|número|numéro|nummer|no\.?|num\.?|nr\.?|n[°º]|id|code|card))?\s{0,3}[#]?\s{0,3}"
    r"(?:[:#=]|\bis\b:?|\bist\b:?|\best\b|\bes\b|\bè\b|\bwas\b)?\s{0,3}[#\"']?"
)
"""Between a cue and its value: "passport no. X", `"passport": "X"`, "passport number is X"."""

_HYPHENS = "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
_PLAIN = (
    {ord(c): "-" for c in _HYPHENS}
    | {ord(c): " " for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) == "Zs"}
    | {ord(c): str(unicodedata.digit(c)) for c in map(chr, range(128, sys.maxunicode + 1)) if c.isdecimal()}
    | {0xFF20: "@", 0xFF0B: "+", 0xFF0E: ".", 0xFF1A: ":", 0xFF08: "(", 0xFF09: ")"}
)


@dataclass(frozen=True, slots=True)
class Text:
    """A text as it is; with plain digits, spaces and hyphens at the same places; and that in small letters."""

    raw: str
    plain: str
    low: str
    numbers: tuple[int, ...]
    """Where a number of a paper may begin."""

    @classmethod
    def read(cls, raw: str) -> Text:
        """Prepare a text for the detectors."""
        plain = raw if raw.isascii() else raw.translate(_PLAIN)
        return cls(raw, plain, plain.lower(), tuple(numbers_in(plain)))  # small letters may be more: only for `holds`

    def holds(self, *words: str) -> bool:
        """Whether a word occurs at all: much cheaper than a pattern that would find nothing."""
        for word in words:  # noqa: SIM110 - as `any` would, at half the price
            if word in self.low:
                return True
        return False


def spans(kind: str, pattern: re.Pattern[str], text: str) -> Iterator[Hit]:
    """Every match of a pattern: of its group `value` where it has one, else all of it."""
    group = "value" if "value" in pattern.groupindex else 0
    return ((kind, *m.span(group)) for m in pattern.finditer(text))


def before(text: str, at: int, reach: int = 45) -> str:
    """The words that lead to a place in a text."""
    return text[max(0, at - reach) : at]


_DIGITS = re.compile(r"[0-9](?<![0-9].)")
_LETTERS = re.compile(r"(?<![\w.,+$€£-])[A-Za-z&Ñ]{1,6}[ -]?$")
_FREE = re.compile(r"(?<![\w.,+$€£-])")
_DENSE = re.compile(r"(?!(?:19|20)\d\d\b)[A-Za-z&Ñ]{0,6}[ -]?\d(?:[^\d\n]{0,2}\d){3}")


def numbers_in(text: str) -> Iterator[int]:
    """Where a number of a paper may begin: four digits at least and no year, up to six letters before them."""
    for found in _DIGITS.finditer(text):
        at = found.start()
        ahead = _LETTERS.search(text, max(0, at - 8), at)
        for start in sorted({at, ahead.start() if ahead else at}):
            if _DENSE.match(text, start) and _FREE.match(text, start):
                yield start
