"""Detectors of personal data with a form of its own: addresses of machines and people, accounts, numbers, secrets.

Each yields (class, start, end) and leaves look-alikes alone by checksum, by form, or by the words before it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import phonenumbers
from stdnum import iban, isbn, luhn

Hit = tuple[str, int, int]

_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w.+%'-]{1,64}@(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W\d_]{2,24}(?![^\W\d_]|-\w)"
    r"|(?<![\w.+-])[\w.+-]{1,64}\s?[\[({]\s?(?:at|@)\s?[\])}]\s?[\w-]{1,63}"
    r"(?:\s?[\[({]\s?(?:dot|\.)\s?[\])}]\s?[\w-]{2,63}|\.[a-z]{2,24})+",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|css|js|html?)$", re.IGNORECASE)
_LOGIN_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://[^\s/@:]{1,64}:[^\s/@]{1,64}@[^\s)\]>\"']+", re.IGNORECASE)
_PROFILE_URL = re.compile(
    r"(?:https?://)?(?:www\.|old\.|m\.)?(?:(?:facebook|instagram|tiktok|twitter|x)\.com/@?(?!share|intent|groups|watch|"
    r"search|hashtag|p/)|linkedin\.com/in/|reddit\.com/u(?:ser)?/|github\.com/|t\.me/|youtube\.com/@)[\w.-]{2,}",
    re.IGNORECASE,
)
_NO_HANDLE = (  # of style sheets and code; where something is fastened, found or charged
    r"(?:media|import|param|return|property|edges?|eaves?|ridges?|rakes?|valleys?|hips?|gables?|perimeter|field|seams?|"
    r"laps?|overlaps?|joints?|corners?|center|middle|top|bottom|ends?|start|each|every|all|the|least|most|about|around|"
    r"roof|walls?|chimney|deck|vents?|penetrations?|rafters?|trusses|studs?|night|home|work|site)\b"
)
_HANDLE = re.compile(
    rf"(?<![\w/@.`])(?:/?u/[\w-]{{3,20}}|@(?!{_NO_HANDLE})[a-z]\w{{2,29}})(?![\w@/]|\.\w)", re.IGNORECASE
)
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{30,}|\bgithub_pat_\w{30,}|\bglpat-[\w-]{20,}"
    r"|\b(?:sk|pk|rk)[-_](?:live|test|proj|ant|or)?[-_]?[A-Za-z0-9_-]{20,}|\bxox[abprs]-[\w-]{10,}"
    r"|\bAIza[\w-]{35}|\b(?:hf|npm)_[A-Za-z0-9]{30,}|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    re.DOTALL,
)
_PASSWORD = re.compile(
    r"\b(?:pass(?:word|wd|code|phrase)|api[_ -]?key|secret(?:[_ -]?key)?|access[_ -]?token|auth[_ -]?token)"
    r"[\"']?\s{0,20}(?:[:=]|\bis\b:?)\s{0,20}[\"']?"
    r"(?P<value>(?=[^\s\"',;]{0,256}[\d!@#$%^&*_+=?-])[^\s\"',;]{4,})",
    re.IGNORECASE,
)
_PIN = re.compile(
    r"\bpin(?: code| number)?[\"']?\s{0,20}(?:[:=#]|\bis\b:?)\s{0,20}[\"']?(?P<value>\d{4,12})(?![\w/°%]|[.,-]\d)",
    re.IGNORECASE,
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{2,4}){3,8}\b", re.IGNORECASE)
_CARD = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){11,18}(?![\w-]|\.\d)")
_BRANDS = re.compile(
    r"(?:4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|62\d{14,17}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[689]\d)\d{11}"
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15})"
)
_CARD_CUE = re.compile(
    r"\b(?:card|visa|master ?card|amex|american express)(?: (?:number|no\.?|#))?\W{0,3}(?:is )?$", re.I
)
_SSN = re.compile(r"(?<![\w.+-])(?!000|666)\d{3}([- ]?)(?!00)\d{2}\1(?!0000)\d{4}(?!\w|[-.]\w)")
_SSN_GLUED = re.compile(r"(?<=[a-z])(?!000|666)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_SSN_CUE = re.compile(r"\b(?:ssn|itin|social(?: security)?(?: (?:number|no\.?|#))?|tax ?id)\W*(?:is )?$", re.I)
_IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d|-\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9a-f]*:[0-9a-f:]*:)[0-9a-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])", re.I)
_NUMBERED = re.compile(
    r"(?:\bv(?:er(?:sion)?)?\.?|release|firmware|section|sec\.|chapter|§|clause|figure|fig\.|table|rule|code|build|step)"
    r"\s*$", re.IGNORECASE)  # fmt: skip
_MAC = re.compile(r"(?<![\w:-])[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![\w:-])", re.IGNORECASE)
_IDENTITY = re.compile(
    r"\b(?:passport|driver'?s? licen[cs]e|driving licen[cs]e|national (?:id|insurance)|mrn|medical record|"
    r"patient id|account|acct|routing|policy)(?: (?:number|no\.?|num|#))?\s*(?:[:#]|is)?\s*#?"
    r"(?P<value>[A-Z]{0,3}\d{5,14}[A-Z]?)\b",
    re.IGNORECASE,
)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_BIRTH = re.compile(
    r"\b(?:dob|d\.o\.b\.?|date of birth|birth ?date|birthday|born)\W{0,3}(?:is |on )?(?P<value>"
    rf"\d{{1,4}}[/.-]\d{{1,2}}[/.-]\d{{2,4}}|{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}\.?,? \d{{4}})",
    re.IGNORECASE,
)
_PHONE = re.compile(
    r"(?<![\w.,/+#$€£=~-])(?<![\[(]\d)(?:\+|\()?\(?\d[\d\u00a0]*(?:[ .\u2013/()-]{1,2}\d+){0,6}"
    r"(?:\s?(?:ext\.?|x|extension)\s?\d{1,5})?"
    r"(?![\w%$°]|[-/.,:]\w)", re.IGNORECASE)  # fmt: skip
_PHONE_CUE = re.compile(
    r"\b(?:phone|telephone|tel|cell|mobile|mob|fax|call(?:ed|ing|back)?|callback|dial|ring|text|sms|whatsapp|reach|desk|"
    r"hotline|landline|contact|number is|numbers? (?:at|for)|ph|telefon|tél|teléfono)\b[^\d\n]{0,30}\n?$"
    r"|\[PHONE_\d+\](?:,| or| and|,? or| /)? $", re.IGNORECASE)  # fmt: skip
_PHONE_CUE_AFTER = re.compile(
    r"(?:,|:| -)? ?(?:(?:is|was) )?"
    r"(?:(?:my|our|his|her|their) (?:\w{1,30} )?(?:cell|mobile|phone|telephone|landline|fax|number)|"
    r"\(?(?:cell|mobile|telephone|landline|fax)(?:\)|[,.!]|$))(?!\w)", re.IGNORECASE)  # fmt: skip
_NOT_PHONE = re.compile(
    r"\b(?:order|invoice|sku|part|model|item|product|tracking|serial|permit|licen[cs]e|policy|claim|case|ticket|ref(?:erence)?|"
    r"isbn|issn|upc|ean|lot|batch|catalog(?:ue)?|account|acct|zip|parcel|id|code|standard|astm|size)"
    r"s?(?: (?:number|no\.?|num|code|id))?[ :#.]{0,3}(?:is )?$", re.IGNORECASE)  # fmt: skip
_NANP = re.compile(
    r"(?:(?:\+?1|001)[ .-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d([ .-]))\d{3}(?(1)\1|[ .-])\d{4}"
    r"|(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d{6}"
)
_ABROAD = ("GB", "DE", "FR", "IT", "ES", "NL", "CH", "AT", "AU", "IE", "IN", "BE", "SE", "PL", "NZ", "ZA", "BR")


def find_numbers(text: str, region: str) -> Iterator[Hit]:
    """All hits, the more certain classes first; `region` is where a phone number without a country is from."""
    yield from _spans("SECRET", _SECRET, text)
    yield from (("SECRET", *m.span("value")) for pattern in (_PASSWORD, _PIN) for m in pattern.finditer(text))
    yield from _spans("URL", _LOGIN_URL, text)
    yield from _spans("URL", _PROFILE_URL, text)
    if "@" in text or re.search(r"[\[({]\s?at\s?[\])}]", text, re.IGNORECASE):
        yield from (h for h in _spans("EMAIL", _EMAIL, text) if not _FILE_NAME.search(text[h[1] : h[2]]))
    yield from _ibans(text)
    yield from _cards(text)
    for found in _SSN.finditer(text):
        if found[1] == "-" or _SSN_CUE.search(text[max(0, found.start() - 40) : found.start()]):
            yield "SSN", *found.span()
    yield from _spans("SSN", _SSN_GLUED, text)
    yield from _spans("MAC", _MAC, text)
    yield from _machine_addresses(text)
    yield from (("BIRTHDATE", *m.span("value")) for m in _BIRTH.finditer(text))
    yield from _phones(text, region)
    yield from (("ID", *m.span("value")) for m in _IDENTITY.finditer(text))
    yield from _spans("USER", _HANDLE, text)


def _spans(kind: str, pattern: re.Pattern[str], text: str) -> Iterator[Hit]:
    return ((kind, *m.span()) for m in pattern.finditer(text))


def _ibans(text: str) -> Iterator[Hit]:
    for found in _IBAN.finditer(text):
        candidate = found[0]
        while len(candidate) >= 15:  # a following word may have been taken for a group
            if iban.is_valid(candidate):
                yield "IBAN", found.start(), found.start() + len(candidate)
                break
            candidate = re.sub(r"[ -]?[A-Za-z0-9]+$", "", candidate) if re.search(r"[ -]", candidate) else ""


def _cards(text: str) -> Iterator[Hit]:
    for found in _CARD.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        cued = _CARD_CUE.search(text[max(0, found.start() - 40) : found.start()])
        if (_BRANDS.fullmatch(digits) and luhn.is_valid(digits)) or (cued and 14 <= len(digits) <= 19):
            yield "CARD", *found.span()


def _machine_addresses(text: str) -> Iterator[Hit]:
    for pattern in (_IPV4, _IPV6):
        for found in pattern.finditer(text):
            if _NUMBERED.search(text[max(0, found.start() - 20) : found.start()]):
                continue
            try:
                ipaddress.ip_address(found[0])
            except ValueError:
                continue
            # "::" and "::1" name no machine; 6:12::8:12 is a proportion of slopes
            if pattern is _IPV4 or (len(found[0]) > 3 and re.search(r"[a-f.]|\w{3}", found[0], re.IGNORECASE)):
                yield "IP", *found.span()


def _phones(text: str, region: str) -> Iterator[Hit]:
    for found in _PHONE.finditer(text):
        number = found[0]
        digits = re.sub(r"\D", "", re.split(r"e?x", number, flags=re.IGNORECASE)[0])
        if not 7 <= len(digits) <= 16:
            continue
        before = text[max(0, found.start() - 45) : found.start()]
        cued = bool(_PHONE_CUE.search(before))
        if not cued and _NOT_PHONE.search(before):
            continue
        cued = cued or bool(_PHONE_CUE_AFTER.match(text, found.end()))
        if not cued and number[0] != "+" and isbn.is_valid(digits):
            continue
        if _is_phone(number, digits, region, cued):
            opened = number.startswith("(") and number.count("(") > number.count(")")
            yield "PHONE", found.start() + opened, found.end()


def _is_phone(number: str, digits: str, region: str, cued: bool) -> bool:
    """Is a run of digits a phone number: by how it is written, and for the rest by the words before it."""
    bare = re.split(r"\s?(?:ext|x)", number, flags=re.IGNORECASE)[0].strip()
    groups = re.findall(r"\d+", bare)
    if region in ("US", "CA") and _NANP.fullmatch(bare.removeprefix("(") if ")" not in bare else bare):
        return True
    if bare.startswith(("+", "00")):
        return _possible("+" + digits.removeprefix("00"), None, strict=bare.startswith("00"))
    if cued:
        dated = re.fullmatch(r"(?:19|20)\d\d[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}", bare)
        long = len(digits) >= 9 and (max(map(len, groups)) >= 3 or bare.startswith("0"))
        return not dated and (long or bool(re.fullmatch(r"\d{3}[ .-]\d{4}", bare)))
    if len(digits) < 9 or len(groups) < 2 or re.search(r"\d\.\d", bare):
        return False
    regions = (*_ABROAD, region) if bare.lstrip("(").startswith("0") else (region,) * (region not in ("US", "CA"))
    return any(_possible(bare, r, strict=True) for r in regions)


def _possible(number: str, region: str | None, *, strict: bool) -> bool:
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(parsed) if strict else phonenumbers.is_possible_number(parsed)
