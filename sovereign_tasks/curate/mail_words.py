"""What somebody wrote in a message: its text without quoted mail, signature, disclaimer and banner."""

from __future__ import annotations

import re
from collections.abc import Sequence

# All bounded and tried on single lines, or a few joined: a message comes from anywhere.
_QUOTED = re.compile(r" ?>")
_ATTRIBUTION = re.compile(
    r"(?:[-–—*_>\s]{0,10}(?:On|Am|Le|El|Il|Op|Em|Den)\b(?=.{0,60}\d).{5,300}?"
    r"\b(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|skrev)\b.{0,150}?:"
    r"|[^@]{0,200}@[^\s@]{1,100}\)?,?\s(?:wrote|schrieb|a écrit|escribió|ha scritto)\b.{0,100}:"
    r"|\d{4}[-/.]\d\d?[-/.]\d\d?\s[^<]{1,100}<[^\s@<>]{1,100}@[^\s@<>]{1,100}>:?)\s*",
    re.IGNORECASE,
)
_WROTE = re.compile(r".{0,200}\b(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|skrev)\b.{0,150}:", re.I)
_SEPARATOR = re.compile(
    r"[\s*]*(?:-{2,}\s?(?:original(?: message|nachricht)|ursprüngliche nachricht|message d'origine|message original|"
    r"mensaje original|oprindelig meddelelse|opprinnelig melding|ursprungligt meddelande|"
    r"(?:forwarded|weitergeleitete|transmis|transféré|reenviado)?\s?"
    r"(?:message|nachricht|mensaje)(?: transféré| transmis| reenviado| von .{0,60})?)\s?-{2,}"
    r"|-{2,}\s?(?:forwarded by|weitergeleitet von)\s.{1,200}"
    r"|(?:begin forwarded message|anfang der weitergeleiteten (?:nachricht|e-mail)|début du message transféré"
    r"|début du message réexpédié|inicio del mensaje reenviado)\s?:)[\s*]*",
    re.IGNORECASE,
)
_FROM = re.compile(r"[\s*]*(?:From|Von|De|Da|Van|Fra|Från|Expéditeur)\*?\s?:\*?\s*\S", re.IGNORECASE)
_SUBJECT = re.compile(
    r"[\s*]*(?:Subject|Betreff|Objet|Asunto|Oggetto|Onderwerp|Assunto|Emne|Ämne)\*?\s?:", re.IGNORECASE
)
_FIELD = re.compile(
    r"[\s*]*(?:Sent|Date|To|Cc|Gesendet|Datum|An|Envoyé|À|Fecha|Enviado(?: el)?|Para|Inviato|A|Verzonden|Aan"
    r"|Sendt|Skickat|Dato|Til|Till)\*?\s?:",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"[^\s@<>]@[^\s@<>]")
_HOUR = re.compile(
    r"\b\d{1,2}(?::\d\d|\.\d\d\s?Uhr|\s?h\s?\d\d)\b|\bkl\.?\s?\d{1,2}\b|\b\d{1,2}\s?[ap]\.?m\b", re.IGNORECASE
)
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_BANNER = re.compile(
    r"\W*(?:(?:caution|warning|external|achtung|attention|vorsicht)\W.{0,80}\b(?:e-?mail|message|nachricht|courriel)\b"
    r".{0,120}\b(?:outside|external|extern\w*|extérieur)\b|you don't often get email from\b"
    r"|\[?extern(?:al|e)?(?: e-?mail| sender)?\]?\W*$)",
    re.IGNORECASE | re.DOTALL,
)
_MOBILE = re.compile(
    r"\s*(?:(?:sent|get|gesendet|envoyé|enviado|inviato|téléchargez|obtener|holen sie sich)\s"
    r"(?:from|via|with|using|von|mit|mithilfe|depuis|de|à partir de|desde|da|outlook)\b.{1,80}"
    r"|(?:von|diese nachricht wurde von) mein\w{1,2} .{1,60}gesendet\.?|von .{1,30} mit .{1,30} gesendet)\s*",
    re.IGNORECASE,
)
_DISCLAIMER = re.compile(
    r"\W*(?:(?:confidentiality|legal|privacy|important)\s(?:notice|note|disclaimer)|disclaimer\b"
    r"|(?:this|the (?:information|contents?) (?:contained )?in this) (?:e-?mail|message|communication)\b.{0,120}"
    r"\b(?:confidential|intended|privileged|solely)"
    r"|please consider the environment"
    r"|(?:diese|der inhalt dieser) (?:e-?mail|nachricht)\b.{0,120}\b(?:vertraulich|rechtlich geschützt|bestimmt)"
    r"|(?:ce|cet) (?:message|courriel|e-?mail)\b.{0,120}\b(?:confidentiel|destiné|exclusi)"
    r"|este (?:mensaje|correo)\b.{0,120}\b(?:confidencial|dirigido|exclusiv))",
    re.IGNORECASE,
)
_SIGN_OFFS = (
    r"(?:with |and )?(?:my )?(?:very )?(?:(?:best|kind|kindest|warm|warmest|many) )?regards",
    r"(?:with )?(?:best|kind|warm) wishes|all (?:the|my) best|best|cheers|(?:yours )?sincerely(?: yours)?",
    r"yours(?: (?:truly|faithfully))?|take care|rgds|br",
    r"respectfully|(?:many |kind )?(?:thanks|thank you|thx)"
    r"(?: (?:a lot|again|so much|very much|in advance|and (?:(?:best|kind) )?regards))?",
    r"(?:mit )?(?:(?:ganz )?(?:freundliche|beste|herzliche|liebe|viele|schöne)[nm]?(?: und \w{3,12})? )?"
    r"gr(?:ü|ue)(?:ß|ss)e?n?(?: (?:aus|von) [\w ]{2,30})?|gruß|gruss|mfg|vg|lg|hochachtungsvoll",
    r"(?:vielen |besten |herzlichen )?dank(?: im voraus| und (?:viele |beste |freundliche )?grüße)?",
    r"danke(?: (?:schön|sehr|im voraus))?(?: und (?:viele |beste |liebe |schöne )?gr(?:ü|u)ße?)?",
    r"(?:bien )?cordialement|bien à vous|(?:mes )?(?:(?:sincères|meilleures|cordiales) )?salutations(?: distinguées)?",
    r"merci(?: (?:beaucoup|d'avance|bien))?|bonne (?:journée|soirée)|sincèrement|amicalement",
    r"(?:reciba )?(?:un )?(?:cordial )?saludos?(?: cordial(?:es)?)?|atentamente|(?:muchas )?gracias(?: de antemano)?",
    r"cordialmente|un abrazo",
)
_CALLED = r"(?-i:[A-ZÀ-ÖØ-Þ][\w.'’-]{0,30}(?: [A-ZÀ-ÖØ-Þ][\w.'’-]{0,30}){0,2})"
_SIGN_OFF = re.compile(rf"(?:{'|'.join(_SIGN_OFFS)})(?P<name>[,.!]?\s?[-–—/]?\s?{_CALLED})?\s?[,.!]*\s?", re.IGNORECASE)
_POSTSCRIPT = re.compile(r"\s*P\.? ?S\.?\s?[:.-]", re.IGNORECASE)
_RULE = re.compile(r"\s*[-_=*~─]{3,}\s*")
_BULLET = re.compile(r"\s*(?:[-*•·]|\d{1,2}[.)])\s")
_MOST_CUTS, _MOST_LINES, _MOST_TAIL, _WIDEST_TAIL, _PROSE_WORDS = 12, 120, 14, 100, 7
_NARROWEST, _WIDEST = 60, 80


def own_words(text: str, *, names: Sequence[str] = (), wrapped: bool = False) -> str:
    """Cut from a message's plain text what its writer did not write in it, or writes under every message.

    Quotes between answers go, answers between quotes stay, as do greetings and a postscript. `names` are what the
    sender is called, for a signature of the name alone; `wrapped` says that lines were broken to a width, which
    is undone. Empty where nothing of it is their own, as in a bare forward.
    """
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\xa0", " ").split("\n")]
    lines = _without_signature(_without_quotes(_without_banner(lines)), [_key(name) for name in names])
    return re.sub(r"\n{3,}", "\n\n", "\n".join(_unwrap(lines) if wrapped else lines)).strip()


def _without_banner(lines: list[str]) -> list[str]:
    """Lines without the paragraph that a mail server put on top."""
    start = next((i for i, line in enumerate(lines) if line.strip()), 0)
    end = next((i for i in range(start, len(lines)) if not lines[i].strip()), len(lines))
    return lines[end:] if _BANNER.match(" ".join(lines[start:end])[:600]) else lines


def _without_quotes(lines: list[str]) -> list[str]:
    kept: list[str] = []
    at = 0
    while at < len(lines):
        if _QUOTED.match(lines[at]):
            if kept and kept[-1].strip():
                kept.append("")
            at += 1
        elif length := _attribution(lines, at):
            said = " ".join(lines[at : at + length])
            at += length
            if not _is_quoted_next(lines, at):
                if _ADDRESS.search(said) or _HOUR.search(said):
                    break  # what is quoted is not marked, so it goes on to the end
                kept += lines[at - length : at]  # somebody tells of what another wrote
        elif _WROTE.fullmatch(lines[at]) and _is_quoted_next(lines, at + 1):
            at += 1
        elif _SEPARATOR.fullmatch(lines[at]) or _is_header(lines, at):
            break
        else:
            kept.append(lines[at])
            at += 1
    return _trimmed(kept)


def _is_quoted_next(lines: Sequence[str], at: int) -> bool:
    return bool(_QUOTED.match(next((line for line in lines[at : at + 5] if line.strip()), "")))


def _attribution(lines: Sequence[str], at: int) -> int:
    """How many lines the words above a quote take, such as "On Monday Dana Hill wrote:"; 0 for other words."""
    if not lines[at].strip():
        return 0
    joined = ""
    for length, line in enumerate(lines[at : at + 4], 1):
        if not line.strip() or _QUOTED.match(line) or len(joined) > 500:
            return 0
        joined = f"{joined} {line.strip()}".strip()
        if line.endswith(":") or length == 1:
            if _ATTRIBUTION.fullmatch(joined[:700]):
                return length
            if line.endswith(":"):
                return 0
    return 0


def _is_header(lines: Sequence[str], at: int) -> bool:
    """Whether the header fields of a quoted message begin here: From, with a subject and another field near.

    One of them holds an address or, where a server shows names alone, a date to the minute.
    """
    if not _FROM.match(lines[at]):
        return False
    near = lines[at + 1 : at + 9]
    fields = [line for line in near if _FIELD.match(line)]
    if not fields or not any(_SUBJECT.match(line) for line in near):
        return False
    return any(_ADDRESS.search(line) for line in [lines[at], *fields]) or any(
        _HOUR.search(line) and _YEAR.search(line) for line in fields
    )


def _without_signature(lines: list[str], names: Sequence[str]) -> list[str]:
    """Cut from the end whatever is repeated under messages, until there is no more of it."""
    for _ in range(_MOST_CUTS):
        shorter = _shortened(lines, names)
        if shorter is None:
            break
        lines = shorter
    return lines


def _shortened(lines: list[str], names: Sequence[str]) -> list[str] | None:
    for at in range(max(0, len(lines) - _MOST_LINES), len(lines)):
        line, bare, tail = lines[at], lines[at].strip(), lines[at + 1 :]
        if not bare:
            continue
        if bare in ("--", "—", "-- ") and sum(bool(t.strip()) for t in tail) <= 2 * _MOST_TAIL:
            return _cut(lines, at)
        paragraph = not at or not lines[at - 1].strip() or _RULE.fullmatch(lines[at - 1])
        if at and paragraph and _DISCLAIMER.match(" ".join(lines[at : at + 4])[:400]):
            return _trimmed(lines[:at])
        if _MOBILE.fullmatch(line) and len(line) <= _WIDEST_TAIL and _is_tail(tail):
            return _trimmed(lines[:at])
        if sign_off := _sign_off(bare):
            tail = tail[: _postscript(tail)]
            if _is_tail(tail) and any(above.strip() for above in lines[:at]):
                return _cut(lines, at)
            if _is_tail(tail) and any(t.strip() for t in tail) and not sign_off["name"]:
                return _cut(lines, at + 1)  # nothing but thanks was written
        if at and paragraph and names and _key(bare.lstrip("-–— ")) in names and _is_tail(tail[: _postscript(tail)]):
            return _cut(lines, at)
    return None


def _sign_off(line: str) -> re.Match[str] | None:
    """A line that ends a letter, also in two languages with a stroke between."""
    return next((found for part in line.split("/", 1) if (found := _SIGN_OFF.fullmatch(part.strip()))), None)


def _cut(lines: list[str], at: int) -> list[str]:
    """Lines up to a signature, and the postscript after it."""
    postscript = lines[at + _postscript(lines[at:]) :]
    return _trimmed(lines[:at]) + (["", *postscript] if postscript else [])


def _postscript(lines: Sequence[str]) -> int:
    return next((i for i, line in enumerate(lines) if _POSTSCRIPT.match(line)), len(lines))


def _is_tail(lines: Sequence[str]) -> bool:
    """Whether lines can be what follows a name: few, short, and no prose but a disclaimer."""
    written = [line.strip() for line in lines if line.strip()]
    end = next((i for i, line in enumerate(written) if _DISCLAIMER.match(line)), len(written))
    return end <= _MOST_TAIL and not any(_is_prose(line) for line in written[:end])


def _is_prose(line: str) -> bool:
    return (
        len(line) > _WIDEST_TAIL
        or line.endswith("?")
        or (line[-1] in ".!:;" and len(re.findall(r"[^\W\d_]{2,}", line)) >= _PROSE_WORDS)
    )


def _trimmed(lines: list[str]) -> list[str]:
    end = len(lines)
    while end and (not lines[end - 1].strip() or _RULE.fullmatch(lines[end - 1])):
        end -= 1
    return lines[:end]


def _unwrap(lines: Sequence[str]) -> list[str]:
    """Join lines that were broken because the next word did not fit."""
    width = max(map(len, lines), default=0)
    if not _NARROWEST <= width <= _WIDEST:
        return list(lines)
    joined: list[str] = []
    last = ""
    for line in lines:
        fits = len(last) + 1 + len(line.split(" ", 1)[0]) <= width
        if not last or not line or fits or line[0] in " \t" or _BULLET.match(line):
            joined.append(line)
        else:
            joined[-1] += f" {line}"
        last = line
    return joined


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).casefold().strip()
