"""Personal data: where it stands in a text, and the text with consistent placeholders in its place.

Classes: EMAIL, PHONE, CARD, IBAN, SSN, ID (other national numbers, passports, licences, accounts, policies), IP, MAC,
ADDRESS, COORDINATES, NAME, USER, URL (with a login or of a profile), SECRET, BIRTHDATE, VEHICLE.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sovereign_tasks.config import PersonalDataConfig
from sovereign_tasks.curate.pii.accounts import find_accounts
from sovereign_tasks.curate.pii.addresses import find_addresses
from sovereign_tasks.curate.pii.contacts import find_contacts
from sovereign_tasks.curate.pii.coordinates import find_coordinates
from sovereign_tasks.curate.pii.forms import Hit, Text
from sovereign_tasks.curate.pii.identity import find_identity
from sovereign_tasks.curate.pii.machines import find_machines
from sovereign_tasks.curate.pii.names import find_names, is_person, known_names
from sovereign_tasks.curate.pii.national import find_national
from sovereign_tasks.curate.pii.phones import find_phones
from sovereign_tasks.curate.pii.placeholders import PLACEHOLDER, Placeholders, person_hash
from sovereign_tasks.curate.pii.recogniser import recognise_names, recognises_names
from sovereign_tasks.curate.pii.secrets import find_secrets

__all__ = [
    "PLACEHOLDER",
    "Scrubbed",
    "ScrubbedTogether",
    "Span",
    "find",
    "is_person",
    "person_hash",
    "recognises_names",
    "scrub",
    "scrub_together",
]

_CONTACTS = ("PHONE", "EMAIL", "ADDRESS")
_DEFAULT = PersonalDataConfig()


@dataclass(frozen=True, slots=True)
class Span:
    """Personal data of a class at characters [start, end)."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """Text without the personal data that was found, and how many pieces of each class were taken out."""

    text: str
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class ScrubbedTogether:
    """The parts of a document, scrubbed; `people` are the hashes (`person_hash`) by which people are found again."""

    texts: list[str]
    counts: dict[str, int]
    people: set[str]


def find(
    text: str, *, names: Sequence[str] = (), settings: PersonalDataConfig = _DEFAULT, language: str = "en"
) -> list[Span]:
    """Personal data in a text, in order, without overlaps; placeholders are none.

    `names` are people known from metadata; `language` is what a recogniser of names is chosen by. A `UserError`
    where the settings ask for a recogniser that isn't installed.
    """
    if not text:
        return []
    taken = bytearray(len(text))
    held = list(PLACEHOLDER.finditer(text))
    for match in held:
        taken[match.start() : match.end()] = b"\x01" * len(match[0])
    spans: list[Span] = []

    def take(hits: Iterable[Hit]) -> None:
        for kind, start, end in hits:  # the more certain first: what is taken stays
            if start < end and not any(taken[start:end]):
                taken[start:end] = b"\x01" * (end - start)
                spans.append(Span(kind, start, end))

    read = Text.read(text)
    take(find_secrets(read))
    take(find_contacts(read))
    if re.search(r"[0-9]", read.plain):
        take(find_accounts(read))
        take(find_machines(read))
        take(find_coordinates(read))
        take(find_identity(read))
        take(find_national(read))
        take(find_phones(read, settings.region))
        take(find_addresses(text))
    contacts = [s.start for s in spans if s.kind in _CONTACTS]
    contacts += [m.start() for m in held if m["kind"] in _CONTACTS]
    take(known_names(text, names))
    if settings.names == "presidio":
        take(recognise_names(text, language))
    take(find_names(text, sorted(contacts)))
    return sorted(spans, key=lambda s: s.start)


def scrub(
    text: str, *, names: Sequence[str] = (), settings: PersonalDataConfig = _DEFAULT, language: str = "en"
) -> Scrubbed:
    """Replace personal data by placeholders; scrubbing the result again changes nothing."""
    scrubbed = scrub_together([text], names=names, settings=settings, language=language)
    return Scrubbed(scrubbed.texts[0], scrubbed.counts)


def scrub_together(
    texts: Sequence[str],
    *,
    names: Sequence[str] = (),
    settings: PersonalDataConfig = _DEFAULT,
    language: str = "en",
) -> ScrubbedTogether:
    """Scrub the parts of one document (title, text) with placeholders that agree."""
    placeholders = Placeholders(texts, keyed=settings.placeholders == "keyed")
    counts: Counter[str] = Counter()
    clean = []
    for text in texts:
        # a placeholder may bring a cue nearer to what it speaks of, so until nothing is left
        while spans := find(text, names=names, settings=settings, language=language):
            parts, at = [], 0
            for span in spans:
                parts += [text[at : span.start], placeholders.of(span.kind, text[span.start : span.end])]
                counts[span.kind] += 1
                at = span.end
            text = "".join([*parts, text[at:]])
        clean.append(text)
    return ScrubbedTogether(clean, dict(sorted(counts.items())), placeholders.people)
