"""The Markdown of the site's pages: hand-written articles, and sheets of a material from its facts."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from typing import Any

from sovereign_tasks.demo.facts import CONTENT, Material, all_materials, fill, read_yaml

SIZES = (1200, 1800, 2400, 3000)


@dataclass(frozen=True)
class Article:
    """A page before layout: its Markdown without the title, and what the head and the server need to know."""

    path: str
    title: str
    markdown: str
    lang: str = "en"
    noindex: bool = False
    charset: str = "utf-8"

    @property
    def questions(self) -> list[tuple[str, str]]:
        """Each `##` heading with the paragraph under it."""
        return re.findall(r"^## (.+)\n+(.+)$", self.markdown, re.MULTILINE)


def read_articles(name: str) -> list[Article]:
    """The articles of a Markdown file: each begins with `# Title` and a `path:` line."""
    text = (CONTENT / name).read_text(encoding="utf-8").split("\n@ ")[0]
    found = []
    for chunk in re.split(r"^# ", text, flags=re.MULTILINE)[1:]:
        title, path, body = chunk.split("\n", 2)
        found.append(Article(path.removeprefix("path: "), title, fill(body).strip()))
    return found


def read_changes(name: str) -> dict[str, list[tuple[str, str]]]:
    """By path, the questions and answers that a later day puts in place of the same question, or adds."""
    changes = {}
    for chunk in (CONTENT / name).read_text(encoding="utf-8").split("\n@ ")[1:]:
        path, body = chunk.split("\n", 1)
        changes[path] = Article(path, "", fill(body)).questions
    return changes


def revise(article: Article, changes: list[tuple[str, str]]) -> Article:
    """The article with the changed answers put in, and new questions added at its end."""
    markdown = article.markdown
    for question, answer in changes:
        old = dict(article.questions).get(question)
        markdown = markdown.replace(old, answer) if old else f"{markdown}\n\n## {question}\n{answer}"
    return replace(article, markdown=markdown)


@functools.cache
def _phrases() -> dict[str, Any]:
    return read_yaml("phrases.yaml")


@functools.cache
def _notes() -> dict[str, Any]:
    return read_yaml("notes.yaml")


def _verdicts(material: Material) -> dict[str, str]:
    table = _phrases()["verdicts"]
    wind = next(text for speed, text in table["wind"].items() if material.wind >= speed)
    chosen = {"fire": table["fire"][material.family], "hail": table["hail"][material.hail], "wind": wind}
    return {f"{aspect}_verdict": fill(text, m=material) for aspect, text in chosen.items()}


def _table(material: Material, sheet: str) -> str:
    if sheet == "costs":
        rows = [(f"{size:,} sq ft", *material.total(size).split(" to "), material.middle(size)) for size in SIZES]
        head = ("Roof area", "Low", "High", "Middle")
    elif sheet == "materials":
        head = ("Figure", material.Name)
        rows = [
            ("Installed price, per sq ft", material.unit),
            ("Service life", material.life_text),
            ("Weight, lb per sq ft", material.weight_text),
            ("Lowest slope", material.slope_text),
            ("Hail, wind, fire", f"Class {material.hail}, {material.wind} mph, Class {material.fire}"),
        ]
    else:
        return ""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _in_turn(wordings: list[str], place: int, step: int) -> str:
    """The wording at `step` of a sheet for the material at `place`.

    An orthogonal array over the digits of `place`: of nine steps with three wordings, two materials share three
    at most, which keeps their pages apart.
    """
    n = len(wordings)
    return wordings[(place + step * (place // n) + step // n * (place // n**2)) % n]


def write_sheet(material: Material, sheet: str) -> Article:
    """One of a material's four pages: `costs`, `materials`, `care` or `weather`."""
    place = list(all_materials()).index(material.key)
    recipe = _phrases()["sheets"][sheet]
    values = {"m": material, **_verdicts(material)}
    parts = [fill(_in_turn(recipe["intros"], place, 0), **values), _table(material, sheet)]
    for step, aspect in enumerate(recipe["aspects"]):
        phrase = _phrases()["aspects"][aspect]
        answers = phrase.get("answers") or [_notes()[material.key][phrase["note"]]]
        question = fill(_in_turn(phrase["questions"], place, step), **values)
        parts.append(f"## {question}\n{fill(_in_turn(answers, place, step), **values)}\n")
    return Article(f"/{sheet}/{material.key}.html", fill(recipe["title"], **values), "\n".join(parts))


def write_sheets(day: int) -> list[Article]:
    """The sheets of the materials that came in on `day`."""
    sheets = _phrases()["sheets"]
    return [write_sheet(m, sheet) for m in all_materials().values() if m.from_day == day for sheet in sheets]
