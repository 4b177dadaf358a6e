"""The owner's tasks of general ability (general.tasks): asked of every model that is compared, one gate for each."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from sovereign_tasks.collect.local import locate
from sovereign_tasks.config import ModelConfig
from sovereign_tasks.errors import UserError
from sovereign_tasks.evaluate.compare import may_lose
from sovereign_tasks.evaluate.tasks import Task, is_installed, read_tasks, score_tasks
from sovereign_tasks.gates_config import LEAST_GROUPS, GateConfig
from sovereign_tasks.records import EvalReport

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def tasks_of(config: ModelConfig) -> list[Task]:
    """The model's tasks; none unless a folder is named. A `UserError` says what hinders them."""
    if config.general.tasks is None:
        return []
    tasks = read_tasks(locate(config.general.tasks))
    loss = config.general.allowed_loss
    needed = next(n for n in count(LEAST_GROUPS) if may_lose(n) < loss)
    for task in tasks:
        asked = len({*task.asked_ids})
        if asked < needed:
            raise UserError(
                f"{task.path}: asks {asked} questions, by which no model could prove a loss of at most {loss:g}: that "
                f"takes {needed}; add some, or raise general.allowed_loss."
            )
    if not is_installed():
        raise UserError(
            f"{config.model}: general.tasks needs lm-evaluation-harness, which is not installed here: install "
            "requirements-lm-eval.txt (docs/general-ability.md), or leave the key out."
        )
    return tasks


def ask_tasks(
    config: ModelConfig, model: Any, tokenizer: PreTrainedTokenizerFast, subject: str
) -> dict[str, EvalReport]:
    """A model's report of each task, by its name."""
    if not (tasks := tasks_of(config)):
        return {}
    reports = score_tasks(model, tokenizer, tasks, config.training.system_prompt, subject=subject)
    return {report.dataset: report for report in reports}


def gates_of(config: ModelConfig) -> list[GateConfig]:
    """One gate for each task: no worse than the base by more than the loss that is allowed."""
    loss = config.general.allowed_loss
    # Such a metric is in no model file, so it is not among those that the type admits.
    return [
        GateConfig.model_construct(metric=task.name, better_than=None, no_worse_than="base", by=loss, one_of="")
        for task in tasks_of(config)
    ]
