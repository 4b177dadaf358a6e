"""How much a text is about the domain, from the configured keywords.

score = s / (s + 0.05), where s is the share of words whose stem is a keyword's stem; words of the title count three
times. So 1 keyword in 180 words scores 0.1, 1 in 20 scores 0.5; more keywords add ever less.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_HALF = 0.05
_TITLE_WEIGHT = 3
_WORD = re.compile(r"[^\W\d_]+")
_ENDING = re.compile(r"(?:ings?|ers?|ed|es|s|e)$")


def relevance(title: str, text: str, keywords: Sequence[str], *, reply: bool = False) -> float:
    """Score in [0, 1] by the module's formula.

    A reply scores 1.0 unread: what it is about is its thread's matter, and "Yes, twice a year." needs no keyword.
    A reply whose root is dropped is an orphan, which later stages leave out.
    """
    if reply:
        return 1.0
    phrases = {tuple(_stems(k)) for k in keywords} - {()}
    hits = total = 0
    for part, weight in ((title, _TITLE_WEIGHT), (text, 1)):
        stems = _stems(part)
        total += weight * len(stems)
        hits += weight * sum(_count(stems, phrase) for phrase in phrases)
    share = min(1.0, hits / total) if total else 0.0
    return round(share / (share + _HALF), 4)


def _stems(text: str) -> list[str]:
    """Words, lowered and without their commonest English endings (roofs, roofing and roofer meet in roof)."""
    return [stem(w) for w in _WORD.findall(text.casefold())]


def stem(word: str) -> str:
    """Cut one ending where at least three letters are left."""
    cut = _ENDING.sub("", word)
    return cut if len(cut) >= 3 else word


def _count(stems: list[str], phrase: tuple[str, ...]) -> int:
    """Words of `stems` that occurrences of a phrase cover."""
    n = len(phrase)
    if n == 1:
        return stems.count(phrase[0])
    return n * sum(tuple(stems[i : i + n]) == phrase for i in range(len(stems) - n + 1))
