"""Light Markdown line by line: which lines are code, which make a table, and the words of a table's cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

# Bounded, and never across lines: the text comes from anywhere.
_LINK = re.compile(r"!?\[([^\]\n]{0,300})\]\([^)\n]{0,2000}\)")
_REFERENCE = re.compile(r"(?<![\w\]])!?\[([^\]\[\n]{1,300})\]\[[^\]\[\n]{0,300}\]")
_EMPHASIS = re.compile(r"(\*\*|__|`)([^\n]{1,300}?)\1|(?<!\w)([*_])(?=\S)([^\n]{1,300}?)(?<=\S)\3(?!\w)")
_FENCE = re.compile(r"[ \t]*(`{3,}(?=[^`]*$)|~{3,})(.*)")
_PIPE = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r":?-+:?")
_OTHER = re.compile(r"[ \t]*(?:#{1,6}[ \t]|>|[-*+•][ \t]|\d{1,3}[.)][ \t])")  # what no row of a table begins with


class Line(NamedTuple):
    """A line, where it starts in its text, and whether it opens fenced code or stands in it, closing fence included."""

    start: int
    text: str
    code: Literal["", "opens", "within"]


@dataclass(frozen=True)
class Row:
    """A row of a table: its cells' words, and its characters [start, end)."""

    cells: list[str]
    start: int
    end: int


@dataclass(frozen=True)
class Table:
    """A header, known by the rule below it, and the rows below that; its last line ends at `end`."""

    header: Row
    rows: list[Row]
    end: int


def read_lines(text: str) -> Iterator[Line]:
    """The lines of a text; fenced code ends at a fence of the same mark, as long at least, or with the text."""
    start, opened = 0, ""
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if opened:
            yield Line(start, line, "within")
            if fence and fence[1].startswith(opened) and not fence[2].strip():
                opened = ""
        else:
            yield Line(start, line, "opens" if fence else "")
            opened = fence[1] if fence else ""
        start += len(line) + 1


def read_tables(text: str) -> Iterator[Table]:
    """The tables of a text, with or without a pipe at the ends of their lines; what stands in code is none.

    A table begins with a header and a rule of as many cells, and goes on while lines have a pipe.
    """
    lines = list(read_lines(text)) if "|" in text else []
    number = 1
    while number < len(lines):
        above, rule = lines[number - 1], lines[number]
        number += 1
        if not (_may_be_row(above) and _is_rule(rule) and len(_split(above.text)) == len(_split(rule.text))):
            continue
        rows = []
        while number < len(lines) and _may_be_row(lines[number]):
            if not _is_rule(lines[number]):
                rows.append(_row(lines[number]))
            number += 1
        last = lines[number - 1]
        yield Table(_row(above), rows, last.start + len(last.text))


def clean_cell(cell: str) -> str:
    """The words of a cell, or of what is compared with one, in one line."""
    bare = cell.replace("\\|", "|")
    return " ".join(without_marks(without_marks(bare)).split())  # twice, since emphasis may hold emphasis


def without_marks(markdown: str) -> str:
    """The words without links and emphasis."""
    text = _REFERENCE.sub(r"\1", _LINK.sub(r"\1", markdown))
    return _EMPHASIS.sub(lambda m: m[2] or m[4], text)


def _may_be_row(line: Line) -> bool:
    return not line.code and "|" in line.text and not _OTHER.match(line.text)


def _is_rule(line: Line) -> bool:
    if line.code or "|" not in line.text or not set(line.text) <= set("|:- \t\r"):
        return False
    cells = _split(line.text)
    return bool(cells) and all(_RULE.fullmatch(cell.strip()) for cell in cells)


def _row(line: Line) -> Row:
    return Row([clean_cell(cell) for cell in _split(line.text)], line.start, line.start + len(line.text.rstrip()))


def _split(line: str) -> list[str]:
    cells = _PIPE.split(line.strip())
    if not cells[0].strip():
        del cells[0]
    if cells and not cells[-1].strip():
        del cells[-1]
    return cells
