"""The owner's tasks: what is understood of a file, what is refused, and what a model scores on them."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from sovereign_tasks.causal_lm import load_base
from sovereign_tasks.errors import UserError
from sovereign_tasks.evaluate.gates import judge
from sovereign_tasks.evaluate.tasks import is_installed, read_tasks, score_tasks
from sovereign_tasks.gates_config import GateConfig

CHOICES = """
task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: colours.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "What colour is {{thing}}?"
doc_to_choice: [green, white, black]
doc_to_target: "{{colour}}"
"""
ANSWERS = """
task: sums
dataset_path: json
dataset_kwargs: {data_files: sums.jsonl}
test_split: train
fewshot_split: train
num_fewshot: 1
output_type: generate_until
doc_to_text: "What is {{a}} plus {{b}}?"
doc_to_target: "{{ a + b }}"
generation_kwargs: {until: ["."], max_gen_toks: 8}
metric_list: [{metric: exact_match, ignore_case: true}]
"""
THINGS = [
    {"thing": f"{name} {i}", "colour": c} for i in range(8) for name, c in (("grass", "green"), ("snow", "white"))
]
installed = pytest.mark.skipif(not is_installed(), reason="needs requirements-lm-eval.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both kinds of task."""
    (tmp_path / "colours.yaml").write_text(CHOICES)
    (tmp_path / "colours.jsonl").write_text("\n".join(map(json.dumps, THINGS)))
    (tmp_path / "sums.yml").write_text(ANSWERS)
    (tmp_path / "sums.jsonl").write_text("\n".join(json.dumps({"a": a, "b": 2}) for a in range(4)))
    return tmp_path


def test_tasks_come_with_their_rows(folder: Path) -> None:
    colours, sums = read_tasks(folder)
    assert (colours.name, sums.name) == ("task_colours", "task_sums")
    assert (colours.config.metric, sums.config.metric) == ("acc", "exact_match")
    assert colours.rows == {"test": THINGS}
    assert len(sums.rows["train"]) == 4


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"{{colour}}"', "!function utils.target", "!function runs code"),
        ('"{{colour}}"', "!!python/name:os.system", "!!python runs code"),
        ("test_split: test", "test_split: test\nprocess_results: utils.judge", "process_results: runs code"),
        ("test_split: test", "test_split: test\n{custom_dataset: x}", "not valid YAML"),
        ("test_split: test", "test_split: test\nunsafe_code: true", "unsafe_code is not a known key"),
        ("test_split: test", "test_split: test\ninclude: /etc/x.yaml", "include is not a known key"),
        ("test_split: test", "test_split: test\nmetric_list: [{metric: bleu}]", "metric_list"),
        ("dataset_path: json", "dataset_path: cais/mmlu", "dataset_path: should be json"),
        ("test: colours.jsonl", "test: ../secret.jsonl", "lies elsewhere"),
        ("test: colours.jsonl", "test: https://example.org/x.jsonl", "lies elsewhere"),
        ("test: colours.jsonl", "test: none.jsonl", "can't be read"),
        ("test_split: test", "test_split: exam", "the split 'exam' has no file"),
        ("test_split: test", "", "needs test_split"),
        ("task: colours", "task: sums", "is taken by"),
        ("task: colours", "task: Colours!", "task"),
    ],
)
def test_what_would_run_code_or_fetch_data_is_refused(folder: Path, old: str, new: str, says: str) -> None:
    (folder / "colours.yaml").write_text(CHOICES.replace(old, new))
    with pytest.raises(UserError, match=r"\.ya?ml") as caught:
        read_tasks(folder)
    assert says in str(caught.value)


@pytest.mark.parametrize(("line", "says"), [("[1]", "line 17 is no JSON object"), ("{", "line 17 is no JSON object")])
def test_a_line_that_is_no_row_is_named(folder: Path, line: str, says: str) -> None:
    with (folder / "colours.jsonl").open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(UserError, match=says):
        read_tasks(folder)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no YAML files"):
        read_tasks(tmp_path / "none")


@installed
def test_a_model_scores_0_or_1_a_question_without_any_connection(
    folder: Path, tiny_base: Path, tuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    asked = load_base(tiny_base)
    colours, sums = score_tasks(*asked, read_tasks(folder), tuning.system_prompt, subject="candidate")
    assert (colours.dataset, sums.dataset) == ("task_colours", "task_sums")
    assert set(colours.scores["task_colours"]) <= {0.0, 1.0}
    assert len(colours.example_ids) == len({*colours.example_ids}) == len(THINGS)
    assert len(sums.scores["task_sums"]) == 4
    # Whatever it says, it says it to both alike: whether a thing is green is a matter of the right answer alone.
    (folder / "colours.jsonl").write_text("\n".join(json.dumps(row | {"colour": "black"}) for row in THINGS))
    black, _ = score_tasks(*asked, read_tasks(folder), tuning.system_prompt, subject="candidate")
    assert sum(colours.scores["task_colours"]) + sum(black.scores["task_colours"]) <= len(THINGS)
    gate = GateConfig.model_construct(metric="task_colours", better_than=None, no_worse_than="base", by=0.05, one_of="")
    (row,) = judge([gate], {"task_colours": colours}, {"task_colours": colours}, None)
    assert not row.passed
    assert "16 rows are too few" in row.reason
    more = [row | {"thing": f"{row['thing']}{i}"} for row in THINGS for i in range(5)]
    (folder / "colours.jsonl").write_text("\n".join(map(json.dumps, more)))
    twice, _ = score_tasks(*asked, read_tasks(folder), tuning.system_prompt, subject="candidate")
    (row,) = judge([gate], {"task_colours": twice}, {"task_colours": twice}, None)
    assert (row.passed, row.difference, row.rows) == (True, 0.0, 80)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ nowhere }}",
        "{{ thing",
        "{{ thing | regex_replace('g', '') }}",
        "{{ thing + 1 }}",
    ],
)
def test_a_template_that_reaches_out_or_is_broken_is_named(folder: Path, template: str) -> None:
    (folder / "colours.yaml").write_text(CHOICES.replace("What colour is {{thing}}?", template))
    with pytest.raises(UserError, match="its questions can't be made of its rows") as caught:
        read_tasks(folder)
    assert "colours.yaml" in str(caught.value)
    assert "grass" not in str(caught.value)


def test_a_task_takes_nothing_from_the_environment(folder: Path) -> None:
    (folder / "colours.yaml").write_text(CHOICES.replace("What colour", "${HOME} or ${NOWHERE}: what colour"))
    assert read_tasks(folder)[0].config.doc_to_text.startswith("${HOME} or ${NOWHERE}: ")
