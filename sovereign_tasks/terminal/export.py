"""`export`: a snapshot as a folder that others can read."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.stages.context import look_into
from sovereign_tasks.stages.export import export


def export_snapshot(
    console: Console, ledger: Ledger, config: ModelConfig, number: int | None, folder: str, *, sealed: bool
) -> None:
    """Write a snapshot to a folder, and say what is there and what stayed behind."""
    done = export(look_into(ledger, config), number, Path(folder), sealed=sealed)
    rows = ", ".join(f"{count:,} {split}" for split, count in done.rows.items())
    console.print(f"Snapshot {done.snapshot} of {config.model}: {rows}; {escape(str(done.folder))}", soft_wrap=True)
    if done.withheld:
        stayed = ", ".join(f"{count:,} {split}" for split, count in done.withheld.items())
        said = f"Left behind, since they decide on promotions: {stayed}; --sealed takes them too."
        console.print(said, soft_wrap=True)
