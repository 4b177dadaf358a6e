"""Is a text writing worth learning from: rules after Gopher, C4 and FineWeb, with bounds per kind of writing.

Sources: Rae et al. 2021 (arXiv:2112.11446, A1.1), Raffel et al. 2020 (arXiv:1910.10683, 2.2), Penedo et al. 2024
(arXiv:2406.17557). Their bounds are for pages of the web in English and drop nearly all short posts, mails, answers
and price lists, so they hold for pages (as far as those are Markdown here, with lists and tables that have no
sentences), and the others have their own. Each rule is named for what is wrong where it fails.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import filterfalse

from sovereign_tasks.curate.repetition import TOP, repeated_ngrams, repeated_parts

PROFILES = ("page", "document", "forum", "mail", "qa")
"""Kinds of writing: a page of the web, a document of the house, a post, short prose to a person, title and answer."""
Bounds = dict[str, tuple[float | None, ...]]
# By profile in the order above, None where a rule says nothing of it; then the bound as published.
LEAST: Bounds = {
    "too_short": (25, 15, 3, 4, 2),  # words; Gopher 50
    "short_words": (2.5, 2, 2, 2, 2),  # mean letters of a word; Gopher 3
    "alphabetic": (0.6, 0.45, 0.5, 0.6, 0.2),  # share of words with a letter; Gopher 0.8
    "sentences": (0.3, None, None, None, None),  # share of words outside lists in sentences; C4 keeps no other line
    "line_punctuation": (0.12, None, None, None, None),  # share of lines with an end of sentence; FineWeb 0.12
    "stop_words": (0.03, 0.02, 0.03, 0.05, 0.03),  # share of words, from 50 words on; Gopher 2 of 8 words
}
MOST: Bounds = {
    "too_long": (100_000, None, 50_000, 50_000, 100_000),  # words; Gopher 100,000
    "long_words": (10, 12, 12, 10, 12),  # mean letters of a word; Gopher 10
    "blob": (1000, 1000, 1000, 1000, 1000),  # characters without a space; C4 1,000
    "symbols": (0.15, 0.2, 0.3, 0.2, 0.4),  # { } < > ~ ^ = \ # and ellipses per word; Gopher 0.1 for the last two
    "curly_braces": (0.03, 0.1, 0.2, 0.05, 0.3),  # per word outside fenced code; C4 0
    "boilerplate": (0.3, 0.3, 0.5, 0.3, 0.5),  # share of characters in lines on scripts, cookies, terms; C4 drops each
    "bullets": (0.95, None, None, 0.9, None),  # share of lines; Gopher 0.9
    "ellipses": (0.3, 0.4, 0.5, 0.4, 0.4),  # share of lines that end in one; Gopher 0.3
    "short_lines": (0.67, None, 0.95, 0.9, None),  # share of lines up to 30 characters; FineWeb 0.67
    "newlines": (0.3, 0.6, 1.0, 0.5, 1.0),  # lines per word; FineWeb 0.3
    "repeated_lines": (0.3, 0.4, 0.4, 0.3, 0.4),  # share of lines; Gopher 0.3
    "repeated_line_chars": (0.2, 0.3, 0.3, 0.2, 0.3),  # share of characters; Gopher 0.2, FineWeb 0.1
    "repeated_paragraphs": (0.3, 0.4, 0.4, 0.3, 0.4),  # share of paragraphs; Gopher 0.3
    "repeated_paragraph_chars": (0.2, 0.3, 0.3, 0.2, 0.3),  # share of characters; Gopher 0.2
    "top_2grams": (0.28, 0.3, 0.3, 0.25, 0.35),  # share of characters, as all below, from 50 words on; Gopher 0.2
    "top_3grams": (0.27, 0.28, 0.28, 0.23, 0.3),  # Gopher 0.18
    "top_4grams": (0.27, 0.26, 0.26, 0.2, 0.28),  # Gopher 0.16
    "repeated_5grams": (0.3, 0.35, 0.3, 0.2, 0.35),  # Gopher 0.15
    "repeated_6grams": (0.28, 0.33, 0.28, 0.19, 0.33),  # Gopher 0.14
    "repeated_7grams": (0.26, 0.31, 0.26, 0.18, 0.31),  # Gopher 0.13
    "repeated_8grams": (0.24, 0.29, 0.24, 0.17, 0.29),  # Gopher 0.12
    "repeated_9grams": (0.22, 0.27, 0.22, 0.16, 0.27),  # Gopher 0.11
    "repeated_10grams": (0.2, 0.25, 0.2, 0.15, 0.25),  # Gopher 0.10
}
_LINES = 5  # from which shares of lines mean something
_WORDS = 50  # from which shares of n-grams and of stop words do
_PROSE = 10  # words outside lists from which their share in sentences does
_SHORT_LINE = 30
_SHORT_PAGE = 80  # words below which a placeholder's phrase is the page rather than a mention
_APART = {i: " " for i in range(128) if not chr(i).isalnum() and chr(i) not in "'-"}
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:['-][^\W_]+)*")
_WIDE = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")  # written without spaces
_LETTER = re.compile(r"[^\W\d_]")
_BULLET = re.compile(r"\s*(?:[-*•‣▪]|\d{1,3}[.)])\s")
_LISTED = re.compile(r"[#|]|\s*(?:[-*•‣▪]|\d{1,3}[.)])\s")  # a heading, a table's row, a list's item
_HASH = re.compile(r"#(?![# ])")
_PARAGRAPHS = re.compile(r"\n{2,}")
_SENTENCE_END = re.compile(r"(?<=[.!?:])[\d\"')\]]*(?:\s+|$)")
_ENDS = tuple(".!?:;\"'…。！？।؟")
_BOILERPLATE = (
    "javascript,java script,terms of use,privacy policy,cookie policy,use cookies,uses cookies,use of cookies,"
    "accept cookies,accept all cookies"
).split(",")
_PLACEHOLDERS = ("lorem ipsum", "dolor sit amet")
_PLACEHOLDER_SHORT = re.compile(
    r"(?:enable|requires?|turn on|activate) (?:java ?script|cookies)|java ?script (?:is|must be|seems to be) \w+|"
    r"(?:page|file) (?:was |is |could )?not (?:be )?found|under construction|coming soon|access denied|"
    r"checking your browser|are you a robot|verify you are human|your (?:content|text) (?:goes )?here|"
    r"^\[?(?:deleted|removed)\]?$"
)
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
class Quality:
    """A score in [0, 1] (how far from all bounds, on average) and the first rule that failed, or empty."""

    score: float
    reason: str
    measured: str


def judge(text: str, profile: str, language: str) -> Quality:
    """Hold a text against its profile's bounds, the cheap ones first.

    Reasons: placeholder (measured is the phrase) and the names of the bounds (measured is "value < bound").
    """
    least, most = _bounds(profile)
    folded = text.casefold()
    words = _words(folded)
    if not words or len(words) < least["too_short"]:
        return Quality(0.0, "too_short", f"{len(words)} < {least['too_short']}")
    if found := _placeholder(folded, len(words)):
        return Quality(0.0, "placeholder", found)
    margins = [min(1.0, len(words) / (4 * least["too_short"]))]
    for name, value in _measure(text, folded, words, language, with_prose="sentences" in least):
        if (bound := least.get(name)) is not None:
            if value < bound:
                return Quality(0.0, name, f"{round(value, 3)} < {bound}")
            margins.append(min(1.0, (value - bound) / bound))
        elif (bound := most.get(name)) is not None:
            if value > bound:
                return Quality(0.0, name, f"{round(value, 3)} > {bound}")
            margins.append(1 - value / bound)
    return Quality(round(sum(margins) / len(margins), 4), "", "")


@functools.cache
def _bounds(profile: str) -> tuple[dict[str, float], dict[str, float]]:
    """The columns of `LEAST` and `MOST` that hold for a profile."""
    column = PROFILES.index(profile)
    least, most = ({n: row[column] for n, row in table.items() if row[column] is not None} for table in (LEAST, MOST))
    return least, most


def _words(folded: str) -> list[str]:
    """Words with their inner hyphens and apostrophes, a sign each where script knows no spaces."""
    if folded.isascii():  # the same words by the methods of str, twice as fast
        parts = folded.translate(_APART)
        if "'" not in parts and "-" not in parts:
            return parts.split()
        return [w for part in parts.split() if (w := part.strip("'-"))]
    return _WORD.findall(folded)


def _measure(
    text: str, folded: str, words: list[str], language: str, *, with_prose: bool
) -> Iterator[tuple[str, float]]:
    """Name and value of each rule that says something of a text of this length and script."""
    count = len(words)
    spaced = text.isascii() or len(_WIDE.findall(text)) < 0.3 * len(text)
    plain, mixed = list(filter(str.isalpha, words)), filterfalse(str.isalpha, words)
    yield "too_long", count
    if plain and spaced:
        letters = sum(map(len, plain)) / len(plain)
        yield "short_words", letters
        yield "long_words", letters
    yield "alphabetic", (len(plain) + sum(map(bool, map(_LETTER.search, mixed)))) / count
    prose = " ".join(text.split("```")[::2])  # braces and symbols are at home in fenced code
    braces = prose.count("{") + prose.count("}")
    symbols = sum(map(prose.count, ("<", ">", "~", "^", "=", "\\", "...", "…"))) + len(_HASH.findall(prose))
    yield "symbols", (braces + symbols) / count
    yield "curly_braces", braces / count
    yield "boilerplate", _boilerplate(folded)
    if count >= _WORDS and plain and (stop := _STOP.get(language)):
        yield "stop_words", sum(map(stop.__contains__, plain)) / len(plain)
    yield from _measure_lines(text, count, spaced=spaced, with_prose=with_prose)
    if count >= _WORDS:
        for n, share in repeated_ngrams(words):
            yield f"top_{n}grams" if n in TOP else f"repeated_{n}grams", share


def _measure_lines(text: str, count: int, *, spaced: bool, with_prose: bool) -> Iterator[tuple[str, float]]:
    """The rules on lines; that on sentences only on demand, since it costs as much as the others."""
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    if count >= _WORDS or len(lines) >= _LINES:  # in less, a title said twice is half of it
        yield from zip(("repeated_lines", "repeated_line_chars"), repeated_parts(lines), strict=True)
        paragraphs = repeated_parts(_PARAGRAPHS.split(text))
        yield from zip(("repeated_paragraphs", "repeated_paragraph_chars"), paragraphs, strict=True)
    if len(lines) >= _LINES:
        yield "newlines", len(lines) / count
        yield "bullets", sum(map(bool, map(_BULLET.match, lines))) / len(lines)
        yield "ellipses", sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines)
    if not spaced:
        return
    yield "blob", max((len(word) for line in lines if len(line) > 1000 for word in line.split()), default=0)
    plain = [line for line in lines if not _LISTED.match(line)]
    if len(plain) >= _LINES:
        yield "line_punctuation", sum(line.rstrip().endswith(_ENDS) for line in plain) / len(plain)
        yield "short_lines", sum(len(line) <= _SHORT_LINE for line in plain) / len(plain)
    if with_prose:
        inside, total = _sentences(lines)
        if total >= _PROSE:
            yield "sentences", inside / total


def _placeholder(folded: str, count: int) -> str:
    found = next((phrase for phrase in _PLACEHOLDERS if phrase in folded), "")
    if not found and count < _SHORT_PAGE and (short := _PLACEHOLDER_SHORT.search(folded.strip())):
        found = short[0] if len(short[0].split()) / count >= 0.05 else ""
    return found


def _boilerplate(folded: str) -> float:
    """The share of characters in lines that speak of scripts, cookies or terms."""
    phrases = [phrase for phrase in _BOILERPLATE if phrase in folded]
    if not phrases:
        return 0.0
    return sum(len(line) for line in folded.split("\n") if any(p in line for p in phrases)) / len(folded)


def _sentences(lines: list[str]) -> tuple[int, int]:
    """How many words outside headings, lists and tables stand in a sentence, and how many there are.

    A sentence has at most 60 words and an end; menus and link lists have none.
    """
    inside = total = 0
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if _LISTED.match(line):
            continue
        if _BULLET.match(after):
            line += ":"  # what leads up to a list needs no full stop
        for part in _SENTENCE_END.split(line):
            length = len(part.split())
            total += length
            inside += length if part.endswith((".", "!", "?", ":")) and length <= 60 else 0
    return inside, total
