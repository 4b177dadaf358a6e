"""Detectors of what is known of a person: birth dates, vehicles, and numbers that are said to be of a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sovereign_tasks.curate.pii.forms import LINK, Hit, Text, before, spans

_WORD = r"[^\W\d_]{3,10}"
_BIRTH = re.compile(
    r"(?:\b(?:dob|d\.o\.b\.?|date of birth|birth[ _]?date|date[ _]of[ _]birth|birthday|born|b\.(?= \d)|"
    r"geb(?:oren|\.)?|geburts(?:datum|tag)|née?|date de naissance|fecha de nacimiento|nacid[oa]|"
    r"nat[oa](?= il)|data di nascita|data de nascimento|nascid[oa]|geboortedatum|född|født))"
    r"[\"']?\W{0,3}[\"']?(?:is |on |the |was |am |ist |le |el |il |em |op |den )?[\"']?(?P<value>"
    rf"\d{{1,4}}[/.-] ?\d{{1,2}}[/.-] ?\d{{2,4}}|{_WORD}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|\.|er)?(?: of| de)? {_WORD}\.?,?(?: de)? \d{{4}})(?!\w)",
    re.IGNORECASE,
)
_BIRTH_WORDS = (
    "dob",
    "d.o.b",
    "birth",
    "born",
    "b. ",
    "geb.",
    "gebor",
    "geburt",
    "né ",
    "née ",
    "naissance",
    "nacimi",
    "nacid",
    "nascit",
    "nascid",
    "nato il",
    "nata il",
    "född",
    "født",
)
_PAPER_NUMBER = (  # "X1234567", "12-3456-7890", "D123-4567-8901", "MORGA753116SM9IJ"
    r"(?:[A-Z]{1,3}-?)?\d{5,14}[A-Z]{0,2}|(?:[A-Z]{1,3}-?)?\d{2,6}(?:[/-]\d{2,7}){1,4}(?:-?[A-Z])?"
    r"|\d{2,6}(?: \d{2,6}){1,4}|[A-Z]{2,5}(?=[A-Z]{0,12}\d[A-Z0-9]{0,12}\d)[A-Z0-9]{5,17}"
)
_PAPER = re.compile(rf"(?!(?:19|20)\d\d[ /-])(?:{_PAPER_NUMBER})\b(?!-\w|[.,:]\d|[%°])", re.IGNORECASE)
_PAPER_CUE = re.compile(
    r"\b(?:passport|reisepass|passeport|pasaporte|passaporto|paspoort|driver'?s?'? licen[cs]e|driving licen[cs]e|"
    r"dln?|führerschein|permis de conduire|carnet de conducir|patente di guida|national (?:id|insurance)|"
    r"identity card|id card|personalausweis|carte d'identité|carta d'identità|mrn|medical record|patient|"
    r"member(?:ship)?|subscriber|health (?:insurance|card)|medicare|medicaid|account|acct\.?|konto(?:nummer)?|"
    r"routing|sort code|policy|insurance claim|voter|visa|green card|alien registration|social insurance|"
    r"versicherungsnummer|employee|student|steuernummer)"
    rf"{LINK}$", re.IGNORECASE)  # fmt: skip
_VIN = re.compile(r"\b[A-HJ-NPR-Z0-9]{17}\b")
_VIN_CUE = re.compile(
    r"\b(?:vin|vehicle identification(?: number)?|chassis|fahrgestellnummer|fin)\W{0,4}(?:no\.?|number|is)?\W{0,3}$",
    re.I,
)
_PLATE = re.compile(
    r"\b(?:(?:(?:licen[cs]e|number|registration|vehicle|car) plates?|plate|license tag|tag number|vehicle registration|"
    r"reg(?:istration)?\.? (?:no|number|plate)|kennzeichen|immatriculation|plaque|matrícula|matricula|targa|"
    r"kenteken|placa))"
    rf"{LINK}(?:\(?[A-Z]{{2}}\)? )??"
    r"(?P<value>(?-i:(?=[A-ZÄÖÜ -]{0,7}\d)[A-ZÄÖÜ0-9]{1,4}(?:[ ·-]?[A-Z0-9]{1,4}){1,3}))\b",
    re.IGNORECASE,
)
_PLATE_WORDS = (" plate", "license tag", "tag number", "registration", "reg. ", "reg no", "kennzeichen", "immatric",
                "plaque", "matrícula", "matricula", "targa", "kenteken", "placa")  # fmt: skip
_LONG = re.compile(r"[A-Za-z0-9]{17}")
_VIN_VALUES = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "12345678123457923456789"), strict=True))
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def find_identity(text: Text) -> Iterator[Hit]:
    """Birth dates, vehicles, and the numbers of papers and contracts that are called by their name."""
    if text.holds(*_BIRTH_WORDS):
        yield from spans("BIRTHDATE", _BIRTH, text.plain)
    for hit in spans("VEHICLE", _VIN, text.plain) if _LONG.search(text.plain) else ():
        number = text.plain[hit[1] : hit[2]]
        mixed = not number.isdigit() and not number.isalpha()
        if mixed and (_is_vin(number) or _VIN_CUE.search(before(text.plain, hit[1]))):
            yield hit
    if text.holds(*_PLATE_WORDS):
        yield from spans("VEHICLE", _PLATE, text.plain)
    for start in text.numbers:
        found = _PAPER.match(text.plain, start)
        if found and _PAPER_CUE.search(before(text.plain, start)):
            yield "ID", *found.span()


def _is_vin(number: str) -> bool:
    """By the check digit in the ninth place (ISO 3779 as North America and China use it)."""
    rest = sum((_VIN_VALUES.get(c) or int(c)) * w for c, w in zip(number, _VIN_WEIGHTS, strict=True)) % 11
    return number[8] == ("X" if rest == 10 else str(rest))
