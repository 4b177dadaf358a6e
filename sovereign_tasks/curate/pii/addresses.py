"""Detectors of street addresses: by the form of several countries, or because they are said to be an address."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sovereign_tasks.curate.pii.forms import Hit
from sovereign_tasks.curate.pii.names import LOW, UP, WORD

_SUFFIX = (
    r"(?:Street|St|Avenue|Ave|Av|Road|Rd|Boulevard|Blvd|Drive|Dr|Lane|Ln|Way|Court|Ct|Place|Pl|Terrace|Ter|"
    r"Parkway|Pkwy|"
    r"Circle|Cir|Highway|Hwy|Trail|Trl|Close|Crescent|Cres|Alley|Loop|Turnpike|Row|Mews|Pike|Plaza|Expressway)"
)
# Counted on a roof, not lived in: "4 Nails Per Row", "30 Year Architectural Shingles Drive".
_COUNTED = (
    r"(?!(?:\w{1,30} ){0,2}Per\b|(?:Inch|Inches|Foot|Feet|Ft|Yards?|Meters?|Mil|Gauge|Ga|Years?|Yr|Months?|Weeks?|"
    r"Days?|Hours?|Minutes|"
    r"Pounds?|Lbs?|Percent|Degrees?|Ply|Layers?|Courses|Squares|Bundles?|Rolls?|Sheets|Boards|Panels|Shingles|Tiles|"
    r"Nails?|Screws?|Staples|Fasteners|Clips|Vents|Starter|Steps|Tabs?|Coats|Pieces?|Pcs|Story|Stories|Bedrooms?)\b)"
)
_UNIT = r"(?:,?\s(?:Apt|Apartment|Suite|Ste|Unit|Floor|Fl|Room|Rm|#)\.?\s?#?[\w-]{1,6})?"
_CITY = (
    rf"(?:,?\s{{1,2}}{WORD}(?: {WORD}){{0,2}},\s(?:[A-Z]{{2}}|{WORD}(?: {WORD})?)(?:\s\d{{5}}(?:-\d{{4}})?)?\b"
    rf"|,?\s[A-Z]{{2}}\s\d{{5}}(?:-\d{{4}})?\b)?"
)
_STREET = re.compile(
    rf"(?<![\w$€£.,/-])\d{{1,6}}(?:-\d{{1,4}})?[A-Za-z]?(?:\s(?:[NSEW]|[NS][EW]|North|South|East|"
    rf"West)\b\.?)?\s{_COUNTED}(?:(?:{WORD}|\d{{1,3}}(?:st|nd|rd|th))\s){{1,4}}?"
    rf"{_SUFFIX}\b\.?(?:\s(?:[NSEW]|[NS][EW]|North|South|East|West)\b)?{_UNIT}{_CITY}"
)
_MAILED = re.compile(
    rf"(?<![\w$€£.,/-])\d{{1,6}}[A-Za-z]? (?:{WORD} ){{0,3}}{WORD}{_UNIT},? {WORD}(?: {WORD}){{0,2}},? "
    rf"[A-Z]{{2}} \d{{5}}(?:-\d{{4}})?\b"
)
_BOX = re.compile(rf"\b(?i:p\.? ?o\.? box) \d{{1,6}}\b{_CITY}")
_ABROAD = re.compile(
    rf"\b[{UP}][{LOW}-]*(?:straße|strasse|str\.|gasse|allee|weg|platz|ring|damm|straat|laan|gracht|plein|kade|"
    rf"gatan|vägen|gata|veien|gade|vej|katu|tie) \d{{1,4}}"
    rf"(?: ?[a-z])?\b(?:,? \d{{5}} {WORD})?"
    rf"|\b\d{{1,4}}(?: bis| ter)?,? (?:rue|avenue|boulevard|place|impasse|chemin) (?:d(?:e|u|es)? "
    rf"?(?:la |l')?)?{WORD}(?:[ -]{WORD}){{0,3}}(?:,? \d{{5}} {WORD})?"
    rf"|\b(?:Via|Viale|Piazza|Corso|Calle|Avenida|Rua|Paseo|Plaza) (?:(?:de|del|della|la|los|las|da|do) "
    rf"){{0,2}}{WORD}(?: {WORD}){{0,2}},? (?:n\.? ?º? ?)?\d{{1,4}}\b"
)
_HOME = re.compile(
    rf"\b(?i:(?:i|we) live at|lives at|(?:my|our|home|mailing|street|property|job) address(?: is)?:?|"
    rf"(?:come|drive|ship|deliver|mail it) to) "
    rf"(?P<value>\d{{1,6}}[A-Za-z]? (?:{WORD}|[NSEW]\.?)(?: {WORD}){{0,3}}{_CITY})"
)


_POSTCODE = re.compile(r"[A-Z]{2} \d{5}")
_HOME_WORDS = ("live at", "lives at", "address", "come to", "drive to", "ship to", "deliver to", "mail it to")


def find_addresses(text: str) -> Iterator[Hit]:
    """Street addresses with house number, post boxes, and what is said to be somebody's address."""
    low = text.lower()
    looked_for = [_STREET, _ABROAD]
    if _POSTCODE.search(text):
        looked_for.insert(1, _MAILED)
    if "box" in low:
        looked_for.insert(-1, _BOX)
    for pattern in looked_for:
        yield from (("ADDRESS", *m.span()) for m in pattern.finditer(text))
    if any(words in low for words in _HOME_WORDS):
        yield from (("ADDRESS", *m.span("value")) for m in _HOME.finditer(text))
