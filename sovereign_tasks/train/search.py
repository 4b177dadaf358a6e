"""Which settings a training tries, which held-out rows tell them apart, and which of them goes on to the gates."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from random import Random

from sovereign_tasks.config import TrainingConfig
from sovereign_tasks.records import Example

VALIDATION_ROWS = 48


def variants(training: TrainingConfig) -> dict[str, TrainingConfig]:
    """The trainings that a block asks for, by what tells each from the others; one without a name where it is one.

    Of more combinations than `search.trials` the seed draws as many, the same ones every time.
    """
    plain = training.model_copy(update={"search": None})
    if training.start == "both":
        starts = {"fresh": "fresh", "from the champion": "champion"}
        return {name: plain.model_copy(update={"start": start}) for name, start in starts.items()}
    search = training.search
    if search is None:
        return {"": training}
    axes = {"rank": search.rank, "learning_rate": search.learning_rate, "epochs": search.epochs}
    tried = {name: values for name, values in axes.items() if values}
    combinations = list(product(*tried.values()))
    if len(combinations) > search.trials:
        drawn = Random(training.seed).sample(range(len(combinations)), search.trials)  # noqa: S311
        combinations = [combinations[i] for i in sorted(drawn)]
    return {
        ", ".join(f"{name} {value:g}" for name, value in zip(tried, values, strict=True)): _set(
            plain, dict(zip(tried, values, strict=True))
        )
        for values in combinations
    }


def best(losses: Mapping[str, float]) -> str:
    """The trial with the lowest held-out loss; of equals the first."""
    return min(losses, key=losses.__getitem__)


def validation_rows(held_out: Sequence[Example]) -> list[Example]:
    """The held-out rows that a training is watched by: whole groups, about VALIDATION_ROWS rows, half of the groups at
    most.

    Where they had a say in which adapter it became, it is judged by the others alone.
    """
    groups: defaultdict[str, list[Example]] = defaultdict(list)
    for example in held_out:
        groups[example.group].append(example)
    rows: list[Example] = []
    ordered = sorted(groups, key=lambda group: hashlib.sha256(group.encode()).digest())
    for group in ordered[: max(1, len(ordered) // 2)]:
        if len(rows) >= VALIDATION_ROWS:
            break
        rows += groups[group]
    return rows


def _set(training: TrainingConfig, values: dict[str, float]) -> TrainingConfig:
    changes: dict[str, object] = {name: value for name, value in values.items() if name != "rank"}
    if "rank" in values:
        rank, lora = int(values["rank"]), training.lora
        alpha = max(1, round(lora.alpha * rank / lora.rank))
        changes["lora"] = lora.model_copy(update={"rank": rank, "alpha": alpha})
    return training.model_copy(update=changes)
