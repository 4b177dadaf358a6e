"""The exact facts of a text: numbers with their units, prices, percentages, dimensions, slopes and dates.

Each has one form: "$12k" and "12,000 dollars" are one fact, and so are "3 1/2 in" and "3.5 inches", or "5/12" and
"5 in 12"; 8 feet and 8 inches are two. A range states both of its ends. Numbers in words count where a unit follows.
The numbers of a list's steps are no facts, nor are those within a code (D3462) or a placeholder ([PHONE_1]).
English, with a comma for thousands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

_UNITS = {
    "%": "%, percent, per cent",
    "$": "dollar, dollars, usd",
    "€": "euro, euros, eur, €",
    "£": "gbp, £",
    "cent": "cent, cents",
    "in": 'in, inch, inches, ", ″',
    "ft": "ft, foot, feet, ', ′",
    "yd": "yd, yard, yards",
    "mi": "mile, miles",
    "mm": "mm, millimeter, millimeters, millimetre, millimetres",
    "cm": "cm, centimeter, centimeters, centimetre, centimetres",
    "m": "m, meter, meters, metre, metres",
    "km": "km, kilometer, kilometers, kilometre, kilometres",
    "mil": "mil, mils",
    "gauge": "gauge, ga",
    "sq in": "square inch, square inches, sq in, sq. in",
    "sq ft": "square foot, square feet, square-foot, sq ft, sq. ft, sqft, sf, ft², ft2",
    "sq yd": "square yard, square yards, sq yd, sq. yd",
    "sq m": "square meter, square meters, square metre, square metres, sq m, sqm, m², m2",
    "square": "square, squares",
    "cu ft": "cubic foot, cubic feet, cu ft, cu. ft, ft³",
    "cu yd": "cubic yard, cubic yards, cu yd, cu. yd",
    "gal": "gallon, gallons, gal",
    "l": "liter, liters, litre, litres",
    "oz": "ounce, ounces, oz",
    "lb": "pound, pounds, lb, lbs",
    "g": "g, gram, grams",
    "kg": "kg, kilogram, kilograms, kilo, kilos",
    "ton": "ton, tons, tonne, tonnes",
    "psi": "psi",
    "psf": "psf, pounds per square foot, pound per square foot",
    "mph": "mph, miles per hour, mile-per-hour",
    "km/h": "km/h, kph",
    "°": "°, degree, degrees, deg",
    "°F": "°f, ° f, degrees f, degrees fahrenheit",
    "°C": "°c, ° c, degrees c, degrees celsius",
    "W": "watt, watts",
    "kW": "kw, kilowatt, kilowatts",
    "kWh": "kwh, kilowatt hour, kilowatt hours, kilowatt-hours",
    "V": "volt, volts",
    "A": "amp, amps, ampere, amperes",
    "second": "second, seconds, sec, secs",
    "minute": "minute, minutes, min, mins",
    "hour": "hour, hours, hr, hrs",
    "day": "day, days",
    "week": "week, weeks",
    "month": "month, months",
    "year": "year, years, yr, yrs",
}
_CANONICAL = {form: unit for unit, forms in _UNITS.items() for form in forms.split(", ")}
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_TEENS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
_SPELLED = {word: Fraction(n) for n, word in enumerate(f"{_TEENS}eighteen nineteen".split(), 1)}
_TENS = {
    word: Fraction(10 * n)
    for n, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
_PARTS = {"half": Fraction(1, 2), "quarter": Fraction(1, 4), "eighth": Fraction(1, 8)}
_TIMES = {"k": 10**3, "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_PLAIN = str.maketrans(
    dict(zip("½¼¾⅓⅔⅛⅜⅝⅞", " 1/2, 1/4, 3/4, 1/3, 2/3, 1/8, 3/8, 5/8, 7/8".split(","), strict=True))
    | {"⁄": "/", "‐": "-", "‑": "-", "−": "-", "’": "'", "”": '"'}
)
_NOT_INCHES = "the|an?|each|every|this|that|these|all|most|any|your|our|my|his|her|its|their|one"


def _form(form: str) -> str:
    """A unit as it is written, if it ends there; "4 in the valley" has no inches."""
    if form == "in":
        return rf"in(?!\w|-|\s(?:{_NOT_INCHES}|\d)\b)"
    return re.escape(form) + (r"(?![a-z])" if form == "'" else r"(?!\w)" if form[-1].isalnum() else "")


_STEP = re.compile(r"^[ \t]{0,20}\d{1,3}[.)](?=\s)", re.MULTILINE | re.ASCII)
_MONTH = r"\b(?P<month>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|" \
         r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b\.?"  # fmt: skip
_YEAR = r"(?P<year>(?:19|20)\d\d)(?!\d)"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_DATES = [
    re.compile(r"(?<![\d-])(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?!\d)", re.ASCII),
    re.compile(rf"{_MONTH} {_DAY}(?![\w/%])(?:,? {_YEAR})?", re.ASCII),
    re.compile(rf"(?<![\w.,/$€£-]){_DAY} (?:of )?{_MONTH}(?:,? {_YEAR})?", re.ASCII),
    re.compile(rf"{_MONTH},? {_YEAR}", re.ASCII),
    re.compile(r"(?<![\w/])(?P<slashed>\d{1,2}/\d{1,2}/(?:\d\d)?\d\d)(?![\w/])", re.ASCII),
]
_RATIO = re.compile(r"(?<![\w./:,$€£])(\d{1,3})(?: in |-in-|:)(\d{1,2})(?![\w/:]|[.,]\d)", re.IGNORECASE | re.ASCII)
_WORD = "|".join(_SPELLED)
_QUANTITY = re.compile(
    r"(?P<sign>(?<![\w)\"'%°])-(?=\d))?(?:(?P<money>[$€£]) ?)?(?<![\w.])(?:"
    r"(?P<whole>\d{1,4}[ -])?(?P<over>\d{1,4})/(?P<under>[1-9]\d{0,3})(?![\d/])|"
    r"(?P<digits>\d{1,3}(?:,\d{3}){1,4}(?:\.\d{1,6})?|\d{1,12}(?:\.\d{1,6})?|\.\d{1,6})(?!\d|\.\d)|"
    rf"(?:(?P<sum>\d{{1,3}}|{_WORD}) and an? )?(?P<part>{'|'.join(_PARTS)})(?![\w])(?: of)?(?: an?)?(?= |-)|"
    rf"(?:(?P<tens>{'|'.join(_TENS)})(?:[ -](?P<and_ones>{_WORD}))?|(?P<ones>{_WORD}))(?!\w))"
    rf"(?: ?-?(?P<times>{'|'.join(_TIMES)})(?!\w))?\+?"
    rf"(?:[ -]?(?P<unit>{'|'.join(map(_form, sorted(_CANONICAL, key=len, reverse=True)))}))?",
    re.IGNORECASE | re.ASCII,
)
_BY = re.compile(r" ?(?:x|×|\*|by|-by-) ?", re.IGNORECASE | re.ASCII)
_GLUED = re.compile(r"(?<=[\d'\"])[x×](?=[\d.])", re.IGNORECASE | re.ASCII)
_TO = re.compile(r" ?(?:-|–|—) ?|-? (?:to|or|and) ", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Quantity:
    """A number as it stands in a text: `value` times `times`, or `ratio` as it is written where it has no unit."""

    value: Fraction
    unit: str
    span: tuple[int, int]
    spelled: bool
    times: int = 1
    ratio: str = ""

    def __str__(self) -> str:
        return f"{self.value * self.times} {self.unit}" if self.unit else self.ratio or str(self.value * self.times)


def find_facts(text: str) -> set[str]:
    """The facts that a text states, each in its one form."""
    found: set[str] = set()
    text = _GLUED.sub(" x ", " ".join(_STEP.sub("", text.translate(_PLAIN)).split()))
    for pattern in (*_DATES, _RATIO):
        found |= {_ratio_or_date(match) for match in pattern.finditer(text)}
        text = pattern.sub(" ; ", text)
    return found | set(_join([_read(match) for match in _QUANTITY.finditer(text)], text))


def fact_recall(given: str, wanted: str) -> float | None:
    """The share of the wanted text's facts that the given text states too; None where it wants none."""
    facts = find_facts(wanted)
    return len(facts & find_facts(given)) / len(facts) if facts else None


def _ratio_or_date(match: re.Match[str]) -> str:
    if match.re is _RATIO:
        return f"{int(match[1])}:{int(match[2])}"
    named = match.groupdict()
    if slashed := named.get("slashed"):  # which comes first, day or month, is not told
        return "/".join(str(int(part)) for part in slashed.split("/"))
    month = named["month"]
    number = int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1
    parts = [named["year"], f"{number:02d}", f"{int(named['day']):02d}" if named.get("day") else None]
    return "-".join(part for part in parts if part)


def _read(match: re.Match[str]) -> _Quantity:
    named = {name: (value or "").lower() for name, value in match.groupdict().items()}
    ratio = ""
    if named["digits"]:
        value = Fraction(named["digits"].replace(",", ""))
    elif named["over"]:
        value = Fraction(int(named["over"]), int(named["under"]))
        ratio = "" if named["whole"] else f"{int(named['over'])}:{int(named['under'])}"
        value += int(named["whole"].rstrip(" -") or 0)
    elif named["part"]:
        more = named["sum"]
        value = _PARTS[named["part"]] + (_SPELLED[more] if more in _SPELLED else int(more or 0))
    else:
        ones = named["ones"] or named["and_ones"]
        value = _TENS.get(named["tens"], Fraction(0)) + _SPELLED.get(ones, Fraction(0))
    unit, times = _CANONICAL.get(named["unit"], ""), _TIMES.get(named["times"], 1)
    if named["money"]:
        times = 10**6 if unit == "m" else times  # "$1.5M"
        unit = named["money"]
    if named["sign"] and unit.startswith("°"):
        value = -value
    spelled = not (named["digits"] or named["over"])
    return _Quantity(value, unit, match.span(), spelled, times, ratio)


def _join(quantities: list[_Quantity], text: str) -> list[str]:
    """The quantities as facts: those of a dimension as one, those of a range each with its unit."""
    chains: list[list[_Quantity]] = []
    for this in quantities:
        last = chains[-1][-1] if chains else None
        between = text[last.span[1] : this.span[0]] if last else ""
        if last and _BY.fullmatch(between):
            chains[-1].append(this)
            continue
        before = text[: last.span[0]][-8:].lower() if last else ""
        if last and _TO.fullmatch(between) and ("and" not in between or before == "between "):
            if last.unit in ("$", "€", "£") and not this.unit:
                this = replace(this, unit=last.unit)
            elif this.unit and not last.unit:
                chains[-1][-1] = last = replace(last, unit=this.unit)
            if last.unit == this.unit and last.times == 1 and last.value < this.value:  # "$10-12k"
                chains[-1][-1] = replace(last, times=this.times)
        chains.append([this])
    facts = []
    for chain in chains:
        unit = chain[-1].unit
        parts = [part if part.unit else replace(part, unit=unit) for part in chain]
        if unit or not any(part.spelled for part in parts):
            facts.append(" x ".join(map(str, parts)))
    return facts
