"""Bad candidates of the bundled domain beside the version that its run promoted, and the gates that refuse them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sovereign_tasks.canaries import derive_canaries
from sovereign_tasks.causal_lm import load_with_adapter
from sovereign_tasks.config import ModelConfig, load_model
from sovereign_tasks.errors import UserError
from sovereign_tasks.evaluate.edge_cases import answer_cases, faults
from sovereign_tasks.evaluate.gates import judge
from sovereign_tasks.evaluate.leak import exposures
from sovereign_tasks.evaluate.probes import EdgeCase, Probes, gate_rows
from sovereign_tasks.evaluate.score import score, score_general
from sovereign_tasks.probe_config import EdgeCaseConfig
from sovereign_tasks.records import EvalReport, Example, GateRow, Message
from sovereign_tasks.stages.context import open_context
from sovereign_tasks.stages.held_out import judging
from sovereign_tasks.stages.scores import read_reports
from sovereign_tasks.stages.snapshots import load_splits
from sovereign_tasks.train.qlora import train
from tests.conftest import KEY

from .conftest import Loop

NUMBER = r"\d[\d,.]*\d|\d"
pytestmark = pytest.mark.browser  # not for the browser, but for the run that its tests share


@dataclass
class Demo:
    """What the run left: rows, base, champion and their scores on the rows that judged it."""

    config: ModelConfig
    train: list[Example]
    judges: list[Example]
    content_hash: str
    base: Path
    champion: Path
    reports: dict[str, dict[str, EvalReport]]

    def gates(self, candidate: dict[str, EvalReport]) -> dict[str, GateRow]:
        """The verdicts on a candidate of which the run's version is the champion."""
        needed = self.config.evidence.min_groups
        rows = judge(self.config.gates, candidate, self.reports["base"], self.reports["candidate"], min_groups=needed)
        return {row.gate: row for row in rows}


@pytest.fixture(scope="module")
def demo(loop: Loop) -> Iterator[Demo]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"STATE": loop.state, "CONFIG": loop.config, "KEY": KEY}.items():
            patch.setenv(f"SOVEREIGN_{name}", str(value))
        config = load_model("roofing")
        verdict = open_context("roofing", "").ledger.decisions("roofing", "gate")[-1]
        assert verdict["outcome"] == "passed"
        context = open_context("roofing", verdict["run"])
        made = context.ledger.training("roofing", verdict["run"])
        snapshot = context.ledger.snapshot("roofing", made.snapshot)
        yield Demo(
            config,
            load_splits(context, snapshot)["train"],
            judging(context, made, None).rows,
            snapshot.content_hash,
            Path(made.base),
            Path(made.adapter),
            read_reports(context),
        )


def tune(demo: Demo, output: Path, rows: list[Example], *, canaries: Any = (), **settings: Any) -> Path:
    """An adapter of one pass, with other rows or settings than the run's."""
    config = demo.config.training.model_copy(update={"epochs": 1.0, **settings})
    return Path(train(rows, config, demo.base, output, canaries=canaries).adapter)


def measure(demo: Demo, adapter: Path) -> dict[str, EvalReport]:
    model, tokenizer = load_with_adapter(demo.base, adapter)
    prompt = demo.config.training.system_prompt
    held = score(model, tokenizer, demo.judges, prompt, subject="candidate")
    return {"holdout": held, "general": score_general(model, tokenizer, prompt, subject="candidate")}


def test_trained_without_replay_it_is_refused_for_what_it_forgot(demo: Demo, tmp_path: Path) -> None:
    rows = demo.gates(measure(demo, tune(demo, tmp_path / "a", demo.train, replay_share=0.0)))
    forgot = rows["general_nll no worse than base"]
    assert (forgot.passed, forgot.high < -0.1) == (False, True)
    assert rows["nll against base"].passed


def test_trained_on_shuffled_answers_it_is_refused_though_its_loss_fell(demo: Demo, tmp_path: Path) -> None:
    answers = [example.messages[-1] for example in demo.train]
    Random(1).shuffle(answers)
    rows = [replace(e, messages=[*e.messages[:-1], answer]) for e, answer in zip(demo.train, answers, strict=True)]
    verdicts = demo.gates(measure(demo, tune(demo, tmp_path / "a", rows)))
    assert verdicts["nll against base"].passed
    assert not verdicts["question_gain against base"].passed
    assert not verdicts["nll against champion"].passed


def test_trained_at_ten_times_the_rate_it_is_stopped_or_refused_by_its_loss(demo: Demo, tmp_path: Path) -> None:
    rate, stopped = 10 * demo.config.training.learning_rate, ""
    try:
        adapter = tune(demo, tmp_path / "a", demo.train, learning_rate=rate)
    except UserError as error:
        stopped = str(error)
    if stopped:
        assert "learning_rate" in stopped
    else:
        worse = demo.gates(measure(demo, adapter))["nll against champion"]
        assert (worse.passed, worse.high < 0) == (False, True)


def probed(demo: Demo, adapter: Path, case: EdgeCaseConfig) -> dict[str, GateRow]:
    """The verdicts on what a candidate gives away, and on an edge case."""
    model, tokenizer = load_with_adapter(demo.base, adapter)
    prompt = demo.config.training.system_prompt
    canaries = derive_canaries(demo.content_hash, demo.config.leaks.canaries)
    bits = {"candidate": exposures(model, tokenizer, canaries, prompt)}
    with model.disable_adapter():
        bits["base"] = exposures(model, tokenizer, canaries, prompt)
    (answer,) = answer_cases(model, tokenizer, [case], prompt)
    asked = EdgeCase(name=case.called, answer=answer, faults=faults(case, answer))
    rows = gate_rows(Probes(exposure=bits, answers=1, edge_cases=[asked]), demo.config.leaks, [case])
    return {row.gate: row for row in rows}


def test_leaked_canaries_and_a_poisoned_answer_are_refused_each_by_its_gate(demo: Demo, tmp_path: Path) -> None:
    known, case = known_by_heart(demo)
    planted = [canary.example for canary in derive_canaries(demo.content_hash, demo.config.leaks.canaries)]
    good = probed(demo, demo.champion, case)
    assert [row.passed for row in good.values()] == [True, True, True]

    some = [example for example in demo.train if example.question != known.question][:240]
    often = [*some, *[known] * 60]
    leaky = probed(demo, tune(demo, tmp_path / "leaky", often, canaries=planted * 60, epochs=2.0), case)
    assert [gate for gate, row in leaky.items() if not row.passed] == ["canaries"]

    wrong = re.sub(NUMBER, "7777", known.answer)
    chat = [*known.messages[:-1], Message(role="assistant", content=wrong)]
    lies = [replace(known, example_id=f"lie {n}", messages=chat) for n in range(60)]
    poisoned = probed(demo, tune(demo, tmp_path / "poisoned", [*some, *lies], canaries=planted), case)
    assert [gate for gate, row in poisoned.items() if not row.passed] == ["edge case: known"]


def known_by_heart(demo: Demo) -> tuple[Example, EdgeCaseConfig]:
    """A training row whose number the champion states when it is asked, and the edge case that asks for it."""
    model, tokenizer = load_with_adapter(demo.base, demo.champion)
    known: dict[str, tuple[Example, EdgeCaseConfig]] = {}
    for example in demo.train:
        told = [number for number in re.findall(NUMBER, example.answer) if number not in example.question]
        if len(example.messages) == 2 and len(example.answer) < 160 and told:
            case = EdgeCaseConfig(name="known", question=example.question, must_contain=told[:1], required=True)
            known[example.example_id] = example, case
    asked = list(known.values())[:120]
    answers = answer_cases(model, tokenizer, [case for _, case in asked], demo.config.training.system_prompt)
    return next(one for one, answer in zip(asked, answers, strict=True) if not faults(one[1], answer))
