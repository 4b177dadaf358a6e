"""Which language a text is in, by py3langid with its probabilities normalised over a fixed set of languages.

Of a long text its beginning, middle and end are read: 400 characters tell a language as surely as all of them do.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from sovereign_tasks.curate.pii.placeholders import PLACEHOLDER

# Restricting to the expected languages alone would call a Spanish page English: the usual others stay in the race.
COMMON = ("ar bg bn cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv ms nl no pl pt ro ru sk sl sr sv "
          "ta te th tr uk ur vi zh").split()  # fmt: skip
SHORT = 20
"""Words below which a guess only counts when it is clear."""
_CLEAR = 0.9
_IMPLAUSIBLE = 0.01  # probability below which a language is ruled out, from _SOME words on
_SOME = 4
_MOST_CHARS = 10_000  # of which the words are looked at
_EXCERPT = 130
_SCRIPTS = {"ru": "CYRILLIC", "uk": "CYRILLIC", "bg": "CYRILLIC", "sr": "CYRILLIC", "el": "GREEK", "he": "HEBREW",
            "ar": "ARABIC", "fa": "ARABIC", "ur": "ARABIC", "hi": "DEVANAGARI", "bn": "BENGALI", "ta": "TAMIL",
            "te": "TELUGU", "th": "THAI", "zh": "CJK", "ja": "CJK HIRAGANA KATAKANA", "ko": "HANGUL"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Language:
    """A language code, the confidence in it in [0, 1], whether it is expected, and whether the text is short."""

    code: str
    confidence: float
    expected: bool
    short: bool


def identify(text: str, expected: Sequence[str]) -> Language:
    """Decide a text's language, and whether it is an expected one.

    A text under `SHORT` words passes as the likeliest expected language that is written in its script, unless it
    is clearly in another one or clearly not in that one: such a guess is noise ("Nice roof!" may look Dutch).
    """
    prose = _prose(text[:_MOST_CHARS])
    ranked = _identifier(tuple(expected)).rank(_excerpts(prose))
    code, confidence = ranked[0]
    count = len(prose.split())
    short = count < SHORT
    if code in expected or not short or confidence >= _CLEAR:
        return Language(code, confidence, code in expected, short)
    script = _script(prose)
    for fitting, probability in ranked:
        if fitting in expected and (not script or script in _SCRIPTS.get(fitting, "LATIN")):
            if count >= _SOME and probability < _IMPLAUSIBLE:
                break
            return Language(fitting, 1.0 - confidence, True, short)
    return Language(code, confidence, False, short)


@functools.cache
def _identifier(expected: tuple[str, ...]) -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(sorted({*COMMON, *expected} & set(identifier.labels)))
    # Rows of the table are added up: as they come (float16, column by column) that takes half as long again.
    identifier.nb_ptc = np.ascontiguousarray(identifier.nb_ptc, np.float32)
    return identifier


def _prose(text: str) -> str:
    """The words alone: addresses, code and placeholders say nothing of the language."""
    text = re.sub(r"```.*?```|https?://\S+|[#*|`>_\d]+", " ", PLACEHOLDER.sub(" ", text), flags=re.DOTALL)
    return " ".join(text.split())


def _excerpts(prose: str) -> str:
    if len(prose) <= 3 * _EXCERPT:
        return prose
    middle = (len(prose) - _EXCERPT) // 2
    return " ".join((prose[:_EXCERPT], prose[middle : middle + _EXCERPT], prose[-_EXCERPT:]))


def _script(text: str) -> str:
    """The script of most letters, as Unicode names it; empty without letters."""
    names = [unicodedata.name(c, "").split(" ")[0] for c in text[:500] if c.isalpha()]
    return max(sorted(set(names)), key=names.count) if names else ""
