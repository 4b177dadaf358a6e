"""A pretraining killed at any moment: it goes on where it was, and ends in the bytes of an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from sovereign_tasks.causal_lm import hash_folder
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.train import checkpoint, pretrain
from sovereign_tasks.train.pretrain import make_base
from sovereign_tasks.training_config import TrainingConfig
from tests import forks

STEPS = 30


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def work(documents: list[str], tuning: TrainingConfig, folder: Path, spoil: Callable[[], None]) -> None:
    """Make a base with a checkpoint before every step, but for what `spoil` does to that."""
    pretrain.CHECKPOINT_SECONDS = 0.0
    spoil()
    make_base(documents, tuning.scratch, folder, seed=1)


def made(
    documents: list[str],
    tuning: TrainingConfig,
    folder: Path,
    spoil: Callable[[], None],
    kill_at: float | None = None,
) -> bool:
    """Make a base in a process of its own; False if it was killed, by `spoil` or from outside at a step.

    The fraction of `kill_at` is the part of a second that passes after a checkpoint of its step is there.
    """
    process = forks.start(work, documents, tuning, folder, spoil)
    if kill_at is not None:
        while process.is_alive() and step_reached(folder) < int(kill_at):
            time.sleep(0.005)
        process.join(kill_at % 1)
        process.kill()
    return forks.ended(process)


class KillAfterWrite:
    """After so many durable writes: the first is the tokenizer, the next the state before the first step."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self) -> None:
        os.environ["SOVEREIGN_KILL_AFTER_WRITE"] = str(self.number)


def kill_half_written() -> None:
    """In the fifth save, with half of its bytes written."""
    import safetensors.torch

    save_file, saves = safetensors.torch.save_file, []

    def cut_off(tensors, path: Path, metadata: dict[str, str]) -> None:
        saves.append(path)
        save_file(tensors, path, metadata=metadata)
        if len(saves) == 5:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            kill()

    safetensors.torch.save_file = cut_off


def kill_before_its_name() -> None:
    """In the fifth save, with all bytes written and the name not given."""
    put_in_place, named = checkpoint.put_in_place, []

    def cut_off(part: Path, path: Path) -> None:
        named.append(path)
        if len(named) == 5:
            kill()
        put_in_place(part, path)

    checkpoint.put_in_place = cut_off


def kill_before_the_base_has_its_name() -> None:
    """With the whole base written."""
    rename = Path.rename

    def cut_off(path: Path, target: Path) -> Path:
        return kill() if path.name == "base" else rename(path, target)

    Path.rename = cut_off


def kill_before_the_leftovers_go() -> None:
    """With the base whole and what it was made in still there."""
    rmtree = shutil.rmtree

    def cut_off(path: Path, ignore_errors: bool = False) -> None:
        if path.suffix == ".unfinished":
            kill()
        rmtree(path, ignore_errors)

    shutil.rmtree = cut_off


def dawdle() -> None:
    """Take a while over each step and as long over each save, so that a kill from outside may meet either."""
    put_in_place = checkpoint.put_in_place

    def slowly(part: Path, path: Path) -> None:
        time.sleep(0.05)
        put_in_place(part, path)
        time.sleep(0.05)

    checkpoint.put_in_place = slowly


def step_reached(folder: Path) -> int:
    """The step that the next try goes on from."""
    for path in folder.parent.glob(".*.unfinished/checkpoint.safetensors"):
        with safe_open(path, "pt") as file:
            return json.loads(file.metadata()["rest"])["step"]
    return 0


def steps_of(documents: list[str], tuning: TrainingConfig, folder: Path) -> list[int]:
    """Make a base here; the steps that it took."""
    steps: list[int] = []
    make_base(documents, tuning.scratch, folder, seed=1, progress=lambda step, of, loss: steps.append(step))
    return steps


def assert_same(folder: Path, tiny_base: Path) -> None:
    """Nothing but the base is left, and it is that of an undisturbed one, to the byte and to the figure."""
    assert list(folder.parent.iterdir()) == [folder]
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {p.name: p.read_bytes() for p in tiny_base.iterdir()}
    assert json.loads((folder / "origin.json").read_text())["hash"] == hash_folder(folder)


def test_killed_after_any_checkpoint(tiny_base: Path, domain, tuning, tmp_path: Path) -> None:
    rng = random.Random(7)
    for number in (1, *sorted(rng.sample(range(3, STEPS), 5))):
        folder = tmp_path / str(number) / "base"
        assert not made(domain.documents, tuning, folder, KillAfterWrite(number))
        assert not folder.exists()
        reached = step_reached(folder)
        assert reached == max(0, number - 2)
        assert steps_of(domain.documents, tuning, folder) == list(range(reached + 1, STEPS + 1))
        assert_same(folder, tiny_base)


@pytest.mark.parametrize(
    ("spoil", "reached"),
    [(kill_half_written, 3), (kill_before_its_name, 3), (kill_before_the_base_has_its_name, STEPS - 1)],
)
def test_killed_inside_a_save(
    tiny_base: Path, domain, tuning, tmp_path: Path, spoil: Callable[[], None], reached: int
) -> None:
    folder = tmp_path / "bases" / "base"
    assert not made(domain.documents, tuning, folder, spoil)
    assert step_reached(folder) == reached
    make_base(domain.documents, tuning.scratch, folder, seed=1)
    assert_same(folder, tiny_base)


def test_killed_again_and_again_at_any_moment(tiny_base: Path, domain, tuning, tmp_path: Path) -> None:
    folder, rng = tmp_path / "bases" / "base", random.Random(3)
    for step in (2, 8, 14, 20):
        assert not made(domain.documents, tuning, folder, dawdle, kill_at=step + rng.uniform(0, 0.2))
        assert step <= step_reached(folder) < STEPS
    assert steps_of(domain.documents, tuning, folder)[-1] == STEPS
    assert_same(folder, tiny_base)


def test_leftovers_of_other_tries_go_once_the_base_is_whole(tiny_base: Path, domain, tuning, tmp_path: Path) -> None:
    folder = tmp_path / "bases" / "base"
    assert not made(domain.documents[1:], tuning, folder, KillAfterWrite(4))
    assert not made(domain.documents, tuning, folder, kill_before_the_leftovers_go)
    assert folder.exists()
    assert len([*folder.parent.glob(".*.unfinished")]) == 2
    make_base(domain.documents, tuning.scratch, folder, seed=1)
    assert_same(folder, tiny_base)


def test_a_checkpoint_that_cannot_be_read_is_begun_anew(
    tiny_base: Path, domain, tuning, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "bases" / "base"
    assert not made(domain.documents, tuning, folder, KillAfterWrite(9))
    (path,) = folder.parent.glob(".*/checkpoint.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    make_base(domain.documents, tuning.scratch, folder, seed=1)
    assert "the base is begun anew" in caplog.text
    assert_same(folder, tiny_base)


def test_one_whose_folder_is_removed_or_full_says_so(
    domain, tuning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bases" / "base"
    monkeypatch.setattr(pretrain, "CHECKPOINT_SECONDS", 0.0)

    def remove(step: int, of: int, loss: float) -> None:
        for path in folder.parent.glob(".*.unfinished"):
            shutil.rmtree(path)

    with pytest.raises(TransientError, match="An erasure removed what was made of the base so far"):
        make_base(domain.documents, tuning.scratch, folder, seed=1, progress=remove)

    def block(step: int, of: int, loss: float) -> None:
        (unfinished,) = folder.parent.glob(".*.unfinished")
        shutil.rmtree(unfinished / "checkpoint.saving", ignore_errors=True)
        (unfinished / "checkpoint.saving").touch()

    with pytest.raises(UserError, match="can't be written"):
        make_base(domain.documents, tuning.scratch, folder, seed=1, progress=block)
