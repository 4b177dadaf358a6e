"""A page's tree as blocks in reading order: headings, paragraphs, items, cells and code.

Every run of text carries a mark, one character of private use that stands in the tree before it. Whatever copies the
tree's text carries the marks along, so it can be told afterwards which of the blocks it took.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from lxml import etree
from lxml.html import HtmlElement

MARKS = re.compile("[\U000f0000-\U000ffffd\U00100000-\U0010fffd]")
_NEVER = re.compile(f"{MARKS.pattern}|[\x00-\x08\v\f\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_MARK_RANGES = ((0xF0000, 0xFFFFD), (0x100000, 0x10FFFD))
_BLOCK_TAGS = frozenset(
    "address article aside blockquote body caption center dd details dir div dl dt fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol optgroup option p pre search section "
    "summary table tbody td tfoot th thead tr ul".split()
)
_PLAIN_TAGS = frozenset({"div", "p", "section", "article", "main", "header", "body", "html"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CODE = re.compile(r"[{}]|\w\(['\"]|\n {4}")
_SPACE = " \t\r\n"  # what most text between elements is, left as it stands
_BREAK = "\v"  # which a page's text can't hold: its control characters are gone
_MAX_SPAN = 100
_MAX_AREA = 50_000  # cells, with all that they span
_MAX_CELL = 1000  # characters; what holds more is laid out by a table, not listed in one


@dataclass(eq=False, slots=True)
class Item:
    """An item of a list: the mark before its first line."""

    marker: str


@dataclass(eq=False, slots=True)
class Cell:
    """A cell of a table, and the blocks in it."""

    columns: int
    rows: int
    blocks: list[Block] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Table:
    """Rows of cells; a table for `layout` is read as if it weren't there."""

    layout: bool
    rows: list[list[Cell]] = field(default_factory=list)

    def blocks(self) -> Iterator[Block]:
        return (block for row in self.rows for cell in row for block in cell.blocks)

    def close(self) -> None:
        """Decide, now that all cells are known, whether this is a table to its readers too."""
        cells = [cell for row in self.rows for cell in row if cell.blocks]
        self.layout = (
            self.layout
            or len(self.rows) < 2
            or max(map(len, self.rows)) < 2
            or sum(cell.columns * cell.rows for row in self.rows for cell in row) > _MAX_AREA
            or any(b.level or b.kind in ("code", "lines") for b in self.blocks())
            or any(sum(b.length for b in cell.blocks) > _MAX_CELL for cell in cells)
        )
        if self.layout:
            for block in self.blocks():
                block.table = None


@dataclass(eq=False)
class Block:
    """Text without a break: its `kind` is text, code, lines (kept as they stand), term or definition.

    `level` is that of a heading, else 0; `element` is the tree's element around it; `runs` are mark, text and address
    linked to (as it stands there) of each of its runs of text.
    """

    kind: str
    level: int
    element: HtmlElement
    runs: list[tuple[str, str, str]]
    items: tuple[Item, ...]
    table: Table | None
    kept: bool = False

    @cached_property
    def text(self) -> str:
        """The text in its lines."""
        text = "".join(text for _, text, _ in self.runs)
        if self.kind in ("code", "lines"):
            return text.replace(_BREAK, "\n").strip("\n").rstrip()
        lines = (" ".join(line.split()) for line in text.split(_BREAK))
        return "\n".join(filter(None, lines))

    @property
    def length(self) -> int:
        """Characters of its text, about."""
        return sum(len(text) for mark, text, _ in self.runs if mark)

    @property
    def linked(self) -> int:
        """Characters of its text that are links."""
        return sum(len(text) for mark, text, link in self.runs if mark and link)

    def holds(self, marks: set[str]) -> bool:
        """Whether most of the text has these marks."""
        if marks.isdisjoint([mark for mark, _, _ in self.runs]):
            return False
        taken = sum(len(text) for mark, text, _ in self.runs if mark in marks)
        return 2 * taken > self.length


def cut(tree: HtmlElement) -> list[Block]:
    """Cut a tree into its blocks, putting a mark before every run of text in it."""
    cutter = _Cutter()
    for event, element in etree.iterwalk(tree, events=("start", "end")):
        if event == "start":
            cutter.enter(element)
        else:
            cutter.leave(element)
    return cutter.blocks


def clean(text: str | None) -> str:
    """Drop marks of the page's own and what a tree refuses; numeric references can spell both."""
    return _NEVER.sub("", text) if text and not text.isprintable() else text or ""


class _Cutter:
    """One walk through a tree."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._marks = (chr(n) for first, last in _MARK_RANGES for n in range(first, last + 1))
        self._runs: list[tuple[str, str, str]] = []  # mark, text, where it links to
        self._marked = False  # whether any of the runs has a mark
        self._around: list[HtmlElement] = []  # block elements
        self._kinds = ["text"]
        self._items: list[Item] = []
        self._counts: list[int | None] = []  # the next number of each list, of unordered ones None
        self._tables: list[Table] = []
        self._cells: list[Cell | None] = [None]
        self._links: list[str] = []
        self._level, self._depth = 0, 1  # of the heading we are in, and of the last one

    def enter(self, element: HtmlElement) -> None:
        tag = element.tag
        if tag in _BLOCK_TAGS:
            self._flush()
            self._around.append(element)
            if tag not in _PLAIN_TAGS:
                self._open(element, tag)
        elif tag == "a":
            self._links.append(element.get("href") or "")
        elif tag == "br":
            self._runs.append(("", _BREAK, ""))
        elif tag == "code" and self._kinds[-1] == "text":
            self._runs.append(("", "`", ""))
        if text := element.text:
            if text.strip(_SPACE):
                element.text = self._take(text)
            else:
                self._runs.append(("", text, ""))

    def leave(self, element: HtmlElement) -> None:
        tag = element.tag
        if tag in _BLOCK_TAGS:
            self._flush()
            self._around.pop()
            if tag not in _PLAIN_TAGS:
                self._close(tag)
        elif tag == "a":
            self._links.pop()
        elif tag == "code" and self._kinds[-1] == "text":
            self._runs.append(("", "`", ""))
        if text := element.tail:
            if text.strip(_SPACE):
                element.tail = self._take(text)
            else:
                self._runs.append(("", text, ""))

    def _take(self, text: str) -> str:
        text = clean(text)
        mark = "" if text.isspace() or not text else next(self._marks, "")
        self._runs.append((mark, text, self._links[-1] if self._links else ""))
        self._marked = self._marked or bool(mark)
        return mark + text

    def _open(self, element: HtmlElement, tag: str) -> None:
        if tag in _HEADINGS:
            self._level = self._depth = _HEADINGS[tag]
        elif tag == "summary":
            self._level = min(self._depth + 1, 6)
        elif tag in ("ul", "ol", "menu", "dir"):
            start = element.get("start", "1")
            self._counts.append((int(start) if re.fullmatch(r"\d{1,6}", start) else 1) if tag == "ol" else None)
        elif tag == "li":
            count = self._counts[-1] if self._counts else None
            self._items.append(Item("- " if count is None else f"{count}. "))
            if count is not None:
                self._counts[-1] = count + 1
        elif tag == "table":
            if self._tables:
                self._tables[-1].layout = True
            self._tables.append(Table(element.get("role") in ("presentation", "none")))
            self._cells.append(None)
        elif tag == "tr" and self._tables:
            self._tables[-1].rows.append([])
        elif tag in ("td", "th") and self._tables and self._tables[-1].rows:
            self._cells[-1] = Cell(_span(element, "colspan"), _span(element, "rowspan"))
            self._tables[-1].rows[-1].append(self._cells[-1])
        if tag in ("pre", "dt", "dd"):
            self._kinds.append({"pre": "code" if _is_code(element) else "lines", "dt": "term", "dd": "definition"}[tag])
        elif tag in ("li", "td", "th"):
            self._kinds.append("text")

    def _close(self, tag: str) -> None:
        if tag in _HEADINGS or tag == "summary":
            self._level = 0
        elif tag in ("ul", "ol", "menu", "dir"):
            self._counts.pop()
        elif tag == "li":
            self._items.pop()
        elif tag == "table":
            self._cells.pop()
            self._tables.pop().close()
        elif tag in ("td", "th"):
            self._cells[-1] = None
        if tag in ("pre", "dt", "dd", "li", "td", "th"):
            self._kinds.pop()

    def _flush(self) -> None:
        if not self._runs:
            return
        runs, self._runs = self._runs, []
        marked, self._marked = self._marked, False
        if not marked:
            return
        kind, level = self._kinds[-1], self._level
        if kind == "term" and not level and "".join(text for _, text, _ in runs).rstrip().endswith("?"):
            level = min(self._depth + 1, 6)
        if kind == "definition" and self.blocks and self.blocks[-1].level:
            kind = "text"  # the answer below a question
        table = self._tables[-1] if self._cells[-1] else None
        block = Block(kind, level, self._around[-1], runs, tuple(self._items), table)
        self.blocks.append(block)
        if self._cells[-1]:
            self._cells[-1].blocks.append(block)


def _span(cell: HtmlElement, name: str) -> int:
    value = cell.attrib.pop(name, "1")  # taken out, since trafilatura would lay out every cell spanned
    return min(max(int(value), 1), _MAX_SPAN) if re.fullmatch(r"\d{1,6}", value) else 1


def _is_code(pre: HtmlElement) -> bool:
    around = " ".join(e.get("class", "") for e in (pre, pre.getparent()) if e is not None)
    return pre.find(".//code") is not None or "highlight" in around or bool(_CODE.search("".join(pre.itertext())))
