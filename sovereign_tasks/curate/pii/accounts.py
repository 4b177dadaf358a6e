"""Detectors of payment cards and bank accounts, by brand, check digits and form."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stdnum import iban, luhn
from stdnum.exceptions import ValidationError

from sovereign_tasks.curate.pii.forms import Hit, Text, before

_IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{1,4}){3,9}\b")
_CARD = re.compile(r"\d(?<![\w.+-]\d)(?:[ -]?\d){11,18}(?![\w-]|\.\d)")
_BRANDS = re.compile(  # Visa, Mastercard, American Express, Discover, UnionPay, JCB, Diners, Maestro, RuPay, Mir, Troy
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|6[02]\d{14,17}|8[12]\d{14}|35\d{14}|(?:2131|1800)\d{11}"
    r"|3(?:0[0-5]|095|[689]\d)\d{11}|220[0-4]\d{12}|9792\d{12}"
    r"|(?:5018|5020|5038|5893|6304|6390|6759|676[1-3]|0604)\d{8,15}"
)
_CARD_CUE = re.compile(
    r"\b(?:card|visa|master ?card|amex|american express|maestro|discover|diners|jcb|karte|kreditkarte|carte|tarjeta|"
    r"carta|cartão|kaart|karta|cc|pan)(?: (?:number|nummer|no\.?|nr\.?|num|ending|#))?\W{0,3}(?:is |ist |es |est )?$",
    re.IGNORECASE,
)
_CARD_TALK = re.compile(
    r"\b(?:cards?|cc|credit|debit|visa|mastercard|amex|payment|billing|kreditkarte|tarjeta)\b", re.I
)


def find_accounts(text: Text) -> Iterator[Hit]:
    """Cards of all brands and IBANs with a right check digit, and numbers that are said to be a card's."""
    plain = text.plain
    yield from _ibans(plain)
    for found in _CARD.finditer(plain):
        digits = re.sub(r"\D", "", found[0])
        lead = before(plain, found.start(), 60)
        if luhn.is_valid(digits) and digits.strip("0"):
            around = lead + plain[found.end() : found.end() + 40]
            right = bool(_BRANDS.fullmatch(digits) or _CARD_TALK.search(around))
        else:
            right = len(digits) >= 14 and bool(_CARD_CUE.search(lead))
        if right:
            yield "CARD", *found.span()


def _ibans(text: str) -> Iterator[Hit]:
    for found in _IBAN.finditer(text):
        candidate = found[0]
        while len(candidate) >= 15:  # a following word may have been taken for a group
            if _is_iban(candidate):
                yield "IBAN", found.start(), found.start() + len(candidate)
                break
            candidate = candidate[: max(candidate.rfind(" "), candidate.rfind("-"), 0)]


def _is_iban(number: str) -> bool:
    """By its check digits and its country's length; a country's own check digits inside are left out."""
    try:
        iban.validate(number, check_country=False)
    except ValidationError:
        return False
    return True
