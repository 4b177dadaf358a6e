"""Held-out rows that choose an adapter are no evidence of it, nor of what goes back to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.gates_config import LEAST_GROUPS
from sovereign_tasks.records import Example, TrainingRun
from sovereign_tasks.stages import held_out
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.held_out import check_choice, judging, names_of, watching

MADE = TrainingRun("siding", "r1", 1, "base", "h", "c", 1, "/gone", "ad", {})


def rows(groups: int) -> list[Example]:
    return [Example(f"{g}-{n}", "faq", "house", f"g{g}", "en", [], [], []) for g in range(groups) for n in range(2)]


def groups_of(examples: list[Example]) -> set[str]:
    return {example.group for example in examples}


@pytest.fixture
def context(documents: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A model whose snapshots hold out as many groups as ten times their number, and ten."""
    held = {number: rows(10 + 10 * number) for number in (1, 2, 3)}
    monkeypatch.setattr(held_out, "load_splits", lambda context, snapshot: {"holdout": held[snapshot]})
    opened = open_context("siding", "x")
    monkeypatch.setattr(type(opened.ledger), "snapshot", lambda ledger, model, number: number)
    return opened


def test_what_did_not_choose_judges(context: Context) -> None:
    assert judging(context, replace(MADE, snapshot=3)) == rows(40)
    training = context.config.training.model_copy(update={"patience": 1})
    watched = groups_of(watching(training, rows(40)))
    assert len(watched) == 20
    chosen = replace(MADE, snapshot=3, chosen_by=names_of(watching(training, rows(40))))
    assert not set(chosen.chosen_by) & watched, "as they are named"
    assert groups_of(judging(context, chosen)) == groups_of(rows(40)) - watched


def test_what_chose_the_beginning_does_not_judge_either(context: Context) -> None:
    training = context.config.training.model_copy(update={"start": "both"})
    watched = groups_of(watching(training, rows(30)))
    assert watched
    chosen_by = names_of(watching(training, rows(30)))
    context.ledger.record_training("one", replace(MADE, snapshot=2, chosen_by=chosen_by))
    later = replace(MADE, run_id="r2", snapshot=3, started_from="r1")
    assert groups_of(judging(context, later)) == groups_of(rows(40)) - watched


def test_a_choice_leaves_enough_groups_for_the_gates_or_is_refused(context: Context, tmp_path: Path) -> None:
    check_choice(context, rows(3))  # nothing is chosen
    file = tmp_path / "config" / "siding.yaml"
    file.write_text(file.read_text().replace("base_model: scratch", "base_model: scratch, patience: 2"))
    choosing = open_context("siding", "x")
    for groups in (25, 26, 60):
        check_choice(choosing, rows(groups))
        watched = groups_of(watching(choosing.config.training, rows(groups)))
        assert groups - len(watched) >= LEAST_GROUPS
        assert len(watched) >= 5
    with pytest.raises(UserError, match=r"that takes 25 held-out groups, and there are 24; do without until there are"):
        check_choice(choosing, rows(24))
