"""How much a text is about the domain, from the configured keywords alone, so that no other document matters.

score = 1 - product over the keywords of 0.05 / (0.05 + share), where share is the part of the text's words that the
keyword's occurrences make up by their stems; words of the title count five times. So 1 keyword in 180 words scores
0.1 and 1 in 20 scores 0.5; the same keyword again adds ever less, as in BM25, and another keyword more than that:
20 words with two keywords once each score 0.75, with one of them twice 0.67.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence

_HALF = 0.05
_TITLE_WEIGHT = 5
_WORD = re.compile(r"[^\W\d_]+")
_ENDING = re.compile(r"(?:ings?|ers?|ed|es|s|e)$")
Phrase = tuple[str, ...]


def relevance(title: str, text: str, keywords: Sequence[str], *, reply: bool = False) -> float:
    """Score in [0, 1] by the module's formula.

    A reply scores 1.0 unread: what it is about is its thread's matter, and "Yes, twice a year." needs no keyword.
    A reply whose root is dropped is an orphan, which later stages leave out.
    """
    if reply:
        return 1.0
    phrases = _phrases(tuple(keywords))
    covered: Counter[Phrase] = Counter()
    total = 0
    for part, weight in ((title, _TITLE_WEIGHT), (text, 1)):
        stems = _stems(part)
        total += weight * len(stems)
        for word in phrases.keys() & set(stems):
            for phrase in phrases[word]:
                covered[phrase] += weight * len(phrase) * _count(stems, phrase)
    silent = 1.0
    for _, words in sorted(covered.items()):
        silent *= _HALF / (_HALF + words / total)
    return round(1 - silent, 4)


def _count(stems: list[str], phrase: Phrase) -> int:
    """Occurrences of a phrase."""
    if len(phrase) == 1:
        return stems.count(phrase[0])
    return sum(tuple(stems[i : i + len(phrase)]) == phrase for i, word in enumerate(stems) if word == phrase[0])


@functools.cache
def _phrases(keywords: tuple[str, ...]) -> dict[str, list[Phrase]]:
    """The distinct keywords as stems, by their first one."""
    by_first: dict[str, list[Phrase]] = {}
    for phrase in dict.fromkeys(tuple(_stems(keyword)) for keyword in keywords):
        if phrase:
            by_first.setdefault(phrase[0], []).append(phrase)
    return by_first


def _stems(text: str) -> list[str]:
    """Words, lowered and without their commonest English endings (roofs, roofing and roofer meet in roof)."""
    return list(map(stem, _WORD.findall(text.casefold())))


@functools.lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Cut one ending where at least three letters are left."""
    cut = _ENDING.sub("", word)
    return cut if len(cut) >= 3 else word
