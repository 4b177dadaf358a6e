"""Rows of a CSV file one by one: a row that is broken is a fault of its own, and the next line is read afresh."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from sovereign_tasks.collect.tabular.reading import Fault

DELIMITERS = ",;\t|"
MAX_FIELD = 1_000_000
_MAX_LINES = 5_000
_SAMPLE = 64_000

csv.field_size_limit(2**31 - 1)  # the bound is ours: the module's own loses the place in the file


def delimiter_of(text: str, tabs: bool = False) -> str:
    """What stands between the columns; the sniffer's word counts only if the first line has it."""
    first = text.split("\n", 1)[0]
    if tabs and "\t" in first:
        return "\t"
    try:
        sniffed = csv.Sniffer().sniff(text[:_SAMPLE], DELIMITERS).delimiter
    except csv.Error:
        sniffed = ""
    best = max(DELIMITERS, key=first.count)
    return sniffed if sniffed and first.count(sniffed) >= first.count(best) > 0 else best if best in first else ","


def read_csv(text: str, delimiter: str = ",", escape: str | None = None) -> Iterator[tuple[int, list[str] | Fault]]:
    """The rows with their numbers, the header being row 1; blank lines have none.

    With `escape`, a quote may also be written with that character before it. A row's quotes that never close would
    take the lines below with them: it is a fault, and the line after its first one begins a row again.
    """
    lines = io.StringIO(text, newline="").readlines()
    at = number = 0
    while at < len(lines):
        fed = 0

        def feed(start: int = at) -> Iterator[str]:
            nonlocal fed
            for n in range(start, min(start + _MAX_LINES, len(lines))):
                fed += 1
                yield lines[n]

        try:
            fields = next(csv.reader(feed(), delimiter=delimiter, escapechar=escape, strict=True))
        except csv.Error:
            number += 1
            yield number, Fault("quoting", f"line {at + 1}")
            at += 1
            continue
        at += fed
        if any(fields):
            number += 1
            yield number, _whole(fields)


def _whole(fields: list[str]) -> list[str] | Fault:
    longest = max(map(len, fields))
    if longest > MAX_FIELD:
        return Fault("too_large", f"{longest} characters")
    said = "".join(fields)
    if "\0" in said:
        return Fault("nul_bytes")
    return Fault("not_utf8") if "\ufffd" in said else fields
