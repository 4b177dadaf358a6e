"""The closing tables: what each stage kept and dropped, the snapshot, the decisions, the gates, the champion."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sovereign_tasks.ledger import Ledger
from sovereign_tasks.records import GateRow, StageReport


def print_build(console: Console, ledger: Ledger, model: str, build_id: str) -> None:
    """A night's stages, its snapshot and the decision on retraining."""
    _print_stages(console, f"{model}: the night", ledger.reports(model, build_id))
    manifest = ledger.manifest(model, build_id)
    if manifest["snapshot"] is not None:
        snapshot = ledger.snapshot(model, manifest["snapshot"])
        counts = ", ".join(f"{n} {split}" for split, n in snapshot.counts.items())
        console.print(f"  Snapshot   {snapshot.number}: {counts}; content {snapshot.content_hash[:12]}", soft_wrap=True)
    else:
        console.print("  Snapshot   none: no example joined or left")
    for decision in ledger.decisions(model, "retrain", build_id):
        console.print(f"  Retrain    {decision['reason']}", soft_wrap=True)


def print_retrain(console: Console, ledger: Ledger, model: str, run: str) -> None:
    """A training's stages, every gate row and the verdict."""
    console.print()
    _print_stages(console, f"{model}: the candidate", ledger.reports(model, run))
    rows = ledger.gate_rows(model, run)
    if rows:
        console.print(_gate_table(rows))
    for decision in ledger.decisions(model, "gate", run):
        console.print(f"  Verdict    version {decision['detail']['version']}: {decision['reason']}", soft_wrap=True)


def print_champion(console: Console, ledger: Ledger, model: str) -> None:
    """The version that answers."""
    promotions = ledger.decisions(model, "promotion")
    if not promotions:
        console.print("  Champion   none yet")
        return
    detail = promotions[0]["detail"]
    at = promotions[0]["at"].astimezone().strftime("%Y-%m-%d %H:%M")
    console.print(f"  Champion   version {detail['version']}, from snapshot {detail['snapshot']}, since {at}")


def _print_stages(console: Console, title: str, reports: Sequence[StageReport]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stage")
    for name in ("in", "out", "dropped"):
        table.add_column(name, justify="right")
    table.add_column("why", overflow="fold")
    table.add_column("work", justify="right")
    for report in reports:
        reasons = sorted(report.rejected.items(), key=lambda item: (-item[1], item[0]))
        why = ", ".join(f"{reason} {count}" for reason, count in reasons)
        dropped = sum(report.rejected.values())
        table.add_row(
            Text(report.stage),
            f"{report.rows_in:,}",
            f"{report.rows_out:,}",
            f"{dropped:,}" if dropped else "",
            Text(why),
            f"{report.seconds:.1f} s",
        )
    console.print(table)


def _gate_table(rows: Sequence[GateRow]) -> Table:
    table = Table(title="gates", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("gate")
    for name in ("candidate", "reference", "difference", "95% interval", "must exceed"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in rows:
        interval = "" if math.isnan(row.low) else f"{row.low:+.3f} … {row.high:+.3f}"
        verdict = Text("passed", "green") if row.passed else Text("refused", "red")
        if row.passed and math.isnan(row.low):
            verdict = Text(row.reason, "dim")
        table.add_row(
            Text(row.gate),
            _number(row.candidate),
            _number(row.reference),
            _number(row.difference, "+.3f"),
            interval,
            f"{row.threshold:g}",
            verdict,
        )
    return table


def _number(value: float, form: str = ".3f") -> str:
    return "" if math.isnan(value) else format(value, form)
