"""What goes on beside the training steps: progress, marked checkpoints, and what ends a training before its time."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import sort_checkpoints

from sovereign_tasks.errors import Paused, UserError
from sovereign_tasks.train.window import Window

MARKER = "complete"
NAMES = ("loss", "eval_loss", "grad_norm", "learning_rate")
STRETCH, DIVERGED = 20, 1.25


class Watch(TrainerCallback):
    """Reports and times each step, marks a checkpoint once it is whole, and ends a training that must not go on.

    That is one whose loss is no number or has diverged, whose hours are over, or of which `check` raises that it must
    end, since its lease was lost, say.
    """

    def __init__(
        self,
        progress: Callable[[int, int, float], None] | None = None,
        on_metrics: Callable[[int, dict[str, float]], None] | None = None,
        check: Callable[[], None] | None = None,
        window: Window | None = None,
    ) -> None:
        self.progress = progress
        self.on_metrics = on_metrics
        self.check = check
        self.window = window or Window(None)
        self.steps, self.seconds, self._began = 0, 0.0, 0.0
        self._losses: list[float] = []  # the first STRETCH and the last STRETCH, of which no more is asked

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]  # of a training that is resumed
        self._losses = losses[:STRETCH] + losses[STRETCH:][-STRETCH:]

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.steps, self.seconds = self.steps + 1, self.seconds + time.perf_counter() - self._began
        if self.check:
            self.check()
        ends_pass = abs(state.epoch - round(state.epoch)) < 1e-6  # which is judged first, and saved then if need be
        if self._is_over(state, control) and not ends_pass:
            control.should_save = True
        if args.load_best_model_at_end and state.global_step % int(args.save_steps) == 0:
            control.should_save = True  # passes are saved anyway, but may be long

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        values = measured(logs or {})
        # In fp16 the first gradients overflow until their scale is found; such steps are skipped by the library.
        for name in ("loss", "eval_loss", *(() if args.fp16 else ("grad_norm",))):
            if not math.isfinite(values.get(name, 0)):
                raise UserError(f"training: {name} is {values[name]} {_ended(args, state)}")
        if "loss" in values:
            self._losses.append(values["loss"])
            del self._losses[STRETCH:-STRETCH]
        if has_diverged(self._losses):
            first, last = self._losses[:STRETCH], self._losses[-STRETCH:]
            raise UserError(
                f"training: the loss rose from {fmean(first):.2f} to {fmean(last):.2f} {_ended(args, state)}"
            )
        if self.on_metrics and values:
            self.on_metrics(state.global_step, values)
        if self.progress and "loss" in values:
            self.progress(state.global_step, state.max_steps, values["loss"])

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # Saves are not atomic: the marker goes in last.
        Path(args.output_dir, f"checkpoint-{state.global_step}", MARKER).touch()
        if self._is_over(state, control):
            until = self.window.opens(_now())
            raise Paused(
                f"training: its hours are over after step {state.global_step} of {state.max_steps}; it goes on at "
                f"{until:%H:%M}.",
                until,
            )

    def _is_over(self, state: TrainerState, control: TrainerControl) -> bool:
        unfinished = state.global_step < state.max_steps and not control.should_training_stop
        return unfinished and not self.window.is_open(_now())


def has_diverged(losses: list[float]) -> bool:
    """Whether the loss over the last STRETCH steps is more than DIVERGED times that over the first."""
    return len(losses) >= 2 * STRETCH and fmean(losses[-STRETCH:]) > DIVERGED * fmean(losses[:STRETCH])


def _ended(args: TrainingArguments, state: TrainerState) -> str:
    kept = newest_checkpoint(Path(args.output_dir))
    good = (
        f"the last good checkpoint is that of step {Path(kept).name.rpartition('-')[2]}"
        if kept
        else "there is no checkpoint yet"
    )
    return (
        f"at step {state.global_step} of {state.max_steps}, and {good}; lower training.learning_rate or look at the "
        "newest examples."
    )


def _now() -> datetime:
    return datetime.now().astimezone()


def measured(logs: dict[str, Any]) -> dict[str, float]:
    """What of the trainer's log belongs on a curve."""
    return {name: float(logs[name]) for name in NAMES if name in logs}


def newest_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written whole, if any."""
    whole = [path for path in sort_checkpoints(str(folder)) if (Path(path) / MARKER).exists()]
    return whole[-1] if whole else None


def drop_partial_checkpoints(folder: Path) -> None:
    """Remove what a kill in mid-save left: it would count among those that are kept."""
    for path in map(Path, sort_checkpoints(str(folder))):
        if not (path / MARKER).exists():
            shutil.rmtree(path)
