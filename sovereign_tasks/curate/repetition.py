"""How much of a text says again what it said before: Gopher's repetition rules (arXiv:2112.11446, table A1).

Shares of characters are of a text's words or lines without the space between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

TOP = (2, 3, 4)
"""Lengths of word n-grams whose most frequent one is weighed."""
AGAIN = (5, 6, 7, 8, 9, 10)
"""Lengths of word n-grams of which all that occurred before are weighed."""
_OFTEN = 3  # occurrences from which an n-gram is frequent


def repeated_parts(parts: Iterable[str]) -> tuple[float, float]:
    """The shares of parts (lines, paragraphs), and of their characters, that an earlier part already said."""
    seen: set[str] = set()
    count = again = chars = chars_again = 0
    for part in map(str.strip, parts):
        count += 1
        chars += len(part)
        if part in seen:
            again += 1
            chars_again += len(part)
        seen.add(part)
    return again / max(1, count), chars_again / max(1, chars)


def repeated_ngrams(words: Sequence[str]) -> Iterator[tuple[int, float]]:
    """Length of word n-gram and share of characters: in the most frequent one (`TOP`), in repeated ones (`AGAIN`).

    The most frequent one counts from three occurrences on; of repeated ones every occurrence but the first,
    overlaps once. An n-gram can only be repeated where both shorter ones in it are, so few are looked at.
    """
    words = tuple(words)
    total = sum(map(len, words))
    repeated = [i for i, count in enumerate(map(Counter(words).__getitem__, words)) if count > 1]
    for n in (*TOP, *AGAIN):
        starts = [i for i, following in pairwise(repeated) if following == i + 1]
        grams = [words[i : i + n] for i in starts]
        counts = Counter(grams)
        most = max(counts.values(), default=0)
        if n in AGAIN:
            yield n, _covered(words, starts, grams, n) / total if most > 1 else 0.0
        elif most >= _OFTEN:
            yield n, most * max(sum(map(len, gram)) for gram, count in counts.items() if count == most) / total
        else:
            yield n, 0.0
        repeated = [i for i, count in zip(starts, map(counts.__getitem__, grams), strict=True) if count > 1]


def _covered(words: Sequence[str], starts: Sequence[int], grams: Sequence[tuple[str, ...]], n: int) -> int:
    """Characters of the words in n-grams that occurred at an earlier start."""
    seen: set[tuple[str, ...]] = set()
    chars = end = 0
    for start, gram in zip(starts, grams, strict=True):
        if gram in seen:
            chars += sum(map(len, words[max(start, end) : start + n]))
            end = start + n
        seen.add(gram)
    return chars
