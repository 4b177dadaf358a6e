"""Light Markdown as blocks with their places, and as sections below headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from sovereign_tasks.dataset.forms.markdown import Table, read_lines, read_tables
from sovereign_tasks.dataset.forms.passage import plain
from sovereign_tasks.records import Document

_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.{0,300}?)[ \t#]*$")
_TITLE = re.compile(r"[A-Z][^\n.:;!?]{3,70}[^\W_]")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|(\d{1,3}[.)]))[ \t]+(?=\S)")


@dataclass(frozen=True)
class Block:
    """Characters [start, end) of a text; `kind` is heading, paragraph, bullets, steps, table, entry, quote or code.

    An entry is a term with its definitions, the latter on lines that begin with a colon. Lines with pipes that have no
    header are a table without `table`.
    """

    kind: str
    start: int
    end: int
    text: str
    level: int = 0
    table: Table | None = None

    @cached_property
    def items(self) -> list[str]:
        """A list's items at its outermost level, without their marks."""
        found: list[list[str]] = []
        lines = self.text.split("\n")
        outer = len(lines[0]) - len(lines[0].lstrip())
        for line in lines:
            item = _ITEM.match(line)
            if item and len(line) - len(line.lstrip()) <= outer:
                found.append([line[item.end() :]])
            elif found:
                found[-1].append(line.strip())
        return ["\n".join(item).strip() for item in found]


@dataclass(frozen=True)
class Section:
    """A heading, or a document's title above all of them, with what stands below it up to the next heading.

    `whole` is all below it up to a heading as high, subsections included; `above` are the headings that it lies under,
    the nearest last, less the document's title.
    """

    title: str
    heading: Block | None
    blocks: tuple[Block, ...]
    whole: tuple[Block, ...]
    above: tuple[str, ...]


@dataclass(frozen=True)
class Outline:
    """A document's blocks in their order, its sections, and its title: its first line, where it has no other."""

    document: Document
    title: str
    blocks: tuple[Block, ...]
    sections: tuple[Section, ...]


def read_outline(document: Document) -> Outline:
    """Read a document's blocks and sections."""
    blocks = tuple(_blocks(document.text))
    title = document.title or _first_line(blocks)
    return Outline(document, title, blocks, tuple(_sections(title, blocks)))


def _first_line(blocks: Sequence[Block]) -> str:
    """The first line of a plain text, if it reads like a title; one in capitals is brought to small letters."""
    line = blocks[0].text if len(blocks) > 1 and blocks[0].kind == "paragraph" else ""
    if not _TITLE.fullmatch(line):
        return ""
    return line.capitalize() if line.isupper() else line


@dataclass
class _Open:
    """A block that may go on; `last` is where its last line begins."""

    kind: str
    start: int
    end: int
    last: int
    level: int = 0
    table: Table | None = None

    def close(self, text: str) -> Block:
        return Block(self.kind, self.start, self.end, text[self.start : self.end], self.level, self.table)


def _blocks(text: str) -> Iterator[Block]:
    current: _Open | None = None
    gap = False
    tables = {table.header.start: table for table in read_tables(text)}
    for start, line, code in read_lines(text):
        end = start + len(line)
        if code == "within" and current:
            current.end = end
            continue
        if not line.strip():
            gap = True
            continue
        kind, level = ("code", 0) if code else _kind(line, current, gap)
        table = tables.get(start)
        if table and current and _in_list(current.kind, line):
            table = None  # it stays a part of the item
        if table or (current and current.table and start <= current.table.end):
            kind = "table"
        if current and not code and not table and _continues(current.kind, kind, line, gap):
            if kind == "entry" and current.kind == "paragraph":
                if current.last > current.start:
                    yield replace(current, end=current.last - 1).close(text)
                current.kind, current.start = kind, current.last
            current.end, current.last = end, start
        else:
            if current:
                yield current.close(text)
            begun = end - len(line.lstrip()) if kind in ("paragraph", "heading") else start
            current = _Open(kind, begun, end, begun, level, table)
        gap = False
    if current:
        yield current.close(text)


def _kind(line: str, current: _Open | None, gap: bool) -> tuple[str, int]:
    if heading := _HEADING.match(line):
        return "heading", len(heading[1])
    if line.startswith("|"):
        return "table", 0
    if line.startswith(">"):
        return "quote", 0
    if line.startswith(": ") and current and not gap and current.kind in ("paragraph", "entry"):
        return "entry", 0
    if item := _ITEM.match(line):
        return "steps" if item[1] else "bullets", 0
    return "paragraph", 0


def _continues(before: str, kind: str, line: str, gap: bool) -> bool:
    if (before in ("bullets", "steps") and kind == before) or (kind != "heading" and _in_list(before, line)):
        return True
    if gap or before in ("heading", "code"):
        return False
    if kind == "paragraph":
        return before in ("paragraph", "bullets", "steps", "entry", "quote")
    return kind == before if kind != "entry" else True


def _in_list(before: str, line: str) -> bool:
    """Whether a line is set in below a list's item."""
    return before in ("bullets", "steps") and line[0] in " \t"


def _sections(title: str, blocks: Sequence[Block]) -> Iterator[Section]:
    heads = [n for n, block in enumerate(blocks) if block.kind == "heading"]
    yield Section(title, None, tuple(blocks[: heads[0] if heads else len(blocks)]), tuple(blocks), ())
    open_above: list[tuple[int, str]] = []
    for place, (n, end) in enumerate(pairwise([*heads, len(blocks)])):
        head = blocks[n]
        name = plain(head.text)
        while open_above and open_above[-1][0] >= head.level:
            open_above.pop()
        far = next(
            (heads[m] for m in range(place + 1, len(heads)) if blocks[heads[m]].level <= head.level), len(blocks)
        )
        above = tuple(words for _, words in open_above)
        yield Section(name, head, tuple(blocks[n + 1 : end]), tuple(blocks[n + 1 : far]), above)
        open_above.append((head.level, name))
