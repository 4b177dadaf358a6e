"""Title and text of a PDF: lines joined to paragraphs again, headings by their size, no running heads, no page numbers.

A PDF has no structure but places of letters, so all here is judged from geometry and can be wrong; `pdf_lines` gives
the pieces of lines, in the order of the file.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sovereign_tasks.curate.unreadable import Unreadable

_SECONDS = 90  # for reading one file; its own limit of 60 CPU seconds comes first unless the machine is busy
_BULLET = re.compile(r"[•‣▪▫■□●○◦·⁃∙*➢✓–-]\s+")
_NUMBER = re.compile(r"\(?(\d{1,3})[.)]\s+")
_PRIVATE_BULLET = re.compile("[\uf0a7\uf0b7\uf0d8]")  # Symbol and Wingdings, as Word writes them
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_LEADERS = re.compile(r"(?:\.\s?){4,}\s*\w*$")  # an entry of a table of contents
_PAGE_NUMBER = re.compile(r"\W*(?:\d{1,4}|[ivxlc]{1,7})\W*")
_COMPOUND = re.compile(r"(?<!\w)\w{1,40}-\w{1,40}")
_BROKEN = re.compile(r"(\w+)[-‐\u00ad]$")
_WORD = re.compile(r"\w{1,40}")
_FILE_NAME = re.compile(r"untitled|.*(?:\.\w{2,4}|microsoft word - .*)", re.IGNORECASE)
_HEADING = 1.12  # times the size of the body
_MAX_HEADING = 160  # characters


class Line(NamedTuple):
    """A piece of text on one baseline, in points, y upwards; `page` counts from 0."""

    text: str
    size: float
    bold: bool
    left: float
    y: float
    right: float
    page: int


@dataclass(slots=True)
class _Block:
    """Lines of one paragraph, heading or item; a table is a block whose `rows` are filled."""

    lines: list[Line]
    rows: list[list[str]] = field(default_factory=list)
    marker: str = ""
    text: str = ""


def read_pdf(body: bytes) -> tuple[str, str]:
    """Title (by the file's own data, may be empty) and text of a PDF.

    Raises `Unreadable`: encrypted (a password is needed to read), no_text (pages are pictures), unreadable.
    """
    title, pages = _pages(body)
    if not any(pages):
        raise Unreadable("no_text", f"{len(pages)} pages without text, scanned perhaps")
    kept = _without_running(pages)
    if not any(kept):
        kept = pages  # a file whose pages are all alike
    rows = [row for page in kept for row in _ordered(_rows(page))]
    blocks = list(_blocks(rows))
    _join([block for block in blocks if not block.rows])
    return "" if _FILE_NAME.fullmatch(title) else title, _markdown(blocks)


def _pages(body: bytes) -> tuple[str, list[list[Line]]]:
    if b"%PDF-" not in body[:1024]:
        raise Unreadable("unreadable", "not a PDF")
    if b"%%EOF" not in body[-4096:]:
        raise Unreadable("unreadable", "a PDF that is cut short")
    program = [sys.executable, "-I", str(Path(__file__).with_name("pdf_lines.py"))]
    try:
        done = subprocess.run(program, input=body, capture_output=True, timeout=_SECONDS, env={})
    except subprocess.TimeoutExpired:
        raise Unreadable("unreadable", f"a PDF that takes more than {_SECONDS} s to read") from None
    if done.returncode:
        raise Unreadable("unreadable", "a PDF that takes too much memory or time to read")
    answer = json.loads(done.stdout)
    if answer.get("error") == "encrypted":
        raise Unreadable("encrypted", "a PDF under a password")
    if "error" in answer:
        raise Unreadable("unreadable", "a damaged PDF")
    pages = [
        [Line(words, *rest, number) for text, *rest in page if (words := _words(text))]
        for number, page in enumerate(answer["pages"])
    ]
    return _words(answer["title"]), pages


def _words(text: str) -> str:
    """Text without line breaks and without signs of private fonts, but for their bullets."""
    return " ".join(_PRIVATE.sub("", _PRIVATE_BULLET.sub("•", text)).split())


def _rows(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Pieces that stand on one baseline, from left to right, as the cells of a row."""
    row: list[Line] = []
    for line in lines:
        if row and (abs(line.y - row[-1].y) > line.size / 3 or line.left < row[-1].right - line.size):
            yield row
            row = []
        close = row and line.left - row[-1].right < line.size
        if row and (close or _BULLET.fullmatch(row[-1].text + " ") or _NUMBER.fullmatch(row[-1].text + " ")):
            joined = f"{row[-1].text} {line.text}"
            row[-1] = line._replace(text=joined, left=row[-1].left)
        else:
            row.append(line)
    if row:
        yield row


def _without_running(pages: Sequence[list[Line]]) -> list[list[Line]]:
    """Pages without what their two highest and two lowest lines share: the same words, or a number that goes along.

    Something counts as shared when three pages have it at the same height (both pages, of two). What stands beside
    it goes with it: the chapter's name beside the page's number.
    """
    pages = [[line for line in page if not _LEADERS.search(line.text[-200:])] for page in pages]
    shared: defaultdict[tuple[object, ...], set[int]] = defaultdict(set)
    signs: dict[Line, set[tuple[object, ...]]] = {}
    for page in pages:
        heights = sorted({round(line.y / 3) for line in page})
        edge = {*heights[:2], *heights[-2:]}
        for line in page:
            height = round(line.y / 3)
            if height in edge and len(line.text) <= 120:
                numbers = {int(digits) for digits in re.findall(r"(?<!\d)\d{1,4}(?!\d)", line.text)}
                signs[line] = {(height, re.sub(r"\d+", "#", line.text).casefold())}
                signs[line] |= {(height, number - line.page) for number in numbers}
                for sign in signs[line]:
                    shared[sign].add(line.page)
    enough = 3 if len(pages) > 2 else 2
    gone = {
        (line.page, round(line.y / 3))
        for line, found in signs.items()
        if any(len(shared[sign]) >= enough for sign in found) or (len(pages) > 1 and _PAGE_NUMBER.fullmatch(line.text))
    }
    return [[line for line in page if (line.page, round(line.y / 3)) not in gone] for page in pages]


def _ordered(rows: Iterable[list[Line]]) -> Iterator[list[Line]]:
    """Rows, with columns of prose that a program wrote across the page put one below the other."""
    across: list[list[Line]] = []
    for row in [*rows, []]:
        if len(row) > 1 and (not across or len(row) == len(across[-1])):
            across.append(row)
            continue
        prose = len(across) > 3 and sum(len(cell.text) for r in across for cell in r) > 30 * sum(map(len, across))
        yield from ([cell] for column in zip(*across, strict=True) for cell in column) if prose else across
        across = [row] if len(row) > 1 else []
        if len(row) == 1:
            yield row


def _blocks(rows: Sequence[list[Line]]) -> Iterator[_Block]:
    """Paragraphs, headings, items and tables in reading order."""
    rights: dict[tuple[int, int], float] = defaultdict(float)
    leading: defaultdict[float, Counter[float]] = defaultdict(Counter)
    for above, row in zip([[], *rows], rows, strict=False):
        for line in row:
            key = (line.page, int(line.left // 30))
            rights[key] = max(rights[key], line.right)
        if above and above[0].size == row[0].size and 0 < (gap := above[0].y - row[0].y) < 3 * row[0].size:
            leading[row[0].size][round(gap * 2) / 2] += 1
    usual = {size: gaps.most_common(1)[0][0] for size, gaps in leading.items()}
    block: _Block | None = None
    for i, row in enumerate(rows):
        if len(row) > 1 and _tabular(row, rows[i - 1] if i else [], rows[i + 1] if i + 1 < len(rows) else []):
            cells = [cell.text for cell in row]
            if block and block.rows and len(block.rows[-1]) == len(cells):
                block.rows.append(cells)
                continue
            if block:
                yield block
            block = _Block(row, rows=[cells])
            continue
        line = row[0]._replace(text=" ".join(cell.text for cell in row), right=row[-1].right)
        if block and not block.rows:
            last = block.lines[-1]
            far = max(rights.get((last.page, int(last.left // 30) + step), 0.0) for step in (-1, 0, 1))
            if _continues(block, line, usual.get(line.size, 1.2 * line.size), far):
                block.lines.append(line)
                continue
        if block:
            yield block
        block = _Block([line])
        if bullet := _BULLET.match(line.text) or _NUMBER.match(line.text):
            block.marker = f"{bullet[1]}. " if bullet.re is _NUMBER else "- "
    if block:
        yield block


def _tabular(row: list[Line], *neighbours: list[Line]) -> bool:
    """Whether the row above or below has as many cells, each of them beginning, ending or centred alike."""

    def alike(a: Line, b: Line) -> bool:
        middle = abs(a.left + a.right - b.left - b.right) / 2
        return min(abs(a.left - b.left), abs(a.right - b.right), middle) < 0.5 * a.size

    return any(
        len(other) == len(row) and all(alike(a, b) for a, b in zip(row, other, strict=True)) for other in neighbours
    )


def _continues(block: _Block, line: Line, leading: float, far: float) -> bool:
    """Whether a line goes on with a block's paragraph; `far` is how far right the column reaches."""
    first, last = block.lines[0], block.lines[-1]
    if abs(line.size - last.size) > 0.6 or line.bold != last.bold:
        return False
    if _BULLET.match(line.text) or _NUMBER.match(line.text):
        return False
    ended = last.text[-1] in '.!?:;"”)' and not last.text.endswith("..")
    gap = last.y - line.y
    filled = far - last.right < 0.45 * (far - last.left)
    if last.page != line.page or gap < -line.size:  # on to the next page or column
        return filled and not ended
    if gap > 1.35 * max(leading, line.size):
        return False
    if block.marker and line.left <= first.left + 0.3 * line.size:
        return False
    if ended and not block.marker and line.left > last.left + 0.8 * line.size:
        return False  # an indented first line
    word = len(line.text.split(maxsplit=1)[0]) * 0.5 * line.size
    return far - last.right < word + line.size if ended else filled


def _join(blocks: Sequence[_Block]) -> None:
    """Give each block its text; a hyphen at a line's end goes unless the document writes the word with one."""
    lines = [line.text for block in blocks for line in block.lines]
    compounds = {word.casefold() for text in lines for word in _COMPOUND.findall(text)}
    for block in blocks:
        parts: list[str] = []
        for line in block.lines:
            broken = _BROKEN.search(parts[-1][-60:]) if parts else None
            rest = _WORD.match(line.text)
            if broken and rest:
                begun = broken[1]
                whole = f"{begun}-{rest[0]}".casefold() in compounds or not begun.isalpha() or rest[0][0].isdigit()
                whole = whole or (rest[0][0].isupper() and not begun.isupper())
                parts[-1] = parts[-1][:-1] + ("-" if whole else "")
            elif parts:
                parts.append(" ")
            parts.append(line.text)
        text = "".join(parts)
        pattern = _NUMBER if block.marker[:1].isdigit() else _BULLET
        block.text = pattern.sub("", text, count=1) if block.marker else text


def _markdown(blocks: Sequence[_Block]) -> str:
    weights: Counter[float] = Counter()
    bold = 0
    for block in blocks:
        for line in block.lines:
            weights[line.size] += len(line.text)
            bold += len(line.text) * line.bold
    body = weights.most_common(1)[0][0]
    bold_tells = bold < 0.3 * weights.total()

    def short(block: _Block) -> bool:
        return not block.rows and len(block.text) <= _MAX_HEADING and any(c.isalpha() for c in block.text)

    large = sorted({b.lines[0].size for b in blocks if short(b) and b.lines[0].size > _HEADING * body}, reverse=True)
    parts, item_before = [], False
    for block in blocks:
        first, level = block.lines[0], 0
        if short(block) and first.size > _HEADING * body:
            level = min(large.index(first.size) + 1, 4)
        elif short(block) and bold_tells and first.bold and first.size >= body and block.text[-1] not in ".;,":
            level = min(len(large) + 1, 4) if block.marker != "- " else 0
        item = bool(block.marker) and not level
        if level:
            number = block.marker if block.marker != "- " else ""
            text = f"{'#' * level} {number}{block.text}"
        elif block.rows:
            text = _table(block.rows)
        else:
            text = block.marker + block.text
        parts.append(("\n" if item and item_before else "\n\n") + text)
        item_before = item
    return "".join(parts).strip()


def _table(rows: Sequence[list[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
