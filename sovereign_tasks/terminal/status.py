"""`status` and `ask`: how a model stands, and what it answers."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.stages.serving import ask
from sovereign_tasks.terminal.summary import print_build, print_champion, print_retrain


def print_status(console: Console, ledger: Ledger, config: ModelConfig) -> None:
    """The last night, the last training and the champion."""
    model = config.model
    builds = ledger.builds(model)
    if not builds:
        console.print(f"{model}: no night has run yet; start one with `run {model} --up`.")
        return
    print_build(console, ledger, model, builds[-1])
    verdicts = ledger.decisions(model, "gate")
    if verdicts:
        print_retrain(console, ledger, model, verdicts[0]["run"])
    print_champion(console, ledger, model)


def print_answers(console: Console, ledger: Ledger, config: ModelConfig, question: str, *, beside_base: bool) -> None:
    """The champion's answer, with the base's above it if asked for."""
    for who, answer in ask(ledger, config, question, beside_base=beside_base).items():
        label = f"[bold]{who}[/]\n" if beside_base else ""
        console.print(f"{label}{escape(answer)}", soft_wrap=True)
