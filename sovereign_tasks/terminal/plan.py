"""`plan`: what a training of a model would need here, and whether it fits."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.stages.base import check_base, find_base
from sovereign_tasks.stages.context import look_into
from sovereign_tasks.stages.plan import Plan, duration, in_words, reckon
from sovereign_tasks.stages.retrain import snapshot_to_train
from sovereign_tasks.stages.snapshots import load_splits
from sovereign_tasks.terminal.summary import closing_table, print_evidence


def print_plan(console: Console, ledger: Ledger, config: ModelConfig, number: int | None) -> None:
    """Figures, memory by part and what they rest on; then a UserError where it can't fit."""
    context = look_into(ledger, config)
    check_base(config)
    snapshot = snapshot_to_train(context, number)
    plan = reckon(context, snapshot, load_splits(context, snapshot), find_base(context))
    _print_figures(console, plan)
    print_evidence(console, context, snapshot.number)
    _print_memory(console, plan)
    for assumption in plan.assumptions():
        console.print(f"  - {escape(assumption)}", soft_wrap=True)
    plan.refuse()


def _print_figures(console: Console, plan: Plan) -> None:
    needs, training = plan.estimate, plan.training
    shape = needs.shape
    console.print(f"[bold]{plan.model}: {training.method} of {escape(plan.base)} on snapshot {plan.snapshot}[/]")
    in_bits = f", {_count(shape.linears)} of them in 4 bits" if shape.quantised else ""
    left_out = f"; {plan.left_out:,} too long" if plan.left_out else ""
    shortened = f"; {plan.shortened:,} shortened" if plan.shortened else ""
    replayed = "of your chats" if plan.replay else "everyday ones"
    lines = {
        "Parameters": f"{_count(shape.parameters)}{in_bits}; {_count(shape.trained)} trained beside them",
        "Rows": f"{plan.examples:,} examples, {plan.replayed:,} {replayed}{left_out}{shortened}",
        "Tokens": f"{needs.tokens:,} a pass, {needs.answers:,} of them in answers",
        "Steps": f"{needs.steps:,}: {training.epochs:g} passes in batches of {training.batch_size} x "
        f"{training.accumulation}, rows of at most {training.max_length:,} tokens",
        "Device": f"{plan.device.name}; {in_words(plan.device.free)} free",
        "Time": f"{duration(needs.seconds)} at {_rate(needs.rate)} tokens a second",
        "Energy": f"{needs.kwh:.3g} kWh at {needs.watts:,.0f} W" if needs.kwh is not None else "not known",
        "Money": f"{needs.cost:.2f} {plan.currency}" if needs.cost is not None else "not known",
    }
    for label, text in lines.items():
        console.print(f"  {label:<10} {escape(text)}", soft_wrap=True)


def _print_memory(console: Console, plan: Plan) -> None:
    table = closing_table("memory at its peak")
    table.add_column("part")
    table.add_column("", justify="right", no_wrap=True)
    for part, size in plan.estimate.memory.items():
        table.add_row(part, in_words(size))
    table.add_section()
    table.add_row("in all", in_words(plan.estimate.peak))
    console.print()
    console.print(table)
    verdict = "[green]It fits.[/]" if plan.fits else "[red]It does not fit.[/]"
    console.print(f"\n{verdict} This rests on:")


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _count(parameters: int) -> str:
    for size, name in ((10**9, "billion"), (10**6, "million")):
        if parameters >= size:
            return f"{parameters / size:,.3g} {name}"
    return f"{parameters:,}"
