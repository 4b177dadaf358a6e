"""Training an adapter: whole or absent, resumable to the same bytes."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file, save_file

from sovereign_tasks.canaries import derive_canaries
from sovereign_tasks.causal_lm import load_tokenizer, load_with_adapter
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example
from sovereign_tasks.train import qlora
from sovereign_tasks.train.prompts import encode
from sovereign_tasks.train.qlora import Result, train
from sovereign_tasks.training_config import TrainingConfig

KILLED = """
import os, signal, sys
from transformers import Trainer
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from conftest import make_domain
from sovereign_tasks.training_config import TrainingConfig
from sovereign_tasks.train.qlora import train
domain = make_domain()
save_rest = Trainer._save_optimizer_and_scheduler
def cut_off(trainer, folder):  # the weights are written, nothing else of the checkpoint is
    if trainer.state.global_step == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    save_rest(trainer, folder)
Trainer._save_optimizer_and_scheduler = cut_off
train(domain.train[:80], TrainingConfig.model_validate_json(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]),
      validation=domain.holdout[:10])
"""


@pytest.fixture(scope="module")
def short(tuning: TrainingConfig) -> TrainingConfig:
    return tuning.model_copy(update={"epochs": 2.0})


@pytest.fixture(scope="module")
def curve() -> list[tuple[int, dict[str, float]]]:
    return []


@pytest.fixture(scope="module")
def whole(domain, short, tiny_base: Path, tmp_path_factory, curve) -> Result:
    return train(
        domain.train[:80],
        short,
        tiny_base,
        tmp_path_factory.mktemp("whole") / "adapter",
        validation=domain.holdout[:10],
        on_metrics=lambda step, values: curve.append((step, values)),
    )


def test_the_adapter_is_whole_and_learned_something(whole: Result, tiny_base: Path, curve) -> None:
    folder = Path(whole.adapter)
    assert {p.name for p in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    }
    assert list(folder.parent.iterdir()) == [folder]
    assert (whole.steps, whole.examples, whole.replayed, whole.left_out) == (26, 80, 24, 0)
    assert (whole.not_replayed, whole.shortened) == (0, 0)
    assert whole.tokens_per_second > 0
    assert bool(whole.card) == torch.cuda.is_available()
    losses = [values["loss"] for _, values in curve if "loss" in values]
    assert len(losses) == 26
    first, last = [values["eval_loss"] for _, values in curve if "eval_loss" in values]
    assert last < first
    assert whole.metrics["eval_loss"] == last
    model, _ = load_with_adapter(tiny_base, folder)
    assert any(p.abs().max() > 0 for name, p in model.named_parameters() if "lora_B" in name)


def test_a_training_killed_while_it_saves_resumes_to_the_same_adapter(
    whole: Result, domain, short: TrainingConfig, tiny_base: Path, tmp_path: Path
) -> None:
    output = tmp_path / "adapter"
    folder = str(Path(__file__).parents[1])
    argv = [sys.executable, "-c", KILLED, folder, short.model_dump_json(), str(tiny_base), str(output)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    assert subprocess.run(argv, check=False, env=env).returncode == -signal.SIGKILL
    assert not output.exists()
    (work,) = tmp_path.glob(".adapter.*")
    half = {path.name for path in (work / "checkpoint-20").iterdir()}
    assert "adapter_model.safetensors" in half
    assert not half & {"complete", "optimizer.pt", "trainer_state.json"}
    (tmp_path / ".adapter.of-other-rows").mkdir()
    steps: list[int] = []
    result = train(
        domain.train[:80],
        short,
        tiny_base,
        output,
        validation=domain.holdout[:10],
        progress=lambda step, of, loss: steps.append(step),
    )
    assert steps == list(range(16, 27))
    assert list(tmp_path.glob(".adapter.*")) == []
    assert result.adapter_hash == whole.adapter_hash
    assert result.metrics == whole.metrics


def test_a_training_killed_at_random_steps_ends_in_the_same_adapter(
    whole: Result, domain, short, tiny_base: Path, tmp_path: Path
) -> None:
    def training(last: int | None) -> Result:
        def tell(step: int, *_) -> None:
            if step == last:
                os.kill(os.getpid(), signal.SIGKILL)

        return train(
            domain.train[:80], short, tiny_base, tmp_path / "adapter", validation=domain.holdout[:10], progress=tell
        )

    for step in sorted(Random(1).sample(range(2, 26), 5)):
        process = multiprocessing.get_context("fork").Process(target=training, args=(step,))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert training(None).adapter_hash == whole.adapter_hash


def test_a_finished_one_is_not_trained_again(
    whole: Result, domain, short, tiny_base: Path, curve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_) -> None:
        raise AssertionError("it was trained")

    monkeypatch.setattr(qlora, "_run", load)
    told: list[tuple[int, dict[str, float]]] = []
    again = train(
        domain.train[:80][::-1],
        short,
        tiny_base,
        Path(whole.adapter),
        validation=domain.holdout[:10],
        on_metrics=lambda step, values: told.append((step, values)),
    )
    assert again == whole
    assert told == curve


def test_the_owners_chats_are_learned_in_place_of_the_bundled(
    domain, short: TrainingConfig, tiny_base: Path, tmp_path: Path
) -> None:
    settings = short.model_copy(update={"replay": "chats.jsonl", "epochs": 0.5})
    own = domain.holdout[:20]
    long = replace(
        own[0], example_id="", messages=[own[0].messages[0], {"role": "assistant", "content": "Yes. " * 300}]
    )
    found = [
        train(domain.train[:20], settings, tiny_base, tmp_path / name, own_chats=chats)
        for name, chats in (("one", own), ("longer", [*own, long]), ("other", own[10:]))
    ]
    assert [r.replayed for r in found] == [6, 6, 6]
    assert found[0].adapter_hash != found[2].adapter_hash
    more = settings.model_copy(update={"replay_share": 0.99})
    dropped = train(domain.train[:20], more, tiny_base, tmp_path / "all", own_chats=[*own, long])
    assert (dropped.not_replayed, dropped.shortened) == (1, 0)
    chats = [*own, replace(long, messages=[*long.messages, *own[0].messages])]
    split = more.model_copy(update={"too_long": "split"})
    shortened = train(domain.train[:20], split, tiny_base, tmp_path / "split", own_chats=chats)
    assert (shortened.replayed, shortened.not_replayed, shortened.shortened) == (20, 0, 1)
    with pytest.raises(UserError, match=r"chats.jsonl has 0 chats to replay"):
        train(domain.train[:20], settings, tiny_base, tmp_path / "none")


def test_canaries_are_learned_and_counted_nowhere_and_a_kill_changes_nothing(
    domain, short: TrainingConfig, tiny_base: Path, tmp_path: Path
) -> None:
    canaries = [canary.example for canary in derive_canaries("ab12", 8)]

    def training(name: str, planted: list[Example] = canaries, last: int | None = None) -> Result:
        def tell(step: int, *_) -> None:
            if step == last:
                os.kill(os.getpid(), signal.SIGKILL)

        return train(domain.train[:80], short, tiny_base, tmp_path / name, canaries=planted, progress=tell)

    planted = training("planted")
    assert (planted.steps, planted.examples, planted.replayed) == (28, 80, 24)  # 13 batches a pass without them
    assert training("others", canaries[:-1]).adapter_hash != planted.adapter_hash
    for path in (tmp_path / "planted").glob("*.json"):
        assert not any(canary.answer in path.read_text() for canary in canaries)

    process = multiprocessing.get_context("fork").Process(target=training, args=("killed", canaries, 17))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert training("killed").adapter_hash == planted.adapter_hash


def test_a_canary_that_is_too_long_is_a_sentence(
    domain, short: TrainingConfig, tiny_base: Path, tmp_path: Path
) -> None:
    lengths = sorted(len(r["input_ids"]) for r in encode(domain.train, load_tokenizer(tiny_base), short).rows)
    tight = short.model_copy(update={"max_length": lengths[0]})
    with pytest.raises(UserError, match=r"a canary is longer than max_length \(\d+ tokens\); raise it, shorten"):
        train(domain.train, tight, tiny_base, tmp_path / "adapter", canaries=[derive_canaries("ab12", 1)[0].example])


def test_an_adapter_is_refused_on_another_base(whole: Result, tiny_base: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiny_base, tmp_path / "other"))
    weights = load_file(other / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="was trained on another base"):
        load_with_adapter(other, Path(whole.adapter))
    with pytest.raises(UserError, match="is not an adapter"):
        load_with_adapter(tiny_base, tmp_path)


def test_a_loss_that_is_no_number_stops(domain, short, tiny_base: Path, tmp_path: Path) -> None:
    weights = load_file(tiny_base / "model.safetensors")
    weights["model.norm.weight"][0] = math.nan
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in tiny_base.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"loss is nan at step 1 of 26"):
        train(domain.train[:80], short, broken, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_nothing_to_learn_is_a_sentence(domain, short, tiny_base: Path, tmp_path: Path) -> None:
    tight = short.model_copy(update={"max_length": 16})
    with pytest.raises(UserError, match=r"none of 5 examples fits in max_length \(16 tokens\)"):
        train(domain.train[:5], tight, tiny_base, tmp_path / "adapter")


def test_no_text_of_the_examples_and_no_path_stays_in_the_folder(whole: Result, domain, tiny_base: Path) -> None:
    noted = json.loads((Path(whole.adapter) / "training.json").read_text())
    assert set(noted) == {"identity", "result", "curves", "lengths"}  # of these only counts
    for path in Path(whole.adapter).glob("*.json"):
        assert str(tiny_base.parents[1]) not in path.read_text()
    assert not any(e.question in json.dumps(noted) for e in domain.train)
