"""Tables of tickets, CRM notes, and questions with their answers, as CSV or TSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sovereign_tasks.collect.local import Broken, by_address, matching, read_bytes, settings_of, text_of
from sovereign_tasks.collect.night import Night
from sovereign_tasks.collect.tabular.columns import Columns, Roles, has_pairs
from sovereign_tasks.collect.tabular.csv_rows import delimiter_of, read_csv
from sovereign_tasks.collect.tabular.reading import Fault, Reading, Row
from sovereign_tasks.collect.tabular.rows import entries_of
from sovereign_tasks.collect.tabular.threads import threads_of
from sovereign_tasks.sources import Profile, SourceConfig

SUFFIXES = (".csv", ".tsv")


class TableSource(SourceConfig):
    """Tickets, CRM notes, or questions and answers in CSV or TSV files."""

    kind: Literal["table"]
    profile: Profile = "qa"
    retention_days: int | None = Field(7, ge=1)
    """Days to keep its raw bytes."""
    path: str
    """A file, a folder, or a pattern such as exports/*.csv; relative paths start at the project's folder."""
    columns: Columns = Columns()
    """Which column holds what, where it has no usual name."""
    own: list[str] = Field([])
    """Who is the owner's side in threads: names or addresses of agents, or what the side column calls them."""
    max_bytes: int = Field(100_000_000, ge=1)
    """Bytes of one file at most."""


def collect(source: TableSource, night: Night) -> dict[str, Any]:
    """Read the files that are new or changed; a row with question and answer is two items, any other row one.

    A row is known again by its id, or by its content where it has none. A row that is no longer in its file is
    gone, as are those of a file that is no more. `UserError` where no column holds a text.
    """
    files = matching(source, source.path, SUFFIXES)
    settings = settings_of(source, "path")  # what was too large is looked at anew under another max_bytes

    def rows(address: str, path: Path, start: int) -> Iterator[Row]:
        body = read_bytes(path, source.max_bytes)
        night.note(bytes=len(body))
        where = f"source {source.name}: {path}"
        return rows_of(address, body, start, where=where, columns=source.columns, own=source.own)

    return Reading(night, by_address(night.state.known)).over(files, settings, rows)


def read_among_documents(reading: Reading, address: str, stamp: str, read: Callable[[], bytes]) -> None:
    """Read a CSV or TSV file that lies among other documents, if it holds questions and answers.

    Any other table is rejected (no_questions): what its columns mean is for a source of kind table to say.
    """

    def rows(start: int) -> Iterator[Row]:
        body = read()
        text = text_of(body)
        _, header = next(read_csv(text, delimiter_of(text, address.lower().endswith(".tsv"))), (0, []))
        if isinstance(header, Fault) or not has_pairs(header):
            raise Broken("no_questions")
        yield from rows_of(address, body, start, where=address)

    reading.file(address, stamp, rows)


def rows_of(
    address: str, body: bytes, start: int, *, where: str, columns: Columns | None = None, own: Sequence[str] = ()
) -> Iterator[Row]:
    """The items of a CSV or TSV file's rows, from the row after `start` on; the header is row 1.

    `Broken` for what is no text or was cut short; `UserError`, which begins with `where`, for a header that has no
    known column.
    """
    text = text_of(body)
    lines = read_csv(text, delimiter_of(text, address.lower().endswith(".tsv")))
    _, header = next(lines, (0, []))
    if isinstance(header, Fault):
        raise Broken("header", header.reason)
    names = [name.strip() for name in header]
    if not names:
        return
    roles = Roles(where, names, columns or Columns(), own)
    rows = ((number, _named(names, fields)) for number, fields in lines)
    if not text.endswith(("\n", "\r")):
        rows = _unless_cut(rows)
    if roles.form == "thread":
        made = threads_of(roles, address, rows)
    else:
        made = ((n, r) if isinstance(r, Fault) else entries_of(roles, address, n, r) for n, r in rows if n > start)
    yield from ((number, row) for number, row in made if number > start)


def _unless_cut(
    rows: Iterator[tuple[int, Mapping[str, str] | Fault]],
) -> Iterator[tuple[int, Mapping[str, str] | Fault]]:
    """The rows; `Broken` instead of a last one that is a fault, as it is where a file was copied in part."""
    held: tuple[int, Mapping[str, str] | Fault] | None = None
    for row in rows:
        if held:
            yield held
        held = row
    if held and isinstance(held[1], Fault):
        raise Broken("truncated", f"row {held[0]}")
    if held:
        yield held


def _named(names: list[str], fields: list[str] | Fault) -> Mapping[str, str] | Fault:
    if isinstance(fields, Fault):
        return fields
    if len(fields) != len(names):
        return Fault("ragged", f"{len(fields)} of {len(names)} columns")
    return dict(zip(names, fields, strict=True))
