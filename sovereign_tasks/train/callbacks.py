"""What goes on beside the training steps: progress, marked checkpoints, a stop when the loss is no number."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint, sort_checkpoints

from sovereign_tasks.errors import UserError

MARKER = "complete"
NAMES = ("loss", "eval_loss", "grad_norm", "learning_rate")


class Watch(TrainerCallback):
    """Reports each step, stops at a loss that is no number, and marks a checkpoint once it is whole."""

    def __init__(
        self,
        progress: Callable[[int, int, float], None] | None,
        on_metrics: Callable[[int, dict[str, float]], None] | None,
    ) -> None:
        self.progress = progress
        self.on_metrics = on_metrics

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        values = measured(logs or {})
        for name in values.keys() & {"loss", "eval_loss"}:
            if not math.isfinite(values[name]):
                raise UserError(
                    f"training: {name} is {values[name]} at step {state.global_step} of {state.max_steps}; "
                    "lower training.learning_rate or look at the newest examples."
                )
        if self.on_metrics and values:
            self.on_metrics(state.global_step, values)
        if self.progress and "loss" in values:
            self.progress(state.global_step, state.max_steps, values["loss"])

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        folder = get_last_checkpoint(str(args.output_dir))
        if folder:  # saves are not atomic: the marker goes in last
            (Path(folder) / MARKER).touch()


def measured(logs: dict[str, Any]) -> dict[str, float]:
    """What of the trainer's log belongs on a curve."""
    return {name: float(logs[name]) for name in NAMES if name in logs}


def newest_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written whole, if any."""
    whole = [path for path in sort_checkpoints(str(folder)) if (Path(path) / MARKER).exists()]
    return whole[-1] if whole else None
