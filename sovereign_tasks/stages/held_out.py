"""Which held-out rows watch over a training, and which judge it: where the first had a say, they are left out."""

from __future__ import annotations

from collections.abc import Sequence

from sovereign_tasks.errors import UserError
from sovereign_tasks.gates_config import LEAST_GROUPS
from sovereign_tasks.records import Example, TrainingRun, keyed_hash
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.snapshots import load_splits
from sovereign_tasks.train.search import validation_rows
from sovereign_tasks.training_config import TrainingConfig

CHOOSING = 5
"""Groups by which adapters are told apart, at least."""


def watching(training: TrainingConfig, held_out: Sequence[Example]) -> list[Example]:
    """The rows that a training is watched by; where they are to choose, enough groups are left for the gates."""
    return validation_rows(held_out, leave=LEAST_GROUPS if training.chooses else 0)


def check_choice(context: Context, held_out: Sequence[Example]) -> None:
    """Raise a `UserError` where rows are to choose among adapters and too few would be left to judge the choice."""
    needed, found = LEAST_GROUPS + CHOOSING, len({example.group for example in held_out})
    if context.config.training.chooses and found < needed:
        raise UserError(
            f"{context.model}: a search, start: both and patience choose by held-out rows, which then don't count at "
            f"the gates: that takes {needed} held-out groups, and there are {found}; do without until there are more, "
            "or raise dataset.holdout_share."
        )


def names_of(rows: Sequence[Example]) -> list[str]:
    """The groups of rows as a training keeps them: by keyed hashes, since a page's address may name a person."""
    return sorted({keyed_hash("held out", example.group) for example in rows})


def judging(context: Context, made: TrainingRun) -> list[Example]:
    """The held-out rows of a training's snapshot, without those that chose it or what it began with."""
    rows = load_splits(context, context.ledger.snapshot(context.model, made.snapshot))["holdout"]
    chose = {name for training in (made, *context.ledger.ancestors(made)) for name in training.chosen_by}
    return [example for example in rows if not chose or keyed_hash("held out", example.group) not in chose]
