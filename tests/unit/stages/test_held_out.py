"""Held-out rows that choose an adapter are no evidence of it, nor those near what it has learned, nor worn ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example, Message, TrainingRun
from sovereign_tasks.stages import held_out
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.held_out import check_choice, judging, names_of, note_use, retired_groups, watching
from sovereign_tasks.stages.snapshots import load_splits
from tests.unit.stages import nights

MADE = TrainingRun("siding", "r1", 1, "base", "h", "c", 1, "/gone", "ad", {})


def rows(groups: int, first: int = 0) -> list[Example]:
    said = [Message(role="user", content="How long?"), Message(role="assistant", content="Thirty years.")]
    return [
        Example(f"{g}-{n}", "faq", "house", f"g{g}", "en", said, [], [])
        for g in range(first, first + groups)
        for n in range(2)
    ]


def split(held: list[Example], sealed: list[Example] | None = None) -> dict[str, list[Example]]:
    return {"train": [], "holdout": held, "sealed": sealed or []}


def groups_of(examples: list[Example]) -> set[str]:
    return {example.group for example in examples}


@pytest.fixture
def context(documents: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A model whose snapshots hold out as many groups as ten times their number, and ten."""
    held = {number: split(rows(10 + 10 * number)) for number in (1, 2, 3)}
    monkeypatch.setattr(held_out, "load_splits", lambda context, snapshot: held[snapshot])
    monkeypatch.setattr(held_out, "learned_from", lambda context, snapshot: set())
    opened = open_context("siding", "x")
    monkeypatch.setattr(type(opened.ledger), "snapshot", lambda ledger, model, number: number)
    return opened


def set_training(tmp_path: Path, text: str, run: str = "x") -> Context:
    file = tmp_path / "config" / "siding.yaml"
    plain = file.read_text().replace("base_model: scratch", f"base_model: scratch, {text}")
    file.write_text(plain.replace("max_uses: 20", "max_uses: 2"))
    return open_context("siding", run)


def test_what_did_not_choose_judges(context: Context, tmp_path: Path) -> None:
    made = replace(MADE, snapshot=3)
    assert judging(context, made, None).rows == rows(40)
    watched = watching(set_training(tmp_path, "patience: 1"), split(rows(40)))
    assert len(groups_of(watched)) == 20
    chosen = replace(made, chosen_by=names_of(watched))
    assert not set(chosen.chosen_by) & groups_of(watched), "as they are named"
    evidence = judging(context, chosen, None)
    assert groups_of(evidence.rows) == groups_of(rows(40)) - groups_of(watched)
    assert evidence.left_out == {"chose": len(watched)}
    assert judging(context, made, chosen) == evidence, "what chose the champion does not judge it either"


def test_what_chose_the_beginning_does_not_judge_either(context: Context, tmp_path: Path) -> None:
    watched = watching(set_training(tmp_path, "start: both"), split(rows(30)))
    assert watched
    context.ledger.record_training("one", replace(MADE, snapshot=2, chosen_by=names_of(watched)))
    later = replace(MADE, run_id="r2", snapshot=3, started_from="r1")
    assert groups_of(judging(context, later, None).rows) == groups_of(rows(40)) - groups_of(watched)


def test_a_choice_leaves_enough_groups_for_the_gates_or_is_refused(context: Context, tmp_path: Path) -> None:
    check_choice(context, split(rows(3)))  # nothing is chosen
    choosing = set_training(tmp_path, "patience: 2")
    for groups in (25, 26, 60):
        check_choice(choosing, split(rows(groups)))
        watched = groups_of(watching(choosing, split(rows(groups))))
        assert groups - len(watched) >= choosing.config.evidence.min_groups
        assert len(watched) >= 5
    with pytest.raises(UserError, match=r"that takes 25 held-out groups, and there are 24; do without until there are"):
        check_choice(choosing, split(rows(24)))
    check_choice(choosing, split(rows(15), rows(10, first=15)))
    assert len(groups_of(watching(choosing, split(rows(15), rows(10, first=15))))) == 5


def test_a_group_that_judged_as_many_as_it_may_retires_and_chooses(context: Context, tmp_path: Path) -> None:
    made = replace(MADE, snapshot=3)
    first = set_training(tmp_path, "patience: 2", "first")
    note_use(first, rows(30))
    note_use(first, rows(30))  # a task that is tried again
    assert judging(context, made, None).left_out == {}
    second = open_context("siding", "second")
    note_use(second, rows(30))
    assert judging(second, made, None).rows == rows(40), "its own try, which may be made again"
    third = open_context("siding", "third")
    evidence = judging(third, made, None)
    assert (evidence.rows, evidence.left_out) == (rows(10, first=30), {"retired": 60})
    assert retired_groups(third, groups_of(rows(40))) == groups_of(rows(30))
    chose = groups_of(watching(third, split(rows(40))))
    assert chose < groups_of(rows(30)), "of the retired alone"


def test_too_few_groups_to_judge_are_not_used_up(context: Context, tmp_path: Path) -> None:
    set_training(tmp_path, "patience: 2")
    for run in "abc":
        note_use(open_context("siding", run), rows(19))
    assert judging(context, replace(MADE, snapshot=3), None).left_out == {}


def test_a_row_near_what_either_model_learned_is_no_evidence(documents: Path) -> None:
    nights.run_night("first")
    context = open_context("siding", "x")
    before = load_splits(context, context.ledger.snapshot("siding", 1))
    for at, taught in enumerate(e for e in before["train"] if "cost to look after" in e.question):
        page = f"# Notes {at}\n\n## {taught.question}\n\n{taught.answer} Ask again in spring.\n"
        (documents / f"notes-{at}.md").write_text(page)  # some of which are held out
    nights.run_night("second")
    after = load_splits(context, context.ledger.snapshot("siding", 2))
    twins = {e.example_id for e in after["holdout"] if "Ask again" in e.answer}
    assert twins
    champion, candidate = replace(MADE, snapshot=1), replace(MADE, run_id="r2", snapshot=2)
    alone = judging(context, candidate, None)
    assert twins <= {e.example_id for e in alone.rows}, "what the snapshot has near them is no training row any more"
    evidence = judging(context, candidate, champion)
    assert {e.example_id for e in alone.rows} - {e.example_id for e in evidence.rows} == twins
    assert evidence.left_out == {"near_learned": len(twins)}
    context.ledger.record_base("siding", candidate.base_hash, "base", "c", 1)
    assert judging(context, candidate, None).left_out == {"near_learned": len(twins)}, "its base has read them"
