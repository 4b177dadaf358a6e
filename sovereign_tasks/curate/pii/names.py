"""Detectors of people's names, by the words around them and a list of given names.

Without a trained recogniser this finds names that are introduced, addressed, signed or labelled, names next to an
e-mail address that holds them, and given name + surname where the given name is a common and unambiguous one. It
does not find other names; names known from metadata are always found (`known_names`).
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Iterator, Sequence

from sovereign_tasks.curate.pii.forms import Hit
from sovereign_tasks.curate.pii.name_words import GENERIC, GIVEN, NOT_SURNAME, ORDINARY

UP, LOW = "A-ZÀ-ÖØ-ÞĄĆĘŁŃŚŹŻČĎŇŘŠŤŮŽĐĞİŞ", "a-zß-öø-ÿąćęłńśźżčďňřšťůžđğış"
WORD = rf"(?:(?:O'|D'|Mc|Mac|De|Di|La|Le)?[{UP}][{LOW}]+(?:[-'][{UP}][{LOW}]+){{0,4}})"
_PARTICLE = r"(?:van|von|de|der|den|del|della|di|da|la|le|bin|al|el)"
_NAME = rf"{WORD}(?: (?:{_PARTICLE} ){{0,2}}{WORD}| [{UP}]\.(?= {WORD})){{0,3}}(?:,? (?:Jr|Sr|II|III|IV)\b\.?)?"
_FULL = rf"{WORD}(?: [{UP}]\.)?(?: (?:{_PARTICLE} ){{0,2}}{WORD}){{1,2}}(?:,? (?:Jr|Sr|II|III|IV)\b\.?)?"

_STORM = re.compile(
    r"(?:hurricanes?|storm|cyclone|typhoon|san|santa|santo|st\.?|saint|fort|port|lake|mount|mt\.?) $", re.I
)
_TITLE = re.compile(
    rf"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Herr|Frau|Monsieur|Madame|Se[nñ]or|Se[nñ]ora|Signor|Signora)"
    rf"\b\.? (?P<name>{_NAME})"
)
_TITLES = ("Mr", "Ms", "Miss", "Mx", "Dr", "Prof", "Sir", "Herr", "Frau", "Monsieur", "Madame", "Señor", "Senor",
           "Signor")  # fmt: skip
_CAPITALISED = re.compile(r"[A-Z][a-z]+")
_INTRODUCED = re.compile(
    rf"\b(?i:my (?:full )?name is|my name's|the name is|i am called|they call me|name is|signed by|written by|"
    rf"prepared by|posted by|reviewed by|submitted by|installed by|ticket from|mi nombre es|me llamo|je m'appelle|"
    rf"mein name ist|ich hei(?:ß|ss)e) (?P<name>{_NAME})"
)
_INTRODUCING = ("name is", "name's", "am called", "call me", "signed by", "written by",
                "prepared by", "posted by", "reviewed by", "submitted by", "installed by", "ticket from", "nombre es",
                "me llamo", "m'appelle", "name ist", "ich hei")  # fmt: skip
_SELF = re.compile(
    rf"\b(?:(?i:i'm|i am|this is|it's) (?P<name>{_NAME})(?=(?: (?:from|with|at|over at|here|again)\b|[,.!]? and i\b))"
    rf"|(?m:^|[.!?] )(?P<here>{WORD}) here[,.!])"
)
_CONTACT = re.compile(
    rf"\b(?i:contact|call|calls?|ask for|e?mail|text|speak (?:to|with)|talk(?:ed)? (?:to|with)|spoke "
    rf"(?:to|with)|reach out to|attn:?|"
    rf"attention:?|c/o|patient|employee|user|pager duty:|owned by|record for|traveler|"
    rf"met with|wife|husband|son|daughter|neighbor|brother|sister|boss|foreman|estimator|adjuster),? (?P<name>{_NAME})"
)
_LABEL = re.compile(
    rf"(?:^|"
    rf"[\n{{,|;(*-]\s{{0,8}})[\"']?(?i:(?:(?:full|first|last|contact|customer|client|owner|user|account|"
    rf"card ?holder)[ _]?)?name|"
    rf"owner|employee|customer|client|homeowner|tenant|patient|contact|technician|inspector|estimator|sender|"
    rf"recipient|from|to|attn|attending|signed|author|by|beneficiary|"
    rf"payee)[\"']?\s?[:=]\s?[\"'*]{{0,3}}(?P<name>{_NAME})"
    rf"(?=\s{{0,8}}(?:$|[\n\"',;|<(*.\[]))"
)
_SIGNED = re.compile(
    rf"(?:^|\n|[.!?] )\s{{0,8}}(?i:thanks(?: again| in advance)?|thank you|many thanks|(?:best|kind|warm)?(?: "
    rf"regards| wishes)|best|regards|cheers|"
    rf"sincerely|respectfully|yours(?: truly| sincerely| faithfully)?|warmly|love|take care|mit "
    rf"freundlichen gr(?:üßen|uessen)|cordialement|saludos)"
    rf"[,.!]{{0,5}}[ \t]{{0,8}}(?:\n[ \t]{{0,8}}){{1,4}}[-–—~]{{0,2}} ?(?P<name>{_NAME})[ ]{{0,8}}(?=\n|$)"
    rf"|(?:\n|[.!?] )[–—~] ?(?P<dash>{_NAME})\s{{0,8}}\Z|\n\n-{{1,2}} ?(?P<last>{WORD})\s{{0,8}}\Z"
)
_LABELLED = re.compile(rf"[:=]\s?[\"'*]{{0,3}}[{UP}]")
_SIGNING = ("thank", "regards", "wishes", "best", "cheers", "sincerely", "respectfully", "yours", "warmly", "love",
            "take care", "mit freund", "cordialement", "saludos", "\n\n-")  # fmt: skip
_GREETED = re.compile(
    rf"(?:^|\n|[.!?] )\s{{0,8}}(?i:hi|hello|dear|hey|thanks|thank you),? (?P<name>{_NAME})(?=\s?[,!.:\n]|$)"
)
_FULL_NAME = re.compile(rf"(?<![\w'@/.-])(?P<name>{_FULL})(?!\w)")
_LEADS_TO = re.compile(
    r"[\s,:;|(<–-]{1,4}|,? (?:\w+ ){0,3}(?:at|on|is|under|by):? ?\(?|, (?:tele)?phone:? \(?|, (?:\w+ ){2,6}?\w+: \(?"
)
_NEAR_EMAIL = re.compile(
    rf"(?P<name>{_FULL})\W{{1,6}}(?:(?i:at|is|email:?|e-mail:?|:)\W{{0,3}}){{0,2}}(?P<local>[\w.+%-]{{1,64}})@"
)


def find_names(text: str, contacts: Sequence[int]) -> Iterator[Hit]:
    """Names by cue; a full name that was found is found again wherever else it stands.

    `contacts` is where telephone numbers, mail and street addresses begin: a full name shortly before one is one.
    """
    found: set[str] = set()
    for pattern, trusted in _looked_for(text):
        for match in pattern.finditer(text):
            group = next(g for g in ("name", "here", "dash", "last") if match.groupdict().get(g))
            start, end = match.span(group)
            if length := _accept(match[group], trusted, text[max(0, start - 12) : start]):
                yield "NAME", start, min(end, start + length)
                found.add(text[start : start + length])
    for match in _FULL_NAME.finditer(text) if contacts else ():
        after = bisect.bisect_left(contacts, match.end())
        words = {w.casefold() for w in match["name"].split(" ")}
        near = (
            after < len(contacts)
            and not words & NOT_SURNAME
            and _LEADS_TO.fullmatch(text[match.end() : contacts[after]])
        )
        if near and (length := _accept(match["name"], True, "")):
            yield "NAME", match.start(), match.start() + length
            found.add(match["name"][:length])
    for match in _NEAR_EMAIL.finditer(text) if "@" in text else ():
        parts = re.split(r"[ '-]", match["name"].casefold())
        if any(len(p) > 2 and p in match["local"].casefold() for p in parts):
            yield "NAME", *match.span("name")
            found.add(match["name"])
    for name in sorted(n for n in found if " " in n):
        yield from (("NAME", *m.span()) for m in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text))


def _looked_for(text: str) -> Iterator[tuple[re.Pattern[str], bool]]:
    """The patterns that can find anything in a text, and whether what they find needs no common given name."""
    low = text.lower()
    if any(title in text for title in _TITLES):
        yield _TITLE, True
    if _LABELLED.search(text):
        yield _LABEL, True
    if any(dash in text for dash in "–—~") or ("\n" in text and any(words in low for words in _SIGNING)):
        yield _SIGNED, True
    if any(words in low for words in _INTRODUCING):
        yield _INTRODUCED, True
    if not text.isascii() or any(word.lower() in GIVEN for word in set(_CAPITALISED.findall(text))):
        yield from ((pattern, False) for pattern in (_SELF, _CONTACT, _GREETED, _FULL_NAME))


def known_names(text: str, names: Sequence[str]) -> Iterator[Hit]:
    """Names and handles known from metadata, wherever they occur as words of their own.

    Names are found in any case, but for those that are ordinary words: these only capitalised, and only in a text
    that doesn't have them in small letters too ("Mark says: mark the ridge"). A handle that is an ordinary word is
    left to the detector of @ and u/ forms, since blanking every "roofer" would ruin the text and hide nobody.
    """
    folded = text.casefold()
    for name in names:
        name = " ".join(name.split()).removeprefix("u/").removeprefix("@")
        if len(name) < 2 or not any(part in folded for part in name.casefold().split(" ")):
            continue
        parts = name.split(" ")
        odd = bool(re.search(r"[\d_@.]|[a-z][A-Z]", name))
        if len(parts) > 1 or odd:
            yield from _occurrences(text, name, re.IGNORECASE)
        elif len(name) > 2 or name[0].isupper():
            yield from _one_word(text, name)
        for part in parts if len(parts) > 1 else []:
            if len(part) >= 3 and part[0].isupper() and part.casefold() not in NOT_SURNAME:
                yield from _one_word(text, part)


def is_person(name: str) -> bool:
    """Whether a name that a page gives its author can be a person's, and not a company's or an office's."""
    words = name.split()
    low = {word.casefold().strip(".,") for word in words}
    return 2 <= len(words) <= 4 and bool(re.fullmatch(_NAME, name)) and not low & (NOT_SURNAME | GENERIC)


def _one_word(text: str, name: str) -> Iterator[Hit]:
    """A name of one plain word; of two letters it may be a word of any language ("Al", "Jo")."""
    if name.casefold() not in ORDINARY and len(name) > 2:
        yield from _occurrences(text, name, re.IGNORECASE)
    elif name[0].isupper() and not re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", text):
        yield from _occurrences(text, name, 0)


def _occurrences(text: str, name: str, flags: int) -> Iterator[Hit]:
    pattern = rf"(?<![\w@]){re.escape(name)}(?!\w)"
    return (("NAME", *m.span()) for m in re.finditer(pattern, text, flags))


def _accept(name: str, trusted: bool, before: str) -> int:
    """How many characters of a candidate are a name, 0 for none."""
    words = name.split(" ")
    low = [w.casefold().rstrip(".,") for w in words]
    if _STORM.search(before) or low[0] in GENERIC or not (trusted or _plain(low[0]) in GIVEN):
        return 0
    for i, word in enumerate(low[1:], 1):
        if word in NOT_SURNAME:
            return 0
        if word in GENERIC:
            return len(" ".join(words[:i])) if i > 1 or trusted else 0
    return len(name)


def _plain(word: str) -> str:
    """The first part of a given name without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", word.split("-")[0]) if not unicodedata.combining(c))
