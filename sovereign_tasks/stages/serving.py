"""Answers from the champion, on this machine."""

from __future__ import annotations

from pathlib import Path

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.records import TrainingRun


def ask(ledger: Ledger, config: ModelConfig, question: str, *, beside_base: bool) -> dict[str, str]:
    """The champion's answer, and the base's if asked for, by who gave it."""
    from sovereign_tasks.serve.ask import answer

    champion = find_champion(ledger, config.model)
    base, adapter = Path(champion.base), Path(champion.adapter)
    if not adapter.exists():
        raise UserError(f"{adapter}: the champion's adapter is gone; restore the state folder, or train again.")
    answers = {"base": answer(question, base, adapter, config.training, without=True)} if beside_base else {}
    return answers | {"champion": answer(question, base, adapter, config.training)}


def find_champion(ledger: Ledger, model: str) -> TrainingRun:
    """The training behind the version that is champion."""
    moves = ledger.moves(model)
    if not moves:
        raise UserError(f"{model} has no champion yet; `run {model}` trains one once enough is new.")
    run_id = moves[0]["detail"]["run_id"]
    return next(t for _, t in ledger.trainings(model) if t.run_id == run_id)
