"""A training that meets trouble: no memory, a loss that runs away, hours that end, a lease that is lost."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import torch
from transformers import Trainer

from sovereign_tasks.config import TrainingConfig
from sovereign_tasks.errors import Paused, TransientError, UserError
from sovereign_tasks.train import callbacks
from sovereign_tasks.train.callbacks import has_diverged, newest_checkpoint
from sovereign_tasks.train.qlora import train
from sovereign_tasks.train.window import Window


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, 4, hour, minute).astimezone()


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
    domain, tuning: TrainingConfig, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly = tuning.model_copy(update={"window": "20:00-06:00"})
    whole = train(domain.train[:40], tuning, tiny_base, tmp_path / "whole")
    now = [at(5)]
    monkeypatch.setattr(callbacks, "_now", lambda: now[0])

    def tick(step: int, *_) -> None:
        now[0] = at(6) if step == 5 else now[0]

    with pytest.raises(Paused, match=r"after step 6 of 21; it goes on at 20:00") as paused:
        train(domain.train[:40], nightly, tiny_base, tmp_path / "adapter", progress=tick)
    assert paused.value.until == at(20)
    now[0], steps = at(21), []
    result = train(domain.train[:40], nightly, tiny_base, tmp_path / "adapter", progress=lambda s, *_: steps.append(s))
    assert steps == list(range(7, 22))
    assert result.adapter_hash == whole.adapter_hash


def test_a_save_that_was_cut_off_costs_no_whole_one(
    domain, tuning: TrainingConfig, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly = tuning.model_copy(update={"window": "20:00-06:00"})
    whole = train(domain.train[:40], tuning, tiny_base, tmp_path / "whole")
    now = [at(5)]
    monkeypatch.setattr(callbacks, "_now", lambda: now[0])

    def stop_after(last: int):
        def tick(step: int, *_) -> None:
            now[0] = at(6) if step == last else now[0]

        return tick

    with pytest.raises(Paused):
        train(domain.train[:40], nightly, tiny_base, tmp_path / "adapter", progress=stop_after(3))
    (work,) = tmp_path.glob(".adapter.*")
    (work / "checkpoint-9").mkdir()  # a later try was killed as it saved
    now[0] = at(5)
    with pytest.raises(Paused, match="after step 6"):
        train(domain.train[:40], nightly, tiny_base, tmp_path / "adapter", progress=stop_after(5))
    assert newest_checkpoint(work) == str(work / "checkpoint-6")
    now[0] = at(5)
    assert train(domain.train[:40], nightly, tiny_base, tmp_path / "adapter").adapter_hash == whole.adapter_hash


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
