"""The owner's tasks as the loop meets them: said before a training if they can't be asked, and a gate for each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sovereign_tasks.config import load_model
from sovereign_tasks.errors import UserError
from sovereign_tasks.evaluate.gates import judge
from sovereign_tasks.evaluate.tasks import is_installed
from sovereign_tasks.records import EvalReport
from sovereign_tasks.stages import retrain
from sovereign_tasks.stages.own_tasks import ask_tasks, gates_of, tasks_of

from .test_rules import change_config

TASK = """
task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: colours.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "What colour is {{thing}}?"
doc_to_choice: [green, white]
doc_to_target: green
"""


@pytest.fixture
def folder(documents: Path, tmp_path: Path) -> Path:
    """A folder with a task, that the model's settings name."""
    path = tmp_path / "tasks"
    path.mkdir()
    (path / "colours.yaml").write_text(TASK)
    (path / "colours.jsonl").write_text("\n".join(json.dumps({"thing": f"grass {i}"}) for i in range(30)))
    wanted = f"general: {{tasks: {path}, allowed_loss: 0.2}}\n"
    change_config(tmp_path, "training: {base_model: scratch}", f"training: {{base_model: scratch}}\n{wanted}")
    return path


def report(subject: str, right: int) -> dict[str, EvalReport]:
    ids = [str(i) for i in range(40)]
    scores = [float(i < right) for i in range(40)]
    return {"task_colours": EvalReport(subject, "task_colours", ids, ids, {"task_colours": scores})}


def test_without_a_folder_nothing_is_asked(documents: Path) -> None:
    config = load_model("siding")
    assert tasks_of(config) == gates_of(config) == []
    assert ask_tasks(config, None, None, "base") == {}


@pytest.mark.skipif(is_installed(), reason="the harness is here")
def test_a_missing_harness_is_said_before_a_training(folder: Path) -> None:
    with pytest.raises(UserError, match=r"siding: general\.tasks needs lm-evaluation-harness.*requirements-lm-eval"):
        retrain.preflight("siding", "manual", None, by_hand=True)


def test_a_broken_task_is_said_before_a_training(folder: Path) -> None:
    (folder / "colours.yaml").write_text(TASK.replace("green", "!function utils.x"))
    with pytest.raises(UserError, match=r"colours\.yaml: !function runs code"):
        retrain.preflight("siding", "manual", None, by_hand=True)


def test_one_that_could_never_pass_is_said_before_a_training(folder: Path) -> None:
    rows = (folder / "colours.jsonl").read_text().splitlines()
    (folder / "colours.jsonl").write_text("\n".join([*rows[:19], rows[0]]))
    with pytest.raises(UserError, match=r"colours\.yaml: asks 19 questions.* a loss of at most 0\.2: that takes 20"):
        retrain.preflight("siding", "manual", None, by_hand=True)


@pytest.mark.skipif(not is_installed(), reason="needs requirements-lm-eval.txt")
def test_each_task_has_a_gate_that_allows_a_stated_loss(folder: Path) -> None:
    gates = gates_of(load_model("siding"))
    (kept,) = judge(gates, report("candidate", 38), report("base", 40), None)
    (lost,) = judge(gates, report("candidate", 20), report("base", 40), None)
    (unasked,) = judge(gates, {}, report("base", 40), None)
    assert [kept.gate, kept.passed, kept.threshold] == ["task_colours no worse than base", True, -0.2]
    assert not lost.passed
    assert (unasked.passed, unasked.reason) == (False, "task_colours of the candidate was not measured")
