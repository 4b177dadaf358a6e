"""Preflight says what a training will need, and refuses what can't fit; `plan` prints the same."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from sovereign_tasks.causal_lm import base_name
from sovereign_tasks.config import config_hash, load_model
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages import base as bases
from sovereign_tasks.stages import retrain
from sovereign_tasks.stages.context import open_context, run_key
from sovereign_tasks.terminal.plan import print_plan
from sovereign_tasks.terminal.summary import print_retrain
from sovereign_tasks.train import device

from . import nights
from .test_rules import change_config

TINY = "training: {base_model: scratch, scratch: {vocabulary: 500, hidden: 64, layers: 1, heads: 2, steps: 2}}"


@pytest.fixture
def night(state: Path, documents: Path, tmp_path: Path) -> Path:
    """A night of the small domain, for a base that is made in a second."""
    change_config(tmp_path, "training: {base_model: scratch}", TINY)
    assert nights.run_night("one")
    return tmp_path


def printed() -> str:
    out = io.StringIO()
    print_plan(Console(file=out, width=80), open_ledger(_state()), load_model("siding"), None)
    return out.getvalue()


def _state() -> str:
    return os.environ["SOVEREIGN_STATE"]


def notes(run: str) -> dict:
    (report,) = open_ledger(_state()).reports("siding", run_key("retrain", "siding", run))
    return report.notes


def test_preflight_notes_what_the_training_then_takes(night: Path) -> None:
    retrain.preflight("siding", "first", None, by_hand=True)
    before = notes("first")
    assert "GFLOP/s" in " ".join(before["assumed"])
    assert any("The base is made first" in said for said in before["assumed"])

    run = run_key("retrain", "siding", "first")
    base = bases.prepare_base("siding", run, 1)["base"]
    retrain.preflight("siding", "second", None, by_hand=True)
    after = notes("second")
    context = open_context("siding", run)
    assert not any("The base is made first" in said for said in after["assumed"])
    for name in ("parameters", "trained", "steps", "tokens"):
        assert before[name] == after[name], name

    made = TrainingRun(
        "siding", "r", 1, base, base_name(Path(base)), config_hash(context.config.training), 1, "", "", {}
    )
    context.ledger.record_training(run, replace(made, metrics={"tokens_per_second": 50.0}, hardware="another machine"))
    retrain.preflight("siding", "third", None, by_hand=True)
    assert "GFLOP/s" in " ".join(notes("third")["assumed"])
    here = replace(made, metrics={"tokens_per_second": 50.0}, hardware=device.look().name)
    context.ledger.record_training(run, here)
    retrain.preflight("siding", "fourth", None, by_hand=True)
    assert "the training on snapshot 1 measured here" in " ".join(notes("fourth")["assumed"])
    assert notes("fourth")["seconds"] == round(3 * after["tokens"] / 50)

    out = io.StringIO()
    print_retrain(Console(file=out, width=80), context.ledger, "siding", run_key("retrain", "siding", "fourth"))
    assert f"  Planned    {notes('fourth')['needs']}\n" in out.getvalue()
    assert f"; {after['steps']} steps, 3 minutes" in notes("fourth")["needs"]


def test_what_cant_fit_is_refused_with_what_would_and_that_does(night: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    retrain.preflight("siding", "whole", None, by_hand=True)
    needed = sum(notes("whole")["memory"].values())
    look = device.look
    monkeypatch.setattr(device, "look", lambda: replace(look(), free=needed // 2))
    with pytest.raises(
        UserError, match=r"set training.batch_size to \d and training.accumulation to \d+, which fits"
    ) as e:
        retrain.preflight("siding", "refused", None, by_hand=True)
    ((stage, reason),) = open_ledger(_state()).failures("siding", run_key("retrain", "siding", "refused")).items()
    assert (stage, reason) == ("preflight", str(e.value))

    words = str(e.value).split()
    batch, accumulation = (
        words[words.index(f"training.{name}") + 2].rstrip(",") for name in ("batch_size", "accumulation")
    )
    change_config(
        night, "base_model: scratch,", f"base_model: scratch, batch_size: {batch}, accumulation: {accumulation},"
    )
    retrain.preflight("siding", "advised", None, by_hand=True)
    assert notes("advised")["steps"] == notes("whole")["steps"]

    monkeypatch.setattr(device, "look", lambda: replace(look(), free=1000))
    with pytest.raises(UserError, match=r"no batch size or length makes it fit, since the base alone takes"):
        retrain.preflight("siding", "hopeless", None, by_hand=True)


def test_plan_prints_figures_memory_and_assumptions(night: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (night / "config" / "platform.yaml").write_text("costs: {watts: 100, price_per_hour: 3600, currency: EUR}\n")
    text = printed()
    assert text.startswith("siding: qlora of scratch on snapshot 1\n")
    for label in ("Parameters", "Rows", "Tokens", "Steps", "Device", "Time", "Energy", "Money"):
        assert f"\n  {label} " in text
    assert " EUR\n" in text
    assert "linears in 4 bits" in text
    assert "It fits." in text
    assert "at 100 W" in text
    look = device.look
    monkeypatch.setattr(device, "look", lambda: replace(look(), free=1000))
    with pytest.raises(UserError, match="this training needs"):
        printed()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")
def test_attention_that_is_not_to_be_had_is_found_before_a_base_is_made(night: Path) -> None:
    change_config(night, "base_model: scratch,", "base_model: scratch, attention: flash,")
    with pytest.raises(UserError, match=r"training.attention: flash is not to be had: there is no CUDA card here"):
        retrain.preflight("siding", "flash", None, by_hand=True)


def test_rows_that_are_all_too_long_are_a_sentence(night: Path) -> None:
    change_config(night, "base_model: scratch,", "base_model: scratch, max_length: 16,")
    with pytest.raises(UserError, match=r"none of \d+ examples fits in training.max_length \(16 tokens\); raise it"):
        retrain.preflight("siding", "short", None, by_hand=True)
