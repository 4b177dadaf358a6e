"""What stands in the place of personal data: [PHONE_1] numbered in a document, [PHONE_3f9a1c0b] the same everywhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from sovereign_tasks.records import keyed_hash

_OF_PEOPLE = {"EMAIL", "PHONE", "NAME", "USER"}
_PHONE_DIGITS = 8  # without a country's or a trunk's code, which the same number may be told with or not
PLACEHOLDER = re.compile(r"\[(?P<kind>[A-Z]+)_(?P<mark>[0-9a-f]{8}|[0-9]{1,7})\]")


class Placeholders:
    """The placeholders of one document: the same value of a class has the same one."""

    def __init__(self, texts: Iterable[str], *, keyed: bool) -> None:
        self._keyed = keyed
        self._of: dict[tuple[str, str], str] = {}
        self.people: set[str] = set()
        """`person_hash` of the names, mail addresses, telephone numbers and user names among the values."""
        self._last: Counter[str] = Counter()
        for found in (m for text in texts for m in PLACEHOLDER.finditer(text)):
            if len(found["mark"]) < 8:
                self._last[found["kind"]] = max(self._last[found["kind"]], int(found["mark"]))

    def of(self, kind: str, value: str) -> str:
        """The placeholder of a value, however it is spaced, punctuated and capitalised."""
        key = (kind, re.sub(r"[\W_]", "", value).casefold() or value)
        if key not in self._of:
            if kind in _OF_PEOPLE:
                self.people.add(person_hash(value))
            if self._keyed:
                mark = keyed_hash("placeholder", *key)[:8]
            else:
                self._last[kind] += 1
                mark = str(self._last[kind])
            self._of[key] = f"[{kind}_{mark}]"
        return self._of[key]


def person_hash(value: str) -> str:
    """The keyed hash by which what was scrubbed of a person is found again, however it is spaced and capitalised.

    Of a telephone number its last eight digits count.
    """
    plain = re.sub(r"[\W_]", "", value).casefold()
    return keyed_hash("person", plain[-_PHONE_DIGITS:] if plain.isdecimal() else plain)
