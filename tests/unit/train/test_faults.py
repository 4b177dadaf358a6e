"""A training that meets trouble: no memory, a loss that runs away, hours that end, a lease that is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest
import torch
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from sovereign_tasks.errors import Paused, TransientError, UserError
from sovereign_tasks.train import callbacks
from sovereign_tasks.train.callbacks import STRETCH, Watch, has_diverged, newest_checkpoint
from sovereign_tasks.train.qlora import train
from sovereign_tasks.train.window import Window
from sovereign_tasks.training_config import TrainingConfig


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, 4, hour, minute).astimezone()


NIGHT = {"window": "20:00-06:00"}


class Clock:
    """What time it is for a training, whose hours may be made to end at a step."""

    def __init__(self) -> None:
        self.now = at(5)

    def ends_hours_after(self, last: int) -> Callable[..., None]:
        """A `progress` by which the hours end with that step."""
        self.now = at(5)

        def tick(step: int, *_) -> None:
            self.now = at(6) if step == last else self.now

        return tick


@pytest.fixture
def nightly(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of a training that is to run from eight in the evening to six."""
    clock = Clock()
    monkeypatch.setattr(callbacks, "_now", lambda: clock.now)
    return clock


@pytest.fixture(params=[0, 10])
def roomy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A memory that from some step on holds two rows and no more, and the sizes of the passes that were tried."""
    tried: list[int] = []
    step = Trainer.training_step

    def limited(trainer, model, inputs, *rest):
        tried.append(len(inputs["input_ids"]))
        if tried[-1] > 2 and trainer.state.global_step >= request.param:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return step(trainer, model, inputs, *rest)

    monkeypatch.setattr(Trainer, "training_step", limited)
    return tried


def test_rows_that_do_not_fit_are_halved_and_updates_stay(
    roomy: list[int], domain, tuning: TrainingConfig, tiny_base: Path, tmp_path: Path, caplog
) -> None:
    steps: list[int] = []
    with caplog.at_level(logging.WARNING):
        result = train(
            domain.train[:40], tuning, tiny_base, tmp_path / "adapter", progress=lambda step, *_: steps.append(step)
        )
    assert (result.batch_size, result.steps) == (2, 3 * 7)  # 40 and 12 general rows, 8 an update
    assert {8, 4, 2} <= set(roomy)
    # A step that was lost is made again, from the newest checkpoint on, and none is left out.
    assert list(dict.fromkeys(steps)) == list(range(1, 22))
    # Every row of a pass still comes once: 52 in the last.
    assert sum(roomy[-26:]) == 52
    assert "going on with 4" in caplog.text
    assert "going on with 2" in caplog.text


def test_no_room_for_one_row_is_a_sentence(domain, tuning, tiny_base, tmp_path, monkeypatch) -> None:
    def full(*inputs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Trainer, "training_step", full)
    with pytest.raises(UserError, match=r"no room for a single row; lower training\.max_length \(256\)"):
        train(domain.train[:8], tuning, tiny_base, tmp_path / "adapter")


def test_another_fault_of_the_library_is_not_taken_for_memory(domain, tuning, tiny_base, tmp_path, monkeypatch) -> None:
    def broken(*inputs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Trainer, "training_step", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        train(domain.train[:8], tuning, tiny_base, tmp_path / "adapter")


@pytest.mark.parametrize(
    ("later", "diverged"),
    [
        ([3.9] * 20, True),
        ([3.5] * 20, False),
        ([9.0, 0.2] * 10, True),
        ([3.9] * 19, False),
        ([0.1] * 40 + [0.9] * 20, False),
    ],
)
def test_a_loss_far_above_where_it_began_has_diverged(later: list[float], diverged: bool) -> None:
    assert has_diverged([3.0] * 20 + later) is diverged


@pytest.mark.parametrize("resumed_at", [0, 5, 25, 60])
def test_a_loss_that_runs_away_ends_the_training_at_the_same_step_resumed_or_not(
    resumed_at: int, tmp_path: Path
) -> None:
    rng = Random(2)
    losses = [3 - 2 * step / 100 + rng.random() + (step > 90) * (step - 90) / 4 for step in range(1, 140)]
    end = next(n for n in range(len(losses)) if has_diverged(losses[:n]))
    assert end > 100
    args, state, control = TrainingArguments(str(tmp_path), use_cpu=True), TrainerState(), TrainerControl()
    watch = Watch()
    watch.on_train_begin(args, state, control)
    watch.on_log(args, state, control, logs={"loss": 0.1})  # of a try that ended for want of memory
    state.log_history = [{"loss": loss} for loss in losses[:resumed_at]] + [{"eval_loss": 9.0}]
    watch.on_train_begin(args, state, control)
    for step, loss in enumerate(losses[resumed_at : end - 1], resumed_at + 1):
        state.global_step = step
        watch.on_log(args, state, control, logs={"loss": loss})
        watch.on_log(args, state, control, logs={"eval_loss": 9.0})
    with pytest.raises(UserError, match="the loss rose from"):
        watch.on_log(args, state, control, logs={"loss": losses[end - 1]})
    assert len(watch._losses) == 2 * STRETCH


def test_a_training_that_breaks_stops_and_its_last_checkpoint_stays(
    domain, tuning, tiny_base, tmp_path, monkeypatch
) -> None:
    step = Trainer.training_step

    def poison(trainer, model, inputs, *rest):
        loss = step(trainer, model, inputs, *rest)
        if trainer.state.global_step == 9:
            next(p for p in model.parameters() if p.grad is not None).grad.fill_(float("nan"))
        return loss

    monkeypatch.setattr(Trainer, "training_step", poison)
    wanted = r"grad_norm is nan at step 10 of 21, and the last good checkpoint is that of step 8; lower training"
    with pytest.raises(UserError, match=wanted):
        train(domain.train[:40], tuning, tiny_base, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
    (work,) = tmp_path.glob(".adapter.*")
    assert newest_checkpoint(work).endswith("checkpoint-8")


def test_a_training_pauses_when_its_hours_are_over_and_ends_as_if_it_had_not(
    nightly: Clock, domain, tuning: TrainingConfig, tiny_base: Path, tmp_path: Path
) -> None:
    whole = train(domain.train[:40], tuning, tiny_base, tmp_path / "whole")
    settings = tuning.model_copy(update=NIGHT)
    with pytest.raises(Paused, match=r"after step 6 of 21; it goes on at 20:00") as paused:
        train(domain.train[:40], settings, tiny_base, tmp_path / "adapter", progress=nightly.ends_hours_after(5))
    assert paused.value.until == at(20)
    nightly.now, steps = at(21), []
    result = train(domain.train[:40], settings, tiny_base, tmp_path / "adapter", progress=lambda s, *_: steps.append(s))
    assert steps == list(range(7, 22))
    assert result.adapter_hash == whole.adapter_hash


def test_a_save_that_was_cut_off_costs_no_whole_one(
    nightly: Clock, domain, tuning: TrainingConfig, tiny_base: Path, tmp_path: Path
) -> None:
    whole = train(domain.train[:40], tuning, tiny_base, tmp_path / "whole")
    settings = tuning.model_copy(update=NIGHT)
    with pytest.raises(Paused):
        train(domain.train[:40], settings, tiny_base, tmp_path / "adapter", progress=nightly.ends_hours_after(3))
    (work,) = tmp_path.glob(".adapter.*")
    (work / "checkpoint-9").mkdir()  # a later try was killed as it saved
    with pytest.raises(Paused, match="after step 6"):
        train(domain.train[:40], settings, tiny_base, tmp_path / "adapter", progress=nightly.ends_hours_after(5))
    assert newest_checkpoint(work) == str(work / "checkpoint-6")
    nightly.now = at(5)
    assert train(domain.train[:40], settings, tiny_base, tmp_path / "adapter").adapter_hash == whole.adapter_hash


@pytest.mark.parametrize(
    ("hours", "open_at", "closed_at", "opens"),
    [
        ("20:00-06:00", [at(20), at(23), at(5, 59)], [at(6), at(12)], at(20)),
        ("09:30-17:00", [at(9, 30), at(16)], [at(17), at(23)], at(9, 30) + timedelta(days=1)),
    ],
)
def test_hours_may_run_over_midnight(hours: str, open_at, closed_at, opens: datetime) -> None:
    window = Window(hours)
    assert all(map(window.is_open, open_at))
    assert not any(map(window.is_open, closed_at))
    assert {window.opens(moment) for moment in closed_at} == {opens}
    assert Window(None).is_open(at(3))


def test_a_lost_lease_ends_the_training_at_the_next_step(domain, tuning, tiny_base, tmp_path) -> None:
    def lost() -> None:
        raise TransientError("held by another")

    with pytest.raises(TransientError, match="held by another"):
        train(domain.train[:8], tuning, tiny_base, tmp_path / "adapter", check=lost)


def test_what_no_longer_learns_stops_early_with_its_best(
    domain, tuning: TrainingConfig, tiny_base: Path, tmp_path: Path
) -> None:
    curve: dict[int, float] = {}
    patient = tuning.model_copy(update={"patience": 1, "epochs": 40.0, "learning_rate": 3e-2})
    result = train(
        domain.train[:24],
        patient,
        tiny_base,
        tmp_path / "adapter",
        validation=domain.holdout[:12],
        on_metrics=lambda step, values: curve.update({step: values["eval_loss"]} if "eval_loss" in values else {}),
    )
    losses = list(curve.values())
    assert 2 <= len(losses) < 40
    assert losses[-1] >= min(losses) == losses[-2]
    assert result.metrics["eval_loss"] == pytest.approx(min(losses))
