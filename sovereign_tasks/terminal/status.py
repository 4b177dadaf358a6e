"""`status` and `ask`: how a model stands, and what it answers."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.terminal.summary import print_build, print_champion, print_retrain


def print_status(console: Console, ledger: Ledger, config: ModelConfig) -> None:
    """The last night, the last training and the champion."""
    model = config.model
    builds = ledger.builds(model)
    if not builds:
        console.print(f"{model}: no night has run yet; start one with `make run`.")
        return
    print_build(console, ledger, model, builds[-1])
    verdicts = ledger.decisions(model, "gate")
    if verdicts:
        print_retrain(console, ledger, model, verdicts[0]["run"])
    print_champion(console, ledger, model)


def ask(console: Console, ledger: Ledger, config: ModelConfig, question: str, *, beside_base: bool) -> None:
    """Print the champion's answer, and the base's beside it if asked."""
    from sovereign_tasks.serve.ask import answer

    champion = find_champion(ledger, config.model)
    base, adapter = Path(champion.base), Path(champion.adapter)
    if not adapter.exists():
        raise UserError(f"{adapter}: the champion's adapter is gone; restore the state folder, or train again.")
    if beside_base:
        console.print("[dim]base[/]", escape(answer(question, base, None, config.training)), soft_wrap=True)
        console.print("[dim]champion[/]", escape(answer(question, base, adapter, config.training)), soft_wrap=True)
    else:
        console.print(escape(answer(question, base, adapter, config.training)), soft_wrap=True)


def find_champion(ledger: Ledger, model: str) -> TrainingRun:
    """The training behind the promoted version."""
    promotions = ledger.decisions(model, "promotion")
    if not promotions:
        raise UserError(f"{model} has no champion yet; `make run` trains one.")
    run_id = promotions[0]["detail"]["run_id"]
    return next(t for _, t in ledger.trainings(model) if t.run_id == run_id)
