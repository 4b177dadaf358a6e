"""Blocks of a page as light Markdown: headings, nested lists, definitions, tables and fenced code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sovereign_tasks.curate.blocks import Block, Item, Table


def render(blocks: Iterable[Block]) -> str:
    """Write the kept blocks as Markdown."""
    lines: list[str] = []
    started: dict[Item, int] = {}  # items with a line already, and how far the rest of them is indented
    tables: set[Table] = set()
    last: Block | None = None
    for block in blocks:
        if not block.kept or block.table in tables:
            continue
        tight = last is not None and _follows(last, block, started)
        if block.table is not None:
            tables.add(block.table)
            written = _table(block.table)
        elif block.level:
            started |= dict.fromkeys(block.items, 0)
            written = f"{'#' * block.level} {' '.join(block.text.split())}"
        else:
            text = {"code": f"```\n{block.text}\n```", "definition": f": {block.text}"}.get(block.kind, block.text)
            written = _indent(text, block.items, started)
        lines.append(written if tight or not lines else f"\n{written}")
        last = block
    return "\n".join(lines)


def _follows(last: Block, block: Block, started: dict[Item, int]) -> bool:
    """Whether a block stands on the next line: an item after an item, a definition after its term."""
    if block.kind == "definition":
        return last.kind in ("term", "definition")
    tight = bool(last.items and block.items) and not (last.level or block.level or last.table or block.table)
    return tight and block.items[-1] not in started and "code" not in (last.kind, block.kind)


def _indent(text: str, items: Sequence[Item], started: dict[Item, int]) -> str:
    outer = sum(started.get(item, 0) for item in items[:-1])
    if not items:
        return text
    item = items[-1]
    first = "" if item in started else item.marker
    width = started.setdefault(item, len(item.marker))
    rest = " " * (outer + width)
    return " " * outer + first.rjust(width) + text.replace("\n", f"\n{rest}")


def _table(table: Table) -> str:
    rows: list[list[str]] = []
    spanned: dict[int, int] = {}  # column -> rows that a cell above still takes
    for cells in table.rows:
        row: list[str] = []
        for cell in cells:
            while spanned.get(len(row), 0):
                spanned[len(row)] -= 1
                row.append("")
            spanned |= dict.fromkeys(range(len(row), len(row) + cell.columns), cell.rows - 1)
            words = " ".join(" ".join(b.text for b in cell.blocks).split())
            row += [words.replace("|", "\\|"), *[""] * (cell.columns - 1)]
        if any(row):
            rows.append(row)
    width = max(map(len, rows), default=0)
    lines = [f"| {' | '.join(row + [''] * (width - len(row)))} |" for row in rows]
    return "\n".join([*lines[:1], "|" + "---|" * width, *lines[1:]])
