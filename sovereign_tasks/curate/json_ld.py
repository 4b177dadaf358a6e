"""Questions with answers, and instructions, that a page holds as schema.org data (JSON-LD), as Markdown sections."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bs4 import BeautifulSoup

_NESTED = ("@graph", "mainEntity", "hasPart")


def sections(scripts: Iterable[str], has: Callable[[str], bool]) -> list[str]:
    """Sections of FAQPage, QAPage and HowTo data; those whose words the page `has` already are left out."""
    found: list[str] = []
    for script in scripts:
        try:
            data = json.loads(script, strict=False)  # real pages hold line breaks in their strings
            found += [f"## {question}\n\n{answer}" for question, answer in _questions(data) if not has(question)]
            found += [
                "\n".join([f"## {name}\n", *(f"{n}. {step}" for n, step in enumerate(steps, 1))])
                for name, steps in _instructions(data)
                if sum(map(has, steps)) * 2 < len(steps)
            ]
        except (ValueError, RecursionError):  # broken, or nested to break readers
            continue
    return list(dict.fromkeys(found))


def _questions(data: Any) -> Iterator[tuple[str, str]]:
    for page in _typed(data, "FAQPage", "QAPage"):
        for question in _typed(page.get("mainEntity"), "Question"):
            answers = [*_typed(question.get("acceptedAnswer"), "Answer"), *_best(question.get("suggestedAnswer"))]
            asked = _words(question.get("name")) or _words(question.get("text"))
            answer = next(filter(None, (_words(answer.get("text")) for answer in answers)), "")
            if asked and answer:
                yield asked, answer


def _best(suggested: Any) -> list[dict[str, Any]]:
    """Answers by their votes, most first."""
    return sorted(_typed(suggested, "Answer"), key=_votes, reverse=True)


def _votes(answer: dict[str, Any]) -> int:
    votes = answer.get("upvoteCount")
    return votes if isinstance(votes, int) else 0


def _instructions(data: Any) -> Iterator[tuple[str, list[str]]]:
    for how_to in _typed(data, "HowTo"):
        name, steps = _words(how_to.get("name")), list(filter(None, _steps(how_to.get("step"))))
        if name and steps:
            yield name, steps


def _steps(data: Any) -> Iterator[str]:
    """Steps in order: plain strings, HowToStep with a text or its parts, and HowToSection with steps."""
    for step in data if isinstance(data, list) else [data]:
        if isinstance(step, str):
            yield _words(step)
        elif isinstance(step, dict):
            if words := _words(step.get("text")):
                yield words
            elif step.get("itemListElement"):
                yield from _steps(step["itemListElement"])
            else:
                yield _words(step.get("name"))


def _typed(data: Any, *names: str) -> Iterator[dict[str, Any]]:
    """All objects of schema.org types, in lists and in what a page is said to be about."""
    if isinstance(data, list):
        for part in data:
            yield from _typed(part, *names)
    elif isinstance(data, dict):
        kinds = data.get("@type", [])
        if any(str(kind).rpartition("/")[2] in names for kind in (kinds if isinstance(kinds, list) else [kinds])):
            yield data
        else:
            for key in _NESTED:
                yield from _typed(data.get(key), *names)


def _words(markup: Any) -> str:
    if not isinstance(markup, str):
        return ""
    markup = markup.encode("utf-8", "ignore").decode()  # JSON can spell halves of characters
    words = " ".join(BeautifulSoup(html.unescape(markup), "lxml").get_text(" ").split())
    return re.sub(r" (?=[?!.,;:])", "", words)
