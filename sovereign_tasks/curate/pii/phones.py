"""Detectors of telephone numbers: as written with a country code, as a country writes its own, or by a cue."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import phonenumbers
from stdnum import isbn

from sovereign_tasks.curate.pii.forms import Hit, Text, before

_PHONE = re.compile(
    r"[+(\d](?<![\w.,/+#$€£=~-].)(?<![\[(]\d)(?:(?<=\+)\(?\d|(?<=\()\+?\d|(?<=\d))\d*"
    r"(?:[ ./()-]{1,3}\d+){0,7}"
    r"(?:\s?(?:ext\.?|extension|x|durchwahl|poste)\s?\d{1,6})?(?![\w%$°€£]|[-/.,:]\w)",
    re.IGNORECASE,
)
_EXTENSION = re.compile(r"\s?(?:ext|x|durchwahl|poste)", re.IGNORECASE)
_CUE = re.compile(
    r"(?:\b(?:phone|telephone|tel|cell|cellular|mobile|mob|fax|sms|whatsapp|viber|hotline|landline|ph|helpline|pager|"
    r"call(?:ed|ing|back)?|callback|dial|ring|text|signal|telegram|reach|desk|contact|number is|"
    r"numbers? (?:at|for)|appelez|llame|chiami|bel|ruf\w*|"
    r"anruf\w*|zadzwoń|"
    r"telefon\w*|telefoon\w*|telefax|tél|téléphone|teléfono|telefono|telefone|móvil|celular|cellulare|mobil\w*|handy|"
    r"rufnummer|gsm|portable|puhelin|puh|tlf|tfn|komórka|телефон|тел|моб|电话|手机|電話|τηλ)\b"
    r"[^\d\n]{0,30}\n?|\[PHONE_\w+\](?:,| or| and|,? or| /)? |(?:^|\n|[|,;] ?)\(?[TMPFOCH][.:)] ?)$",
    re.IGNORECASE,
)
_CUE_AFTER = re.compile(
    r"(?:,|:| -)? ?(?:(?:is|was) )?"
    r"(?:(?:my|our|his|her|their) (?:\w{1,30} )?(?:cell|mobile|phone|telephone|landline|fax|number)|"
    r"\(?(?:cell|mobile|telephone|landline|fax|phone|tel|office|home|work|handy)(?:\)|[,.!\n]|$))(?!\w)",
    re.IGNORECASE,
)
_THING = re.compile(
    r"\b(?:order|invoice|sku|part|model|item|product|tracking|serial|permit|licen[cs]e|policy|claim|case|"
    r"ticket|ref(?:erence)?|"
    r"isbn|issn|upc|ean|gtin|lot|batch|catalog(?:ue)?|account|acct|zip|parcel|id|code|standard|astm|size|po|rma|quote|"
    r"version|siret|siren|vat|ust-?idnr|p\.?iva|kvk|abn|acn|artikel\w*|bestell\w*|rechnung\w*|commande|pedido|factura|"
    r"facture|référence|transaction|confirmation|reservation|booking)"
    r"s?(?: (?:number|no\.?|nr\.?|num|code|id))?[ :#.]{0,3}(?:is )?$",
    re.IGNORECASE,
)
_NANP = re.compile(
    r"(?:(?:\+?1|001)[ .-]?)?(?:\([1-9]\d\d\)[ -]?|[1-9]\d\d([ .-]))\d{3}(?(1)\1|[ .-])\d{4}"
    r"|(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d{6}"
)
_CALLED = re.compile(
    r"(?:\b(?:(?:tele)?phone|tel|cell|mobile|mob|fax|ph|sms|whatsapp|landline|number is|contact:|"
    r"(?:call|reach|ring|text|phone) (?:me|us|him|her|them)|telefon\w*|telefoon\w*|tlf|tfn|tél|téléphone|"
    r"teléfono|telefone|móvil|celular|cellulare|"
    r"mobil\w*|handy|gsm|puh)\b|(?:^|\n)[TMPF]:)\W{0,3}(?:(?:number|no|nr|is|at|on|under|back)\W{1,3}){0,3}$",
    re.IGNORECASE,
)
_SHORT = re.compile(r"\d{7,8}|\d{2,5}(?:[ .-]\d{2,5}){1,3}")
_DATE = re.compile(r"(?:19|20)\d\d[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ](?:19|20)\d\d(?: \d\d)?")
_YEARS = re.compile(r"\((?:19|20)\d\d\).*|(?:19|20)\d\d[ /-]+(?:19|20)\d\d(?:\D+(?:19|20)\d\d)*")
# Where a number with a trunk zero, or an area code in brackets, may be from.
_ABROAD = ("GB", "DE", "FR", "IT", "NL", "CH", "AT", "AU", "IE", "IN", "BE", "SE", "FI", "NZ", "ZA", "JP", "KR", "TR",
           "RO", "UA", "IL", "ID", "MY", "PK", "EG", "NG", "BR", "PH", "TH", "VN", "CN", "TW")  # fmt: skip
_BRACKETED = ("BR", "MX", "AR", "IN", "AU", "PT", "UA", "RU", "ZA", "HU", *_ABROAD)


def find_phones(text: Text, region: str) -> Iterator[Hit]:
    """Telephone numbers; `region` is the country of those without a country code (ISO 3166-1 alpha-2)."""
    plain = text.plain
    for found in _PHONE.finditer(plain):
        number = found[0]
        digits = re.sub(r"\D", "", _EXTENSION.split(number)[0])
        if not 7 <= len(digits) <= 16:
            continue
        lead = before(plain, found.start())
        cued = bool(_CUE.search(lead))
        if not cued and _THING.search(lead):
            continue
        after = bool(_CUE_AFTER.match(plain, found.end()))
        bare = _EXTENSION.split(number)[0].strip()
        if _is_phone(bare, digits, region, cued or after, after or bool(_CALLED.search(lead))):
            opened = number.startswith("(") and number.count("(") > number.count(")")
            yield "PHONE", found.start() + opened, found.end()


def _is_phone(bare: str, digits: str, region: str, cued: bool, called: bool) -> bool:
    """Is a run of digits a phone number: by how it is written, and for the rest by the words before it."""
    groups = re.findall(r"\d+", bare)
    bare = bare.removeprefix("(") if ")" not in bare else bare
    if region in ("US", "CA") and _NANP.fullmatch(bare):
        return True
    if bare.startswith(("+", "(+", "00")):
        strict = bare.startswith("00")
        return _possible("+" + digits.removeprefix("00"), None, strict) or (cued and len(digits) >= 9)
    if _DATE.fullmatch(bare) or _YEARS.fullmatch(bare):
        return False
    if cued:
        if len(digits) >= 9 and (max(map(len, groups)) >= 3 or bare.startswith("0")):
            return True
        return bool(re.fullmatch(r"\d{3}[ .-]\d{4}", bare) or (called and _SHORT.fullmatch(bare)))
    if len(digits) < 9 or len(groups) < 2 or isbn.is_valid(digits) or re.search(r"\d\.\d", bare):
        return False
    regions = (region,) * (region not in ("US", "CA"))
    if bare.lstrip("(").startswith("0"):
        regions += _ABROAD
    elif bare.startswith("("):
        regions += _BRACKETED
    return any(_possible(bare, r, True) for r in regions)


@functools.lru_cache(4096)
def _possible(number: str, region: str | None, strict: bool) -> bool:
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(parsed) if strict else phonenumbers.is_possible_number(parsed)
