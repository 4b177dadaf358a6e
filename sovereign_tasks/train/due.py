"""Whether enough is new for another training."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sovereign_tasks.config import RetrainConfig
from sovereign_tasks.records import Taint


@dataclass(frozen=True)
class Due:
    """The verdict and its reason, in a sentence that names the figures."""

    due: bool
    reason: str
    new_examples: int


NOTHING_HELD_OUT = (
    "the snapshot holds out no example to judge a model by; add documents or sources, or raise dataset.holdout_share "
    "for those that are to come"
)


def is_due(taint: Taint, config: RetrainConfig) -> bool:
    """Whether a champion tainted so has to be replaced."""
    return taint.on_request or taint.rows >= config.max_erased


def decide(
    current: set[str],
    learned: set[str],
    last_training: datetime | None,
    now: datetime,
    config: RetrainConfig,
    *,
    held_out: int,
    taint: Taint | None = None,
    changed: str = "",
) -> Due:
    """Compare the training rows of the newest snapshot with those of the last one trained on.

    `current` and `learned` are example ids; `last_training` is None before the first training; `held_out` counts the
    snapshot's held-out rows; `taint` is the champion's, of what was erased since; `changed` says what else is different
    from the last training, if anything is.
    """
    fresh, needed = len(current - learned), config.min_new_examples
    gone = len(learned - current)
    counted = f"{fresh} new training examples ({gone} gone) of {needed} needed"
    if not held_out:
        return Due(False, f"{counted}: not due, since {NOTHING_HELD_OUT}", fresh)
    if fresh >= needed:
        return Due(True, f"{counted}: due", fresh)
    if taint is not None and is_due(taint, config):
        how = " on request" if taint.on_request else ""
        lost = f"{taint.rows} rows that were erased{how}"
        return Due(True, f"{counted}, but the champion learned from {lost}: due", fresh)
    if changed:
        return Due(True, f"{counted}, but {changed} since the last training: due", fresh)
    if last_training is not None and fresh > 0:
        age = (now - last_training).days
        if age >= config.max_age_days:
            return Due(True, f"{counted}, but the last training is {age} days old: due", fresh)
    return Due(False, f"{counted}: not due", fresh)
