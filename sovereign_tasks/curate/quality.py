"""Is a text writing worth learning from: rules after Gopher, C4 and FineWeb in one pass, thresholds per profile.

Sources: Rae et al. 2021 (arXiv:2112.11446, A1.1), Raffel et al. 2020 (arXiv:1910.10683, 2.2), Penedo et al. 2024
(arXiv:2406.17557). Their thresholds are for web pages in English; taken as they are they drop nearly all short
posts and price sheets, hence a profile per kind of writing.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:['-][^\W_]+)*")
_WIDE = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")  # written without spaces
_BULLET = re.compile(r"\s*(?:[-*•‣▪]|\d{1,3}[.)])\s")
_PLACEHOLDER_ANYWHERE = re.compile(r"lorem ipsum|dolor sit amet", re.IGNORECASE)
_PLACEHOLDER_SHORT = re.compile(
    r"(?:enable|requires?|turn on|activate) (?:java ?script|cookies)|java ?script (?:is|must be|seems to be) \w+|"
    r"(?:page|file) (?:was |is |could )?not (?:be )?found|under construction|coming soon|access denied|"
    r"checking your browser|are you a robot|verify you are human|your (?:content|text) (?:goes )?here|"
    r"^\[?(?:deleted|removed)\]?$",
    re.IGNORECASE,
)
_SHORT_PAGE = 80  # words below which a placeholder's phrase is the page rather than a mention
_STOP_WORDS = {
    "en": "the be to of and that have with is are a in it for on you this was as or",
    "de": "der die das und ist nicht ein eine zu mit den von auf für im dem sich es auch",
    "fr": "le la les de des et est un une que qui dans pour pas sur au en il plus du",
    "es": "el la los las de que y en un una es por con para no se del al lo su",
    "it": "il la di che e un una per con non del della è in i le da si al sono",
    "nl": "de het een van en is dat niet in te op voor met zijn er aan ook als om die",
    "pt": "o a os as de que e em um uma é para com não do da por se no na",
}
_STOP = {language: frozenset(words.split()) for language, words in _STOP_WORDS.items()}


@dataclass(frozen=True, slots=True)
class Profile:
    """Bounds for one kind of writing; shares are of words, lines or characters as their rule says."""

    min_words: int
    max_bullets: float
    min_alphabetic: float
    max_symbols: float
    max_repeated: float
    min_sentences: float


PROFILES = {
    "page": Profile(
        min_words=25, max_bullets=0.95, min_alphabetic=0.6, max_symbols=0.15, max_repeated=0.35, min_sentences=0.3
    ),
    "forum": Profile(
        min_words=3, max_bullets=1.0, min_alphabetic=0.5, max_symbols=0.3, max_repeated=0.5, min_sentences=0
    ),
    "mail": Profile(
        min_words=3, max_bullets=1.0, min_alphabetic=0.5, max_symbols=0.3, max_repeated=0.5, min_sentences=0
    ),
    "qa": Profile(min_words=3, max_bullets=1.0, min_alphabetic=0.5, max_symbols=0.3, max_repeated=0.5, min_sentences=0),
    "document": Profile(
        min_words=15, max_bullets=1.0, min_alphabetic=0.45, max_symbols=0.2, max_repeated=0.4, min_sentences=0
    ),
}


@dataclass(frozen=True, slots=True)
class Quality:
    """A score in [0, 1] (how far from all bounds, on average) and the first rule that failed, or empty."""

    score: float
    reason: str
    measured: str


def judge(text: str, profile: str, language: str) -> Quality:
    """Hold a text against its profile's rules, in a fixed order.

    Reasons: too_short, placeholder, word_length, symbols, alphabetic, sentences, repeated_lines,
    repeated_paragraphs, bullets, ellipses, repeated_ngrams, stop_words.
    """
    bounds = PROFILES[profile]
    words = [w.casefold() for w in _WORD.findall(text)]
    count = len(words)
    if count < bounds.min_words:
        return Quality(0.0, "too_short", f"{count} words < {bounds.min_words}")
    if found := _placeholder(text, count):
        return Quality(0.0, "placeholder", found)
    margins = []
    for reason, value, low, high in _measures(text, words, bounds, language):
        if not low <= value <= high:
            limit = f"< {low:g}" if value < low else f"> {high:g}"
            return Quality(0.0, reason, f"{value:.2f} {limit}")
        margins.append(1 - value / high if low == 0 else min(1.0, (value - low) / low))
    margins.append(min(1.0, count / (4 * bounds.min_words)))
    return Quality(round(sum(margins) / len(margins), 4), "", "")


def _measures(text: str, words: list[str], bounds: Profile, language: str) -> list[tuple[str, float, float, float]]:
    """(reason, value, least, most) of each rule that applies."""
    count = len(words)
    lines = [line for line in text.split("\n") if line.strip()]
    spaced = len(_WIDE.findall(text)) < 0.3 * len(text)
    alphabetic = sum(any(c.isalpha() for c in w) for w in words) / count
    symbols = sum(text.count(s) for s in "{}<>~^=\\") + len(re.findall(r"#(?![# ])|\.\.\.", text))
    rules = [
        ("symbols", symbols / count, 0, bounds.max_symbols),
        ("alphabetic", alphabetic, bounds.min_alphabetic, 1.0),
        ("repeated_lines", _repeated(lines), 0, bounds.max_repeated),
        ("repeated_paragraphs", _repeated(re.split(r"\n{2,}", text)), 0, bounds.max_repeated),
    ]
    sentences, prose_words = _sentences(lines)
    if spaced and prose_words >= 10 and bounds.min_sentences:
        rules.insert(2, ("sentences", sentences, bounds.min_sentences, 1.0))
    if spaced:
        plain = [len(w) for w in words if w.isalpha()] or [0]
        rules.insert(0, ("word_length", sum(plain) / len(plain), 2.0, 12.0))
    if len(lines) >= 5:
        rules.append(("bullets", sum(map(bool, map(_BULLET.match, lines))) / len(lines), 0, bounds.max_bullets))
        ends = sum(line.rstrip().endswith(("...", "…")) for line in lines)
        rules.append(("ellipses", ends / len(lines), 0, 0.4))
    if count >= 50:
        rules.append(("repeated_ngrams", _top_ngram(words), 0, 0.2))
        if stop := _STOP.get(language):
            prose = [w for w in words if w.isalpha()]
            rules.append(("stop_words", sum(w in stop for w in prose) / max(1, len(prose)), 0.03, 1.0))
    return rules


def _placeholder(text: str, count: int) -> str:
    found = _PLACEHOLDER_ANYWHERE.search(text)
    if not found and count < _SHORT_PAGE:
        found = _PLACEHOLDER_SHORT.search(text.strip())
        if found and len(found[0].split()) / count < 0.05:
            found = None
    return found[0].lower() if found else ""


def _sentences(lines: list[str]) -> tuple[float, int]:
    """The share of words outside headings, lists and tables that stand in a sentence, and how many those words are.

    A sentence has at most 60 words and an end; menus and link lists have none.
    """
    inside = total = 0
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith(("#", "|")) or _BULLET.match(line):
            continue
        if _BULLET.match(after):
            line += ":"  # what leads up to a list needs no full stop
        for part in re.split(r"(?<=[.!?:])[\d\"')\]]*(?:\s+|$)", line):
            length = len(part.split())
            total += length
            inside += length if part.endswith((".", "!", "?", ":")) and length <= 60 else 0
    return (inside / total if total else 0.0), total


def _repeated(parts: list[str]) -> float:
    """The share of characters in parts (lines, paragraphs) that an earlier part already said."""
    seen: set[str] = set()
    repeated = total = 0
    for part in map(str.strip, parts):
        total += len(part)
        repeated += len(part) if part in seen else 0
        seen.add(part)
    return repeated / total if total else 0.0


def _top_ngram(words: list[str]) -> float:
    """The share of words taken up by the most frequent run of four, where it occurs at least three times."""
    grams = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    most = max(grams.values())
    return 4 * most / len(words) if most >= 3 else 0.0
