"""The owner's own tasks, as lm-evaluation-harness writes them: a folder of YAML files with their questions beside.

Only what asks and compares is taken from a file; what would run code or fetch data is refused before the harness sees
it, and its templates run in Jinja's sandbox. A task scores each of its questions 0 or 1.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from sovereign_tasks.errors import UserError
from sovereign_tasks.records import EvalReport, keyed_hash
from sovereign_tasks.strict_yaml import StrictConfig, parse

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

HARNESS, TASK = "lm_eval", "task_"
BATCH, LONGEST, SCORES_BYTES = 16, 2048, 2 << 30
"""Questions asked at once, at most; tokens that one may have, and memory for the scores of all their tokens."""
_BROKEN = (LookupError, TypeError, ValueError, SyntaxError, ArithmeticError, AttributeError, RuntimeError)
SEED = 7  # of the solved questions that are shown before the asked one
_CODE = re.compile(
    r"!function\b|!!python\b|^ {0,8}(?:class|custom_dataset|process_docs|process_results):", re.MULTILINE
)


class DataConfig(StrictConfig):
    """Where a task's questions lie."""

    data_files: str | dict[str, str]
    """A JSON-lines file beside the task (its split is then "train"), or one for each split."""

    @property
    def by_split(self) -> dict[str, str]:
        """The files by their splits."""
        return {"train": self.data_files} if isinstance(self.data_files, str) else self.data_files


class MetricConfig(StrictConfig):
    """How an answer is held against the right one."""

    metric: Literal["acc", "acc_norm", "exact_match"]
    aggregation: Literal["mean"] = "mean"
    higher_is_better: Literal[True] = True
    ignore_case: bool = False
    ignore_punctuation: bool = False
    ignore_numbers: bool = False


class GenerationConfig(StrictConfig):
    """When an answer ends."""

    until: list[str] = Field(["\n\n"])
    max_gen_toks: int = Field(64, ge=1, le=1024)
    do_sample: Literal[False] = False


class TaskConfig(StrictConfig):
    """What is understood of a task file."""

    task: str = Field(pattern="^[a-z0-9][a-z0-9_]{0,59}$")
    task_alias: str | None = None
    tag: str | list[str] | None = None
    dataset_path: Literal["json"]
    dataset_kwargs: DataConfig
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    fewshot_split: str | None = None
    num_fewshot: int = Field(0, ge=0, le=50)
    output_type: Literal["multiple_choice", "generate_until"]
    description: str = ""
    doc_to_text: str
    doc_to_target: str | int
    doc_to_choice: str | list[str] | None = None
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    generation_kwargs: GenerationConfig | None = None
    metric_list: list[MetricConfig] = Field([], max_length=1)
    metadata: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> TaskConfig:
        splits = [self.training_split, self.validation_split, self.test_split, self.fewshot_split]
        if self.test_split is None and self.validation_split is None:
            raise ValueError("needs test_split: the split whose questions are asked")
        if missing := next((s for s in splits if s is not None and s not in self.dataset_kwargs.by_split), None):
            raise ValueError(f"the split {missing!r} has no file in dataset_kwargs.data_files")
        if self.output_type == "multiple_choice" and self.doc_to_choice is None:
            raise ValueError("multiple_choice needs doc_to_choice")
        if self.output_type == "generate_until" and self.metric != "exact_match":
            raise ValueError("generate_until is judged by exact_match alone")
        return self

    @property
    def metric(self) -> str:
        """How its answers are judged."""
        if self.metric_list:
            return self.metric_list[0].metric
        return "acc" if self.output_type == "multiple_choice" else "exact_match"


@dataclass(frozen=True)
class Task:
    """A task with its rows by split; `path` is the file that states it."""

    path: Path
    config: TaskConfig
    rows: dict[str, list[dict[str, Any]]]

    @property
    def name(self) -> str:
        """The metric that it makes."""
        return metric_of(self.config.task)

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The rows whose questions are asked."""
        return self.rows[self.config.test_split or self.config.validation_split]

    @property
    def asked_ids(self) -> list[str]:
        """Their ids, in order: equal rows have one."""
        return [keyed_hash(self.name, json.dumps(row, sort_keys=True)) for row in self.asked]


def metric_of(task: str) -> str:
    """The metric of a task."""
    return TASK + task


def is_installed() -> bool:
    """Whether the harness is."""
    return importlib.util.find_spec(HARNESS) is not None


def read_tasks(folder: Path) -> list[Task]:
    """The tasks of a folder, by name; a `UserError` names the file and what is wrong with it."""
    files = sorted(p for p in folder.glob("*.y*ml") if p.suffix in (".yaml", ".yml")) if folder.is_dir() else []
    if not files:
        raise UserError(f"general.tasks: {folder} has no YAML files; put a task there, or leave the key out.")
    tasks: dict[str, Task] = {}
    for path in files:
        task = _read(path)
        if task.name in tasks:
            raise UserError(f"{path}: task: {task.config.task!r} is taken by {tasks[task.name].path.name}; rename one.")
        tasks[task.name] = task
    return [tasks[name] for name in sorted(tasks)]


def score_tasks(
    model: Any, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[Task], system_prompt: str, *, subject: str
) -> list[EvalReport]:
    """Ask a model every task's questions, as chats under its system prompt; a report of each task, of 0 or 1 a row."""
    import lm_eval.evaluator
    from jinja2 import TemplateError
    from lm_eval.models.huggingface import HFLM

    logging.getLogger(HARNESS).setLevel(logging.ERROR)  # it warns with whole rows
    _shut_templates_in()
    asked = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=_at_once(model))
    reports = []
    for task in tasks:
        try:
            told = lm_eval.evaluator.evaluate(
                lm=asked,
                task_dict={"tasks": {task.name: _for_harness(task)}},
                bootstrap_iters=0,
                system_instruction=system_prompt or None,
                apply_chat_template=True,
                fewshot_as_multiturn=True,
            )
        except (TemplateError, *_BROKEN) as e:
            raise _does_not_fit(task, e) from None
        scores = {s["doc_id"]: float(s[task.config.metric]) for s in told["samples"][task.name]}
        ids = task.asked_ids
        values: list[float | None] = [scores[i] for i in range(len(ids))]
        reports.append(EvalReport(subject, task.name, ids, ids, {task.name: values}))
    return reports


def _at_once(model: Any) -> int:
    """How many questions are asked at once: the harness keeps every token's scores twice."""
    each = 2 * LONGEST * model.config.get_text_config().vocab_size * model.dtype.itemsize
    return max(1, min(BATCH, SCORES_BYTES // each))


def _read(path: Path) -> Task:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as e:
        raise UserError(f"{path}: can't be read: {e}.") from None
    if match := _CODE.search(text):
        raise UserError(
            f"{path}: {match[0].strip()} runs code, which no task may do here; write the task with templates alone."
        )
    config = parse(path, TaskConfig, variables=False)  # it may come from elsewhere
    task = Task(path, config, {split: _rows(path, name) for split, name in config.dataset_kwargs.by_split.items()})
    _try_templates(task)
    return task


def _try_templates(task: Task) -> None:
    """Raise a `UserError` where the first row that is asked about does not fit the templates."""
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    config, shut = task.config, SandboxedEnvironment(undefined=StrictUndefined)
    choices = config.doc_to_choice if isinstance(config.doc_to_choice, list) else [config.doc_to_choice]
    row = task.asked[0]
    try:
        for template in (config.description, config.doc_to_text, config.doc_to_target, *choices):
            if isinstance(template, str):
                shut.from_string(template).render(**row)
    except (TemplateError, *_BROKEN) as e:
        raise _does_not_fit(task, e) from None


def _does_not_fit(task: Task, error: Exception) -> UserError:
    return UserError(  # the error's own text may hold a row
        f"{task.path}: its questions can't be made of its rows ({type(error).__name__}); see that the fields which its "
        "templates name are in every row."
    )


def _rows(task: Path, name: str) -> list[dict[str, Any]]:
    path = (task.parent / name).resolve()
    if "://" in name or not path.is_relative_to(task.parent.resolve()):
        raise UserError(f"{task}: data_files: {name} lies elsewhere; put the file into the task's own folder.")
    rows = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    rows.append(_row(line, f"{path}: line {number}"))
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{task}: data_files: {path} can't be read: {e}.") from None
    if not rows:
        raise UserError(f"{task}: data_files: {path} holds no rows.")
    return rows


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise UserError(f"{where} is no JSON object; a JSON-lines file has one in each line.")
    return row


def _for_harness(task: Task) -> Any:
    """The harness's own form of a task, with its rows in hand: nothing is looked up, downloaded or cached."""
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    config = task.config
    ours = {"dataset_path", "dataset_kwargs", "metadata", "metric_list", "generation_kwargs"}
    known = config.model_dump(exclude_none=True, exclude=ours)
    metric: dict[str, Any] = {"metric": config.metric, "aggregation": "mean", "higher_is_better": True}
    if config.output_type == "generate_until":
        known["generation_kwargs"] = (config.generation_kwargs or GenerationConfig()).model_dump()
        metric |= config.metric_list[0].model_dump() if config.metric_list else {}
    rows = {split: Dataset.from_list(of) for split, of in task.rows.items()}
    made = ConfigurableTask(config=known | {"metric_list": [metric], "custom_dataset": lambda **_: rows})
    made.set_fewshot_seed(SEED)
    return made


def _shut_templates_in() -> None:
    """Let the harness's templates run in Jinja's sandbox; a task from elsewhere could run code by them otherwise."""
    from jinja2.sandbox import SandboxedEnvironment
    from lm_eval import utils

    if not isinstance(utils.env, SandboxedEnvironment):
        # Without the harness's own filter of regular expressions, which may take for ever.
        utils.env = SandboxedEnvironment(undefined=utils.env.undefined, keep_trailing_newline=True)
