"""One training on several processes: the same steps as on one, and one end for all of them."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file, save_file

from sovereign_tasks.errors import Paused, TransientError, UserError
from sovereign_tasks.train.qlora import Result, train
from sovereign_tasks.training_config import LoraConfig, TrainingConfig

ROOT = Path(__file__).parents[3]
NOTE_WEIGHTS = """
import hashlib, os, pathlib, transformers
whole = transformers.Trainer.train
def train(self, *args, **kwargs):
    out = whole(self, *args, **kwargs)
    tuned = [p.detach().cpu().numpy().tobytes() for p in self.model.parameters() if p.requires_grad]
    note = pathlib.Path(os.environ["NOTES"], "weights-" + os.environ["RANK"])
    note.write_text(hashlib.sha256(b"".join(tuned)).hexdigest())
    return out
if "RANK" in os.environ:
    transformers.Trainer.train = train
"""
NO_ROOM_FOR_FOUR = """
import os, torch, transformers
step = transformers.Trainer.training_step
def limited(self, model, inputs, *rest):
    if len(inputs["input_ids"]) > 2 and self.state.global_step == 3 and os.environ["RANK"] == "1":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return step(self, model, inputs, *rest)
transformers.Trainer.training_step = limited
"""
AS_ON_CARDS = """
import os, pathlib
import accelerate.state, transformers
import sovereign_tasks.train.methods
begin, whole = accelerate.state.PartialState.__init__, transformers.Trainer.train
def begin_as_on_cards(self, *args, **kwargs):
    fresh = not self.initialized
    begin(self, *args, **kwargs)
    if fresh:
        self.distributed_type = accelerate.state.DistributedType.MULTI_GPU
def train(self, *args, **kwargs):
    out = whole(self, *args, **kwargs)
    parts = [p for p in self.model.parameters() if hasattr(p, "full_tensor") and not p.requires_grad]
    note = pathlib.Path(os.environ["NOTES"], "base-" + os.environ["RANK"])
    note.write_text(f"{sum(p.to_local().numel() for p in parts)} {sum(p.numel() for p in parts)}")
    return out
if "RANK" in os.environ:
    accelerate.state.PartialState.__init__ = begin_as_on_cards
    sovereign_tasks.train.methods.is_checkpointed = lambda *_, **__: True
    transformers.Trainer.train = train
"""
ORPHANED = """
import os, signal, sys
from pathlib import Path
import psutil
sys.path.insert(0, sys.argv[1])
from conftest import make_domain
from sovereign_tasks.training_config import TrainingConfig
from sovereign_tasks.train.qlora import train
def tell(step, *_):
    if step == 2:
        Path(sys.argv[4], "pids").write_text(" ".join(str(child.pid) for child in psutil.Process().children()))
        os.kill(os.getpid(), signal.SIGKILL)
train(make_domain().train[:80], TrainingConfig.model_validate_json(sys.argv[2]), Path(sys.argv[3]),
      Path(sys.argv[4], "adapter"), progress=tell)
"""


@pytest.fixture(scope="module")
def steady(tuning: TrainingConfig) -> TrainingConfig:
    """Settings whose every step follows from the rows alone."""
    return tuning.model_copy(update={"lora": LoraConfig(rank=8, alpha=16, dropout=0.0)})


@pytest.fixture(scope="module")
def two(tuning: TrainingConfig) -> TrainingConfig:
    return tuning.model_copy(update={"gpus": 2, "epochs": 2.0})


@pytest.fixture
def in_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets every process that a training starts run a piece of code first."""

    def run_first(code: str) -> None:
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'code'}{os.pathsep}{ROOT}")
        monkeypatch.setenv("NOTES", str(tmp_path))

    return run_first


def processes() -> dict[str, psutil.Process]:
    """Those of a training, by rank."""
    return {child.environ()["RANK"]: child for child in psutil.Process().children() if "RANK" in child.environ()}


def test_two_processes_take_the_steps_of_one(
    domain, steady: TrainingConfig, tiny_base: Path, tmp_path: Path, in_each
) -> None:
    in_each(NOTE_WEIGHTS)
    curves: dict[int, list[float]] = {1: [], 2: []}
    reach: list[str] = []

    def training(gpus: int) -> Result:
        def note(step: int, values: dict[str, float]) -> None:
            if "loss" in values:
                curves[gpus].append(values["loss"])
            if gpus == 2 and step == 3:
                sockets = [one for child in processes().values() for one in child.net_connections("inet")]
                reach.extend(one.laddr.ip for one in sockets)

        config = TrainingConfig.model_validate(steady.model_dump() | {"gpus": gpus})
        # 100 rows with the general ones: the last update has 4, which is less than two processes take.
        return train(domain.train[:77], config, tiny_base, tmp_path / f"of-{gpus}", on_metrics=note)

    alone, together = training(1), training(2)
    assert (together.steps, alone.steps) == (39, 39)
    assert (together.batch_size, alone.batch_size) == (4, 8)
    assert curves[2] == pytest.approx(curves[1], abs=1e-3)
    of_one, of_two = (load_file(Path(r.adapter, "adapter_model.safetensors")) for r in (alone, together))
    assert of_one.keys() == of_two.keys()
    assert all(of_one[name].allclose(of_two[name], atol=1e-4) for name in of_one)
    assert (tmp_path / "weights-0").read_text() == (tmp_path / "weights-1").read_text()
    assert set(reach) == {"127.0.0.1"}
    assert processes() == {}


@pytest.mark.parametrize("given", [{"gpus": 3}, {"gpus": 2, "batch_size": 5, "accumulation": 1}])
def test_examples_that_cannot_be_shared_evenly_are_refused(given: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"gpus can't share the (16|5) examples of an update evenly"):
        TrainingConfig(**given)


@pytest.mark.parametrize(
    ("batch_size", "accumulation", "cards", "shared"),
    [(4, 4, 1, (4, 4)), (4, 4, 2, (4, 2)), (8, 1, 2, (4, 1)), (4, 3, 2, (3, 2)), (6, 2, 4, (3, 1))],
)
def test_cards_take_no_more_at_a_time_than_one(batch_size: int, accumulation: int, cards: int, shared) -> None:
    assert TrainingConfig(batch_size=batch_size, accumulation=accumulation).on_cards(cards) == shared


def test_a_training_that_was_paused_and_lost_a_process_ends_as_if_it_had_not(
    domain, two: TrainingConfig, tiny_base: Path, tmp_path: Path
) -> None:
    rows, held = domain.train[:80], domain.holdout[:10]
    whole = train(rows, two, tiny_base, tmp_path / "whole", validation=held)

    start = datetime.now().astimezone() + timedelta(hours=2)
    closed = two.model_copy(update={"window": f"{start:%H:%M}-{start + timedelta(hours=1):%H:%M}"})
    with pytest.raises(Paused, match="after step 1 of 26") as paused:
        train(rows, closed, tiny_base, tmp_path / "adapter", validation=held)
    assert paused.value.until == start.replace(second=0, microsecond=0)

    def kill(step: int, *_) -> None:
        if step == 20:
            processes()["1"].kill()

    with pytest.raises(TransientError, match=r"process 2 of 2 was killed \(SIGKILL\); the next try goes on"):
        train(rows, two, tiny_base, tmp_path / "adapter", validation=held, progress=kill)
    assert processes() == {}
    steps: list[int] = []
    again = train(
        rows, two, tiny_base, tmp_path / "adapter", validation=held, progress=lambda step, *_: steps.append(step)
    )
    assert 13 < steps[0] <= 21  # in the second pass
    assert again.adapter_hash == whole.adapter_hash
    assert again.metrics == whole.metrics
    assert list(tmp_path.glob(".adapter.*")) == []


def test_no_process_outlives_the_one_that_started_it(domain, two: TrainingConfig, tiny_base, tmp_path: Path) -> None:
    argv = [str(ROOT / "tests" / "unit"), two.model_dump_json(), str(tiny_base), str(tmp_path)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", ORPHANED, *argv], check=False, env=env)
    assert done.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 5
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, pids))


def test_a_loss_that_is_no_number_stops_them_all(domain, two: TrainingConfig, tiny_base: Path, tmp_path: Path) -> None:
    weights = load_file(tiny_base / "model.safetensors")
    weights["model.norm.weight"][0] = math.nan
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in tiny_base.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="loss is nan at step 1 of 26, and there is no checkpoint yet"):
        train(domain.train[:80], two, broken, tmp_path / "adapter")
    assert processes() == {}


def test_all_halve_their_rows_when_one_has_no_room(
    domain, two: TrainingConfig, tiny_base: Path, tmp_path: Path, in_each, caplog
) -> None:
    in_each(NO_ROOM_FOR_FOUR)
    steps: list[int] = []
    with caplog.at_level(logging.WARNING):
        result = train(
            domain.train[:40], two, tiny_base, tmp_path / "adapter", progress=lambda step, *_: steps.append(step)
        )
    assert (result.batch_size, result.steps) == (2, 14)  # 40 and 12 general rows, 8 an update
    assert sorted(set(steps)) == list(range(1, 15))
    assert "going on with 2" in caplog.text


def test_what_ends_a_training_from_outside_ends_them_all(domain, two, tiny_base: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def lost() -> None:
        seen.append(len(processes()))
        if seen[-1] == 2:
            raise TransientError("held by another")

    with pytest.raises(TransientError, match="held by another"):
        train(domain.train[:8], two, tiny_base, tmp_path / "adapter", check=lost)
    assert processes() == {}


def test_a_base_split_over_both_gives_the_adapter_of_one(
    domain, steady: TrainingConfig, tiny_base: Path, tmp_path: Path, monkeypatch, in_each
) -> None:
    """All of it but the cards: the library splits a base on accelerators alone, and is told here that it has some."""
    split = steady.model_copy(update={"gpus": 2, "sharding": "full"})
    with pytest.raises(UserError, match="splits a base over CUDA cards, and there are none"):
        train(domain.train[:40], split, tiny_base, tmp_path / "split")
    alone = train(domain.train[:40], steady, tiny_base, tmp_path / "alone")

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    in_each(AS_ON_CARDS)

    def kill(step: int, *_) -> None:
        if step == 14:
            processes()["1"].kill()

    with pytest.raises(TransientError, match="was killed"):
        train(domain.train[:40], split, tiny_base, tmp_path / "split", progress=kill)
    steps: list[int] = []
    together = train(
        domain.train[:40], split, tiny_base, tmp_path / "split", progress=lambda step, *_: steps.append(step)
    )
    assert steps[0] > 7  # in the second pass or the third
    assert (together.steps, together.batch_size) == (alone.steps, 4)
    of_one, of_two = (load_file(Path(r.adapter, "adapter_model.safetensors")) for r in (alone, together))
    assert of_one.keys() == of_two.keys()
    assert all(of_one[name].allclose(of_two[name], atol=1e-4) for name in of_one)
    held, whole = zip(*((tmp_path / f"base-{rank}").read_text().split() for rank in "01"), strict=True)
    assert sum(map(int, held)) == int(whole[0]) == int(whole[1])
    assert int(held[0]) == int(held[1])


@pytest.mark.parametrize("given", [{"gpus": 1}, {"gpus": 2, "method": "ia3"}])
def test_what_cannot_be_split_is_refused(given: dict[str, int | str]) -> None:
    with pytest.raises(ValueError, match=r"sharding full (splits the base over several gpus|goes with qlora, lora)"):
        TrainingConfig(sharding="full", **given)


def test_more_cards_than_there_are_is_a_sentence(domain, two, tiny_base: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UserError, match=r"training\.gpus: 2 cards are asked for, and this machine shows 1"):
        train(domain.train[:8], two, tiny_base, tmp_path / "adapter")
