"""A second look for personal data in text that was scrubbed, by other rules than those that scrubbed it.

Nothing here is shared with `pii` and its detectors, so a mistake there is not made twice. It is tuned for precision:
what it finds costs a row. Names, and addresses without state and postcode, have no form to know them by, so they are
not looked for.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from phonenumbers import Leniency, PhoneNumberMatcher
from stdnum import iban, isbn, luhn

_ANYTHING = re.compile(r"[\d@]|\bu/|assword|PRIVATE KEY")
_PLACEHOLDER = re.compile(r"\[[A-Z]{2,12}_\w{1,64}\]")
_CALLED = re.compile(
    r"\b(?:phone|telephone|tel|cell|mobile|fax|call(?:ing)?|dial|text|whatsapp|number is)\b[^\d\n]{0,20}$",
    re.IGNORECASE,
)
_NUMBER_OF = re.compile(  # a number of something, and no one's
    r"(?:\b(?:order|invoice|sku|part|model|item|product|tracking|serial|permit|licen[cs]e|claim|case|ticket|ref|"
    r"reference|isbn|issn|upc|ean|lot|batch|catalog(?:ue)?|inventory|stock|trace|version|release|firmware|build|section|figure|"
    r"table|standard|doi|pmid|grant|patent|trial)s?\b(?: no\.)?|[#§])[^\n.;]{0,16}$",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,6}([a-z]{2,24})\b", re.IGNORECASE)
_FILES = {"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "html"}
_LOGIN = re.compile(r"://[^\s/:@]{1,64}:[^\s/@]{1,64}@")
_USER = re.compile(r"(?<![\w/.-])/?u/[A-Za-z0-9_-]{3,20}(?![\w/])")
_DIGITS = re.compile(r"(?<![\w.,/$€£#-])[+(]?\d(?:[ ().\u00a0\u2010-\u2013-]{0,2}\d){6,18}(?![\w%°]|[-/.,]\w)")
_NANP = re.compile(r"(?:\+?1[ .-]?)?(?:\([2-9]\d\d\) ?\d{3}[ .-]|[2-9]\d\d([.-])\d{3}\1)\d{4}")
_CARD = re.compile(
    r"(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6(?:011|5\d\d))([ -]?)\d{4}\1\d{4}\1\d{4}|3[47]\d\d([ -]?)\d{6}\2\d{5}"
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_SSN = re.compile(
    r"(?<![\w.+/-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w/-])"
    r"|\b(?:SSN|[Ss]ocial [Ss]ecurity(?: [Nn]umber)?)[ :#]{1,3}(?:is )?\d{3} ?\d\d ?\d{4}\b"
)
_IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE)
_MAC = re.compile(r"(?<![\w:-])[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![\w:-])", re.IGNORECASE)
_ADDRESS = re.compile(r"\b\d{1,6}(?: [A-Z][\w.'-]*){1,5},? (?:[A-Z][\w'-]*[ ,]+){1,3}[A-Z]{2},? \d{5}(?:-\d{4})?\b")
_BORN = re.compile(
    r"\b(?:born(?: on)?|birth(?: ?day| ?date)?|dob)\W{1,3}(?:is )?(?:\d{1,2}[/.-]\d{1,2}[/.-]\d{4}|\d{4}-\d\d-\d\d|"
    r"[a-z]{3,9}\.? \d{1,2},? \d{4}|\d{1,2} [a-z]{3,9} \d{4})\b",
    re.IGNORECASE,
)
_IDENTITY = re.compile(
    r"\b(?:passport|driver'?s licen[cs]e|medical record|mrn|account|acct)(?: (?:number|no\.?))?[ :#]{1,3}(?:is )?"
    r"[A-Z]{0,2}\d{6,12}\b",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----|\bA[KS]IA[A-Z0-9]{16}\b|\bgh[a-z]_[A-Za-z0-9]{36}|\bglpat-[\w-]{20}|"
    r"\bsk[-_][\w-]{24}|\bxox[a-z]-[\w-]{12}|\bAIza[\w-]{35}|\beyJ[\w-]{12,}\.[\w-]{12,}\.[\w-]{12,}"
)
_PASSWORD = re.compile(
    r"\b(?:password|passwd|passcode|api[ _-]?key)[\"']? ?[:=] ?[\"']?(?=\S{0,40}[\d!@#$%^&*])[^\s\[\"']{6,}", re.I
)
_LONG = re.compile(r"(?<![\w/+=.:,-])[A-Za-z0-9+/_-]{32,512}={0,2}(?![\w/+=-])")
_BITS = 4.2  # a character: random letters and digits of both cases have 4.6 and more in 32, words and hex at most 4
_CHANGES = 1 / 3  # from letters of one case to the other or to digits, a character; words hardly change
# What a pattern needs to be tried at all, in lower case: most texts have none of it, and a search for it is cheap.
_FORMS = (
    ("URL", _LOGIN, ("://",)),
    ("USER", _USER, ("u/",)),
    ("SECRET", _SECRET, ("private key", "akia", "asia", "gh", "glpat-", "sk-", "sk_", "xox", "aiza", "eyj")),
    ("SECRET", _PASSWORD, ("passw", "passcode", "api")),
    ("MAC", _MAC, (":", "-")),
    ("BIRTHDATE", _BORN, ("born", "birth", "dob")),
    ("ID", _IDENTITY, ("passport", "licen", "medical record", "mrn", "acc")),
    ("ADDRESS", _ADDRESS, (" ",)),
)


def recheck(text: str, region: str = "US") -> list[str]:
    """The class of each piece of personal data that a text still holds; placeholders are none.

    `region` is the country of telephone numbers without a country code.
    """
    if not _ANYTHING.search(text):
        return []
    text = _PLACEHOLDER.sub("[]", text)
    return list(_find(text, region)) if _ANYTHING.search(text) else []


def _find(text: str, region: str) -> Iterator[str]:
    low = text.lower()
    for kind, pattern, needed in _FORMS:
        if any(word in low for word in needed):
            yield from (kind for _ in pattern.finditer(text))
    if "@" in text:
        yield from ("EMAIL" for m in _EMAIL.finditer(text) if m[1].lower() not in _FILES)
    yield from ("SECRET" for m in _LONG.finditer(text) if _is_random(m[0].rstrip("=")))
    yield from ("IP" for pattern in (_IPV4, _IPV6) for m in pattern.finditer(text) if _is_machine(m, text))
    yield from ("IBAN" for m in _IBAN.finditer(text) if _is_iban(m[0]))
    yield from ("SSN" for m in _SSN.finditer(text) if not _counts_things(text, m.start()))
    for found in _DIGITS.finditer(text):
        if _counts_things(text, found.start()):
            continue
        if _is_card(found[0]):
            yield "CARD"
        elif _is_phone(found[0], region, called=bool(_CALLED.search(_before(text, found.start())))):
            yield "PHONE"


def _before(text: str, start: int) -> str:
    return text[max(0, start - 40) : start]


def _counts_things(text: str, start: int) -> bool:
    return bool(_NUMBER_OF.search(_before(text, start)))


def _is_card(number: str) -> bool:
    return bool(_CARD.fullmatch(number)) and luhn.is_valid(re.sub(r"\D", "", number))


def _is_iban(number: str) -> bool:
    """Also where a following word in capitals was taken for a group."""
    groups = number.split(" ")
    return any(iban.is_valid("".join(groups[:n])) for n in range(len(groups), 0, -1))


def _is_phone(number: str, region: str, *, called: bool) -> bool:
    """Written as a telephone number is: in the country's own groups, or with a country code.

    Digits in one piece may be any count or order, so only what is `called` one is.
    """
    bare = number.strip("()")
    if isbn.is_valid(bare) or (bare.isdigit() and not called):
        return False
    if (bare.isdigit() and 10 <= len(bare) <= 13) or (region in ("US", "CA") and _NANP.fullmatch(number)):
        return True
    leniency = Leniency.VALID if number.startswith("+") or called else Leniency.STRICT_GROUPING
    return any(True for _ in PhoneNumberMatcher(number, region, leniency=leniency, max_tries=8))


def _is_machine(found: re.Match[str], text: str) -> bool:
    """An address of a machine, and no number of a section or version, whose parts are small."""
    written = found[0]
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or _counts_things(text, found.start()):
        return False
    if address.version == 4:
        return max(map(int, written.split("."))) >= 100 and not written.startswith("255.")
    return sum(len(group) >= 3 for group in written.split(":")) >= 2


def _is_random(token: str) -> bool:
    """Whether a long token looks drawn by lot, as keys are: of letters in both cases and digits, hardly repeated."""
    kinds = ["0" if c.isdigit() else "A" if c.isupper() else "a" for c in token if c.isalnum()]
    if min(kinds.count(kind) for kind in "0Aa") < 3:
        return False
    changes = sum(a != b for a, b in pairwise(kinds)) / len(token)
    entropy = -sum(n / len(token) * math.log2(n / len(token)) for n in Counter(token).values())
    return changes >= _CHANGES and entropy >= _BITS
