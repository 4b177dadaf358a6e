"""`quarantine list` and `quarantine release`: what was left out, and what waits for a person."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.stages.context import look_into
from sovereign_tasks.stages.review import HELD, locate, quarantined
from sovereign_tasks.stages.review import release as release_rows
from sovereign_tasks.terminal.user import current_user

_TEXT_CHARS = 400


def print_quarantine(
    console: Console, ledger: Ledger, config: ModelConfig, *, reason: str, source: str, limit: int
) -> None:
    """How many rows are out for each reason, then those of `reason`, or those that wait, with their texts."""
    context = look_into(ledger, config)
    rows = quarantined(context)
    if not rows:
        console.print(f"{config.model}: nothing is in quarantine.")
        return
    counts = Table(box=None, pad_edge=False)
    for column, justify in (("reason", "left"), ("rows", "right"), ("waiting for you", "right")):
        counts.add_column(column, justify=justify)
    waiting = Counter(row.reason for row in rows if row.waits)
    for why, count in Counter(row.reason for row in rows).most_common():
        counts.add_row(why, f"{count:,}", f"{waiting[why]:,}" if waiting[why] else "")
    console.print(counts)
    shown = [row for row in rows if (row.reason == reason if reason else row.waits)]
    shown = [row for row in shown if not source or row.source == source]
    where = locate(context, shown[:limit])
    for row in shown[:limit]:
        console.print(f"\n[bold]{row.row_id}[/]  {row.source}  {row.reason}: {escape(row.measured)}")
        if where.get(row.row_id, row.text) != row.text:
            console.print(f"[dim]{escape(where[row.row_id])}[/]", soft_wrap=True)
        console.print(escape(row.text[:_TEXT_CHARS]) or "[dim](no text is kept of it)[/]", soft_wrap=True)
    if len(shown) > limit:
        console.print(f"\n{len(shown) - limit:,} more; --limit {len(shown)} shows all.")
    if waiting:
        console.print(f'\nLet them go on with: quarantine release {config.model} ID … --reason "…"')


def release(
    console: Console, ledger: Ledger, config: ModelConfig, ids: list[str], *, all_of: str, source: str, reason: str
) -> None:
    """Release rows by their ids, or all that wait for one reason."""
    context = look_into(ledger, config)
    if bool(ids) == bool(all_of):
        raise UserError("Name either the ids of rows, or --all-of with one of " + ", ".join(HELD) + ".")
    if all_of:
        rows = [q for q in quarantined(context) if q.waits and q.reason == all_of and source in ("", q.source)]
        ids = [row.row_id for row in rows]
        if not ids:
            raise UserError(f"{config.model}: nothing waits as {all_of}; `quarantine list {config.model}` shows it.")
    count = release_rows(context, ids, reason, current_user())
    console.print(f"Released {count:,} row{'s' if count > 1 else ''}; the next night of {config.model} takes them up.")
