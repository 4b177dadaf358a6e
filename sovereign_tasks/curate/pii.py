"""Personal data: where it stands in a text, and the text with consistent placeholders in its place.

Classes: EMAIL, PHONE, CARD, IBAN, SSN, IP, MAC, ADDRESS, NAME, USER, URL (with a login or of a profile), SECRET,
BIRTHDATE, ID. Placeholders read `[PHONE_1]`; the same value has the same number throughout a document.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sovereign_tasks.curate.addresses import find_addresses
from sovereign_tasks.curate.names import find_names, known_names
from sovereign_tasks.curate.numbers import find_numbers

_CONTACTS = ("PHONE", "EMAIL", "ADDRESS")
_PLACEHOLDER = re.compile(r"\[([A-Z]+)_(\d+)\]")


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


def find(text: str, *, names: Sequence[str] = (), region: str = "US") -> list[Span]:
    """Personal data in a text, in order, without overlaps; placeholders are none.

    `names` are people known from metadata; `region` is the country of phone numbers without a country code.
    """
    taken = bytearray(len(text))
    for match in _PLACEHOLDER.finditer(text):
        taken[match.start() : match.end()] = b"\x01" * len(match[0])
    spans: list[Span] = []

    def take(hits: Iterable[tuple[str, int, int]]) -> None:
        for kind, start, end in hits:  # the more certain first: what is taken stays
            if start < end and not any(taken[start:end]):
                taken[start:end] = b"\x01" * (end - start)
                spans.append(Span(kind, start, end))

    take(find_numbers(text, region))
    take(find_addresses(text))
    contacts = [s.start for s in spans if s.kind in _CONTACTS]
    contacts += [m.start() for m in _PLACEHOLDER.finditer(text) if m[1] in _CONTACTS]
    take(known_names(text, names))
    take(find_names(text, sorted(contacts)))
    return sorted(spans, key=lambda s: s.start)


def scrub(text: str, *, names: Sequence[str] = (), region: str = "US") -> Scrubbed:
    """Replace personal data by placeholders; scrubbing the result again changes nothing."""
    (clean,), counts = scrub_together([text], names=names, region=region)
    return Scrubbed(clean, counts)


def scrub_together(
    texts: Sequence[str], *, names: Sequence[str] = (), region: str = "US"
) -> tuple[list[str], dict[str, int]]:
    """Scrub the parts of one document (title, text) with placeholders that agree."""
    numbers: dict[tuple[str, str], int] = {}
    last: Counter[str] = Counter()
    for kind, number in (m.groups() for text in texts for m in _PLACEHOLDER.finditer(text)):
        last[kind] = max(last[kind], int(number))
    counts: Counter[str] = Counter()
    clean = []
    for text in texts:
        # a placeholder may bring a cue nearer to what it speaks of, so until nothing is left
        while spans := find(text, names=names, region=region):
            parts, at = [], 0
            for span in spans:
                value = text[span.start : span.end]
                key = (span.kind, re.sub(r"[\W_]", "", value).casefold())
                if key not in numbers:
                    last[span.kind] += 1
                    numbers[key] = last[span.kind]
                parts += [text[at : span.start], f"[{span.kind}_{numbers[key]}]"]
                counts[span.kind] += 1
                at = span.end
            text = "".join([*parts, text[at:]])
        clean.append(text)
    return clean, dict(sorted(counts.items()))


def recognises_names(settings) -> bool:
    return False
