"""Detectors of the numbers by which states know people, on python-stdnum's check digits.

A number without a cue before it counts only where its form and check digits leave little to chance: no order number
is to be blanked.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType

from sovereign_tasks.curate.pii.forms import LINK, Hit, Text, before


@dataclass(frozen=True, slots=True)
class Number:
    """A kind of number: its class, python-stdnum's module ("" where only the form tells), its form, and cues."""

    kind: str
    module: str
    form: str
    cues: str
    """Words of which one must stand before it, split by |; only a help to readers where `needs_cue` is false."""
    needs_cue: bool = True


_D9 = r"\d{3}[ -]?\d{3}[ -]?\d{3}"
_D11 = r"\d{2}[ ]?\d{3}[ ]?\d{3}[ ]?\d{3}|\d{11}"
_DATED = r"\d{6}[ -]?\d{4}"
NUMBERS = [
    Number("SSN", "us.ssn", r"\d{3}-\d{2}-\d{4}", "ssn|social security", needs_cue=False),
    Number("SSN", "us.itin", r"9\d{2}-[5-9]\d-\d{4}", "itin", needs_cue=False),
    Number("SSN", "", r"\d{3}[ -]?\d{2}[ -]?\d{4}", "ssn|itin|social security|social|tin|taxpayer|"
           "tax id"),
    Number("ID", "us.ein", r"\d{2}-?\d{7}", "ein|employer identification"),
    Number("ID", "", r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]",
           "national insurance|nino|ni", needs_cue=False),
    Number("ID", "gb.nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", "nhs"),
    Number("ID", "gb.utr", r"\d{5} ?\d{5}K?", "utr|unique taxpayer reference"),
    Number("ID", "ca.sin", _D9, "sin|social insurance|nas"),
    Number("ID", "ca.bc_phn", r"\d{4} ?\d{3} ?\d{3}", "phn|personal health"),
    Number("ID", "de.idnr", _D11, "steuer-id|steuer-identifikationsnummer|steueridentifikationsnummer|steuer-idnr.|"
           "steuerliche identifikationsnummer|idnr|idnr.|tax id|steuernummer|tin"),
    Number("ID", "fr.nir", r"[1-478] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", "nir|sécurité sociale",
           needs_cue=False),
    Number("ID", "fr.nif", r"[0-3]\d ?\d{2} ?\d{3} ?\d{3} ?\d{3}", "numéro fiscal|nif|spi"),
    Number("ID", "es.dni", r"\d{8}[ -]?[A-Z]", "dni|d.n.i.|nif|documento nacional de identidad|documento"),
    Number("ID", "es.nie", r"[XYZ]-?\d{7}-?[A-Z]", "nie", needs_cue=False),
    Number("ID", "it.codicefiscale", r"[A-Z]{6} ?\d[\dLMNP-V] ?[A-EHLMPRST] ?[\dLMNP-V]{2} ?[A-Z][\dLMNP-V]{3} ?[A-Z]",
           "codice fiscale", needs_cue=False),
    Number("ID", "nl.bsn", r"\d{4}[. ]?\d{2}[. ]?\d{3}|\d{3} \d{3} \d{3}", "bsn|burgerservicenummer|sofinummer"),
    Number("ID", "be.nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", "registre national", needs_cue=False),
    Number("ID", "be.nn", r"\d{11}|\d{6}[ -]\d{3}[ .-]\d{2}", "rijksregisternummer|registre national|nn|insz|niss"),
    Number("ID", "pl.pesel", r"\d{11}", "pesel"),
    Number("ID", "pl.nip", r"\d{3}-?\d{3}-?\d{2}-?\d{2}", "nip"),
    Number("ID", "se.personnummer", r"(?:19|20)?\d{6}[-+]?\d{4}", "personnummer|personal identity|pnr"),
    Number("ID", "fi.hetu", r"\d{6}[-+ABCDEFYXWVU]\d{3}[0-9A-FHJ-NPR-Y]", "hetu|henkilötunnus", needs_cue=False),
    Number("ID", "dk.cpr", _DATED, "cpr|cpr-nr.|cpr-nummer|personnummer"),
    Number("ID", "no.fodselsnummer", r"\d{6} ?\d{5}", "fødselsnummer|personnummer|fnr"),
    Number("ID", "is_.kennitala", r"\d{6}-?\d{4}", "kennitala|kt."),
    Number("ID", "ch.ssn", r"756\.?\d{4}\.?\d{4}\.?\d{2}", "ahv|avs", needs_cue=False),
    Number("ID", "at.vnr", r"\d{4} ?\d{6}", "svnr|sozialversicherungsnummer|versicherungsnummer|sv-nummer"),
    Number("ID", "ie.pps", r"\d{7}[A-W][AHWTX]?", "pps|ppsn"),
    Number("ID", "pt.nif", _D9, "nif|contribuinte"),
    Number("ID", "pt.cc", r"\d{8} ?\d ?[A-Z0-9]{2} ?\d", "cartão de cidadão|cc"),
    Number("ID", "cz.rc", r"\d{6}/\d{4}", "rodné číslo|rč", needs_cue=False),
    Number("ID", "ro.cnp", r"\d{13}", "cnp"),
    Number("ID", "bg.egn", r"\d{10}", "егн|egn"),
    Number("ID", "hr.oib", r"\d{11}", "oib"),
    Number("ID", "ee.ik", r"\d{11}", "isikukood"),
    Number("ID", "lt.asmens", r"\d{11}", "asmens kodas"),
    Number("ID", "", r"\d{6}-?\d{5}", "personas kods"),
    Number("ID", "si.emso", r"\d{13}", "emšo|emso|jmbg"),
    Number("ID", "gr.amka", r"\d{11}", "αμκα|amka"),
    Number("ID", "gr.vat", r"\d{9}", "αφμ|afm"),
    Number("ID", "tr.tckimlik", r"\d{11}", "tc kimlik|t.c. kimlik|tckn|kimlik"),
    Number("ID", "il.idnr", r"\d{8}-?\d", "teudat zehut|ת.ז.|israeli id"),
    Number("ID", "za.idnr", r"\d{6} ?\d{4} ?\d{3}|\d{13}", "id|identity|rsa id|sa id"),
    Number("ID", "br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}", "cpf", needs_cue=False),
    Number("ID", "br.cpf", r"\d{11}|\d{9}-\d{2}", "cpf"),
    Number("ID", "mx.curp", r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d", "curp", needs_cue=False),
    Number("ID", "mx.rfc", r"[A-ZÑ&]{4}-?\d{6}-?[A-Z0-9]{3}", "rfc"),
    Number("ID", "ar.cuit", r"2[0347]-\d{8}-\d", "cuit|cuil", needs_cue=False),
    Number("ID", "ar.dni", r"\d{1,2}\.?\d{3}\.?\d{3}", "dni|documento"),
    Number("ID", "cl.rut", r"\d{1,2}\.\d{3}\.\d{3}-[\dK]", "rut|run", needs_cue=False),
    Number("ID", "cl.rut", r"\d{7,8}-?[\dK]", "rut|run"),
    Number("ID", "co.nit", r"\d{3}\.?\d{3}\.?\d{3}-?\d", "nit"),
    Number("ID", "", r"\d{1,3}(?:\.?\d{3}){2,3}", "cédula|cedula|c.c."),
    Number("ID", "in_.aadhaar", r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", "aadhaar|aadhar|uid"),
    Number("ID", "in_.pan", r"[A-Z]{5}\d{4}[A-Z]", "pan|permanent account"),
    Number("ID", "pk.cnic", r"\d{5}-?\d{7}-?\d", "cnic|nadra"),
    Number("ID", "au.tfn", _D9, "tfn|tax file"),
    Number("ID", "", r"\d{4} ?\d{5} ?\d(?: ?/? ?\d)?", "medicare"),
    Number("ID", "nz.ird", r"\d{2,3}[ -]?\d{3}[ -]?\d{3}", "ird"),
    Number("ID", "cn.ric", r"\d{17}[\dX]", "身份证|ric|resident identity", needs_cue=False),
    Number("ID", "kr.rrn", r"\d{6}-\d{7}", "주민등록번호|rrn|resident registration", needs_cue=False),
    Number("ID", "jp.in_", r"\d{4}[ -]?\d{4}[ -]?\d{4}", "マイナンバー|my number|個人番号"),
    Number("ID", "my.nric", r"\d{6}-?\d{2}-?\d{4}", "nric|mykad|ic"),
    Number("ID", "", r"[STFGM]\d{7}[A-Z]", "nric|fin"),
    Number("ID", "th.pin", r"\d-\d{4}-\d{5}-\d{2}-\d", "thai id", needs_cue=False),
    Number("ID", "id.nik", r"\d{16}", "nik|ktp"),
    Number("ID", "ua.rntrc", r"\d{10}", "рнокпп|іпн|rntrc"),
    Number("ID", "ru.inn", r"\d{12}", "инн|inn"),
    Number("ID", "", r"\d{3}-\d{3}-\d{3} \d{2}", "снилс|snils"),
]  # fmt: skip
_SSN = re.compile(r"(?!000|666)\d{3}([ -]?)(?!00)\d{2}\1(?!0000)\d{4}")
_GLUED_SSN = re.compile(r"(?<=[a-z])(?!000|666)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_PARTED = re.compile(r"[0-9]-[0-9]{2}-[0-9]")
_THING = re.compile(
    r"\b(?:order|invoice|sku|part|model|item|product|tracking|serial|permit|claim|case|ticket|ref(?:erence)?|lot|batch|"
    r"catalog(?:ue)?|article|artikel|bestell\w*|rechnung\w*|commande|pedido|ordine|po|rma|quote|job|project|shipment)"
    r"s?(?:[ -]?(?:number|nummer|no\.?|nr\.?|num|code|id))?[ :#.]{0,3}(?:is )?$",
    re.IGNORECASE,
)


def find_national(text: Text) -> Iterator[Hit]:
    """Numbers of the table: announced by one of their cues, or by their form alone where that is enough."""
    plain = text.plain
    if _PARTED.search(plain):
        yield from (("SSN", *m.span()) for m in _GLUED_SSN.finditer(plain))
    for start in text.numbers:
        lead = before(plain, start)
        cue = _CUE.search(lead)
        rows = _BY_CUE[cue["cue"].lower()] if cue else ()
        if not (found := _first(rows, plain, start)) and not _THING.search(lead):
            found = _first(_UNCUED, plain, start)
        if found:
            yield found


def _first(rows: Iterable[Number], text: str, start: int) -> Hit | None:
    """The first row whose form and check digits a number has."""
    for row in rows:
        found = _form(row.form).match(text, start)
        if found and (_is_ssn(found[0]) if row.kind == "SSN" else _is_valid(row.module, found[0].upper())):
            return row.kind, *found.span()
    return None


_UNCUED = [n for n in NUMBERS if not n.needs_cue]
_BY_CUE: defaultdict[str, list[Number]] = defaultdict(list)
for _number in NUMBERS:
    for _word in _number.cues.split("|"):
        _BY_CUE[_word].append(_number)
_CUE = re.compile(
    rf"(?<!\w)(?P<cue>{'|'.join(map(re.escape, sorted(_BY_CUE, key=len, reverse=True)))}){LINK}$", re.IGNORECASE
)


@functools.cache
def _form(form: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{form})(?!\w|-\w|[.,]\d)", re.IGNORECASE)


def _is_ssn(value: str) -> bool:
    return bool(_SSN.fullmatch(value))


@functools.cache
def _module(name: str) -> ModuleType:
    return importlib.import_module(f"stdnum.{name}")


def _is_valid(module: str, value: str) -> bool:
    return not module or bool(_module(module).is_valid(value))
