"""Data sets of questions and answers, chats or texts: JSONL, Parquet, and what Hugging Face's `datasets` saved."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from sovereign_tasks.collect.local import Broken, by_address, locate, matching, settings_of
from sovereign_tasks.collect.night import Night
from sovereign_tasks.collect.tabular.arrow_rows import arrow_rows
from sovereign_tasks.collect.tabular.columns import Columns, Roles
from sovereign_tasks.collect.tabular.hub import files_of_split, snapshot
from sovereign_tasks.collect.tabular.reading import Fault, Reading, Row
from sovereign_tasks.collect.tabular.rows import entries_of
from sovereign_tasks.sources import Profile, SourceConfig

JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (*JSON_LINES, ".parquet", ".arrow")
MAX_ROW = 2_000_000
_HEAD = 1_000


class DatasetSource(SourceConfig):
    """A data set in JSONL, Parquet or Arrow files, or one of Hugging Face that is on this machine."""

    kind: Literal["dataset"]
    profile: Profile = "qa"
    path: str = ""
    """A file, a folder, or a pattern such as data/*.jsonl; relative paths start at the project's folder."""
    id: str = ""
    """Instead of path: a data set of Hugging Face that was fetched before, such as owner/name."""
    revision: str = "main"
    """Of an id: the branch, tag or commit that was fetched."""
    split: str = ""
    """The split to read, such as train; all where it is left out."""
    columns: Columns = Columns()
    """Which column holds what, where it has no usual name."""
    max_rows: int = Field(10_000, ge=1)
    """Rows per night at most; the next night goes on from there."""

    @model_validator(mode="after")
    def _one_place(self) -> DatasetSource:
        if bool(self.path) == bool(self.id):
            raise ValueError("needs either path or id")
        if self.id and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", self.id):
            raise ValueError(f"id: {self.id!r} should be owner/name")
        return self


def collect(source: DatasetSource, night: Night) -> dict[str, Any]:
    """Read the files that are new or changed, a batch of rows at a time; a turn of a question or chat is an item.

    A row is known again by its id, or by its content where it has none, so that the order of rows is no matter. A
    row that is no longer in its file is gone. Nothing is asked of a network, and no code of a data set is run.
    `UserError` where the data set is not on this machine or no column holds a text.
    """
    folder = snapshot(source.name, source.id, source.revision) if source.id else locate(source.path)
    files = matching(source, str(folder) if source.id else source.path, SUFFIXES)
    files = {address: path for address, path in files.items() if not path.name.startswith("cache-")}  # of `map`
    if source.split:
        files = files_of_split(source.name, folder, source.split, files)

    def rows(address: str, path: Path, start: int) -> Iterator[Row]:
        roles: Roles | None = None
        for number, row in read_rows(path, start):
            if not isinstance(row, Fault):
                roles = roles or Roles(f"source {source.name}: {path}", _columns(path) or list(row), source.columns)
                yield entries_of(roles, address, number, row)
            else:
                yield number, row

    settings = settings_of(source, "max_rows")
    return Reading(night, by_address(night.state.known), most=source.max_rows).over(files, settings, rows)


def read_rows(path: Path, start: int) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    """The rows of a file from the row after `start` on, a batch in memory at a time; `Broken` where it ends badly."""
    if path.suffix.lower() in JSON_LINES:
        yield from _json_lines(path, start)
    else:
        yield from arrow_rows(path, start, MAX_ROW)


def _columns(path: Path) -> list[str]:
    """The keys of a file's first rows, wherever it is read from: a row need not have all, and any row may be next."""
    names: dict[str, None] = {}
    try:
        for _, row in islice(read_rows(path, 0), _HEAD if path.suffix.lower() in JSON_LINES else 1):
            names |= dict.fromkeys(row) if not isinstance(row, Fault) else {}
    except Broken:
        pass  # said where its rows are read
    return list(names)


def _json_lines(path: Path, start: int) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_ROW):
            number += 1
            whole, size = line.endswith(b"\n"), len(line)
            while not whole and (more := file.readline(MAX_ROW)):
                whole, size = more.endswith(b"\n"), size + len(more)
            if number <= start or not line.strip():
                continue
            row = _json_row(line) if size == len(line) else Fault("too_large", f"{size} bytes")
            if isinstance(row, Fault) and not whole:
                raise Broken("truncated", f"row {number}")
            yield number, row


def _json_row(line: bytes) -> dict[str, Any] | Fault:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as e:
        return Fault("not_utf8", f"byte {e.start}")
    except (ValueError, RecursionError):
        return Fault("not_json")
    return row if isinstance(row, dict) else Fault("no_row", type(row).__name__)
