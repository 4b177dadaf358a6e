"""The closing tables: what each stage kept and dropped, the snapshot, the decisions, the gates, the champion."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sovereign_tasks.gate_words import asked, verdict
from sovereign_tasks.ledger import ROLLED_BACK, Ledger
from sovereign_tasks.records import GateRow, StageReport
from sovereign_tasks.stages.balance import Balance
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.evidence import read_evidence
from sovereign_tasks.stages.provisional import awaits_word
from sovereign_tasks.stages.remarks import remarks, tell_edge_cases
from sovereign_tasks.terminal.stages import Reasons, position


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
    for failure in ledger.failures(model, build_id).values():
        console.print(f"  Failed     {escape(failure)}", soft_wrap=True)
    for remark in remarks(ledger, model, build_id):
        console.print(f"  Note       {escape(remark)}", soft_wrap=True)
    for decision in ledger.decisions(model, "retrain", build_id):
        console.print(f"  Retrain    {decision['reason']}", soft_wrap=True)


def print_balance(console: Console, balance: Balance) -> None:
    """The rows of the newest snapshot per label and per kind of example, with their shares; nothing without rows."""
    if not balance.rows:
        return
    table = closing_table("the rows by label and by kind")
    table.add_column("label, kind", overflow="fold")
    for name in ("rows", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for counts in (balance.labels, balance.kinds):
        table.add_section()
        for name, count in counts.items():
            table.add_row(Text(name or "none yet"), f"{count:,}", f"{count / balance.rows:.1%}")
    console.print()
    console.print(table)
    console.print()


def print_evidence(console: Console, context: Context, number: int | None = None) -> None:
    """How many held-out groups can tell models apart, and which gain they can prove."""
    if evidence := read_evidence(context, number):
        console.print(f"  {'Evidence':<10} {evidence.in_words()}", soft_wrap=True)


def print_retrain(console: Console, ledger: Ledger, model: str, run: str) -> None:
    """A training's stages, every gate row and the verdict."""
    console.print()
    _print_stages(console, f"{model}: the candidate", ledger.reports(model, run))
    for report in ledger.reports(model, run):
        if "needs" in report.notes:
            console.print(f"  Planned    {escape(report.notes['needs'])}", soft_wrap=True)
        for cap in report.notes.get("not_capped", ()):
            console.print(f"  Note       no sample can keep to max_{cap}_share; trained without it", soft_wrap=True)
    rows = ledger.gate_rows(model, run)
    if rows:
        console.print()
        console.print(_gate_table(rows))
        _print_limits(console, rows)
        console.print()
    if cases := tell_edge_cases(ledger, model, run, faults=True):
        console.print(f"  Edge cases {escape(cases)}", soft_wrap=True)
    for decision in ledger.decisions(model, "gate", run):
        console.print(f"  Verdict    version {decision['detail']['version']}: {decision['reason']}", soft_wrap=True)
    for decision in ledger.decisions(model, "approval", run):
        by = f" by {decision['detail']['by']}" if decision["detail"]["by"] else ""
        why = f": {decision['reason']}" if decision["reason"] else ""
        console.print(f"  Approval   {decision['outcome']}{escape(by)}{escape(why)}", soft_wrap=True)


def print_champion(console: Console, ledger: Ledger, model: str) -> None:
    """The version that answers."""
    moves = ledger.moves(model)
    if not moves:
        console.print("  Champion   none yet")
        if version := awaits_word(ledger, model):
            how = f'python -m sovereign_tasks promote {model} {version} --reason "…"'
            said = f"only evidence is wanting for version {version}; on your word: {how}"
            console.print(f"  Provisional  {said}", soft_wrap=True, markup=False)
        return
    detail = moves[0]["detail"]
    at = moves[0]["at"].astimezone().strftime("%Y-%m-%d %H:%M")
    learned = f"from snapshot {detail['snapshot']}" if detail["snapshot"] else "the base itself"
    console.print(f"  Champion   version {detail['version']}, {learned}, since {at}")
    if moves[0]["outcome"] == ROLLED_BACK:
        said = f"from version {detail['took_over_from']} by {detail['by']}: {moves[0]['reason']}"
        console.print(f"  Rollback   {escape(said)}", soft_wrap=True)

    for look in ledger.decisions(model, "look")[:1]:
        console.print(f"  Last look  {escape(look['reason'])}", soft_wrap=True)


def _print_stages(console: Console, title: str, reports: Sequence[StageReport]) -> None:
    table = closing_table(title)
    table.add_column("stage", overflow="fold")
    for name in ("in", "out", "dropped"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why")
    table.add_column("work", justify="right", no_wrap=True)
    for report in sorted(reports, key=lambda r: position(r.stage)):
        dropped = sum(report.rejected.values())
        table.add_row(
            Text(report.stage),
            f"{report.rows_in:,}",
            f"{report.rows_out:,}",
            f"{dropped:,}" if dropped else "",
            Reasons(report.rejected),
            f"{report.seconds:.1f} s",
        )
    console.print(table)
    console.print()


def _gate_table(rows: Sequence[GateRow]) -> Table:
    table = closing_table("gates: of a gain the whole interval must be as asked")
    table.add_column("gate", overflow="fold")
    table.add_column("asked")
    for name in ("new", "old"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("gain (95%)", justify="right")
    table.add_column("")
    for row in rows:
        measured = not math.isnan(row.low)
        told = verdict(row, rows)
        table.add_row(
            Text(row.metric if row.against else row.gate),
            Text(_asked(row)),
            _number(row.candidate),
            _number(row.reference),
            Text(f"{row.low:+.3f}\u00a0…\u00a0{row.high:+.3f}") if measured else Text(_why(row), "dim"),
            Text("–" if told == "passed over" else told, {"passed": "green", "refused": "red"}.get(told, "dim")),
        )
    return table


def _why(row: GateRow) -> str:
    """Why there is no interval, where that is no matter of course: what a limit's figure is made of stands below."""
    return "" if row.rule == "at_most" and not math.isnan(row.candidate) else row.reason


def _print_limits(console: Console, rows: Sequence[GateRow]) -> None:
    for row in rows:
        if row.rule == "at_most" and not _why(row) and row.reason:
            console.print(f"  {escape(row.gate)}: {escape(row.reason)}", style="dim", soft_wrap=True)


def _asked(row: GateRow) -> str:
    """What a gate asks, in as few words as a column has room for."""
    among = f" (one of {row.one_of})" if row.one_of else ""
    if row.rule == "no_worse":
        return f"not {-row.threshold:g} worse than {row.against}{among}"
    if row.rule == "better":
        return f"better than {row.against}" + (f" by {row.threshold:g}" if row.threshold else "") + among
    return asked(row).removeprefix("must ").removeprefix("be ") + among


def closing_table(title: str) -> Table:
    """Columns two spaces apart, so that every closing table fits into 80 columns."""
    return Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
    )


def _number(value: float, form: str = ".3f") -> str:
    return "" if math.isnan(value) else format(value, form)
