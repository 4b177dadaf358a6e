"""`lineage`: what a version or a snapshot comes from, and what a source, a document or its terms reached."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.stages.context import look_into
from sovereign_tasks.stages.lineage import (
    EarlierTraining,
    Origin,
    SnapshotLineage,
    VersionLineage,
    of_snapshot,
    of_version,
)
from sovereign_tasks.stages.reach import Reach, reach
from sovereign_tasks.terminal.summary import closing_table

_PARENTS = 6  # shown of a long line
_SPLITS = ("train", "holdout", "sealed")


def print_lineage(console: Console, ledger: Ledger, config: ModelConfig, by: str, value: Any, *, as_json: bool) -> None:
    """Answer by a version (the champion where `value` is None), a snapshot, or one of reach.BY."""
    context = look_into(ledger, config)
    if by == "version":
        found, show = of_version(context, value), _print_version
    elif by == "snapshot":
        found, show = of_snapshot(context, value), _print_snapshot
    else:
        found, show = reach(context, by, value), _print_reach
    if as_json:
        print(json.dumps(dataclasses.asdict(found), default=datetime.isoformat, indent=2))
    else:
        show(console, found)


def _print_version(console: Console, lineage: VersionLineage) -> None:
    name = f"version {lineage.version}" if lineage.version else "a training without a version"
    _head(console, f"{lineage.model}: {name}, {lineage.verdict}")
    _line(console, "Trained", f"{_minute(lineage.trained_at)}, MLflow run {lineage.run_id}")
    if lineage.replayed:
        of = f"chats of your file {lineage.replay[:12]}" if lineage.replay else "bundled everyday examples"
        _line(console, "Replayed", f"{lineage.replayed:,} {of}, beside its own")
    if lineage.sampled != lineage.train_rows:
        _line(
            console,
            "Sampled",
            f"{lineage.sampled:,} of {lineage.train_rows:,} train rows, within the caps of its training",
        )
    if lineage.started_from:
        back = ", ".join(_earlier(one) for one in lineage.started_from)
        _line(console, "Began from", f"the adapter of {back}")
    _print_snapshot(console, lineage.snapshot)
    base = lineage.base
    if base.snapshot is None:
        _line(console, "Base", f"{base.name}, not made here; {base.base_hash[:19]}")
        return
    _line(console, "Base", f"{base.name}: made here from snapshot {base.snapshot}")
    _line(console, "", f"by {base.documents:,} documents that are still kept")
    _print_origins(console, "what its base learned from", base.origins)


def _earlier(training: EarlierTraining) -> str:
    name = f"version {training.version}" if training.version else f"run {training.run_id}"
    return f"{name} (snapshot {training.snapshot})"


def _print_snapshot(console: Console, lineage: SnapshotLineage) -> None:
    _line(console, "Snapshot", f"{lineage.number}: {_counts(lineage.rows)}; content {lineage.content_hash[:12]}")
    before = [str(number) for number in lineage.parents]
    shown = before if len(before) <= _PARENTS else [*before[: _PARENTS - 1], "…", before[-1]]
    after = f"after {', '.join(shown)}" if before else "the first"
    _line(console, "", f"{after}; published {_minute(lineage.created_at)} by release {lineage.code_version}")
    if lineage.deleted:
        _line(console, "Deleted", f"{_counts(lineage.deleted)}: rows of it that are gone for good since")
    kinds = closing_table("what its rows are")
    kinds.add_column("kind", overflow="fold")
    _add_splits(kinds, lineage.rows)
    for kind, rows in lineage.kinds.items():
        kinds.add_row(Text(kind), *_split_cells(rows, lineage.rows))
    console.print()
    console.print(kinds)
    _print_origins(console, "where they come from", lineage.origins)


def _print_origins(console: Console, title: str, origins: Sequence[Origin]) -> None:
    table = closing_table(title)
    for name in ("source", "licence", "consent"):
        table.add_column(name, overflow="fold")
    splits = {split for origin in origins for split in origin.rows}
    _add_splits(table, splits)
    table.add_column("documents", justify="right", no_wrap=True)
    table.add_column("collected")
    for origin in origins:
        collected = dict.fromkeys(f"{at.astimezone():%Y-%m-%d}" for at in origin.collected or ())
        table.add_row(
            *(Text(getattr(origin, name)) for name in ("source", "licence", "consent")),
            *_split_cells(origin.rows, splits),
            f"{origin.documents:,}",
            " to ".join(collected),
        )
    console.print()
    console.print(table)
    console.print()
    for said in dict.fromkeys(f"{origin.source}: {origin.now}" for origin in origins if origin.now):
        _line(console, "Now", said)


def _print_reach(console: Console, found: Reach) -> None:
    _head(console, f"{found.model}: what the {found.by} {found.value} reached")
    _line(console, "Documents", f"{found.documents:,}")
    snapshots = closing_table("snapshots, by the rows that rest on them")
    snapshots.add_column("snapshot", justify="right")
    _add_splits(snapshots, _SPLITS)
    snapshots.add_column("published", no_wrap=True)
    for one in found.snapshots:
        snapshots.add_row(f"{one.number}", *_split_cells(one.rows, _SPLITS), _minute(one.created_at))
    bases = closing_table("bases made here")
    bases.add_column("base", overflow="fold")
    for name in ("snapshot", "documents"):
        bases.add_column(name, justify="right")
    for base in found.bases:
        bases.add_row(Text(base.name), f"{base.snapshot}", f"{base.documents:,}")
    made = closing_table("versions: train rows, or a sample of them, were learned from; no others were")
    for name in ("version", "snapshot"):
        made.add_column(name, justify="right")
    _add_splits(made, _SPLITS)
    went_on = any(one.earlier_rows for one in found.versions)
    if went_on:
        made.add_column("earlier", justify="right")
    made.add_column("in base", justify="right")
    made.add_column("trained", no_wrap=True)
    made.add_column("", overflow="fold")
    for one in found.versions:
        made.add_row(
            one.version or "–",
            f"{one.snapshot}",
            *_split_cells(one.rows, _SPLITS),
            *([f"{one.earlier_rows:,}" if one.earlier_rows else ""] if went_on else []),
            f"{one.base_documents:,}" if one.base_documents else "",
            f"{one.trained_at.astimezone():%Y-%m-%d}",
            Text(one.verdict),
        )
    for table in (snapshots, bases, made):
        console.print()
        if table.row_count:
            console.print(table)
        else:
            console.print(f"  No {str(table.title).partition(':')[0].partition(',')[0]}.")


def _add_splits(table: Table, splits: Mapping[str, int] | Sequence[str] | set[str]) -> None:
    for split in _SPLITS:
        if split in splits:
            table.add_column(split, justify="right", no_wrap=True)


def _split_cells(rows: Mapping[str, int], splits: Mapping[str, int] | Sequence[str] | set[str]) -> list[str]:
    return [f"{rows[split]:,}" if rows.get(split) else "" for split in _SPLITS if split in splits]


def _head(console: Console, text: str) -> None:
    console.print(f"[bold]{escape(text)}[/]", soft_wrap=True)


def _line(console: Console, label: str, text: str) -> None:
    console.print(f"  {label:<10} {escape(text)}", soft_wrap=True)


def _counts(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{rows[split]:,} {split}" for split in _SPLITS if rows.get(split))


def _minute(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"
