"""Every adapter method on the tiny base: it trains, lowers the loss on held-out rows, and is read back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import OlmoConfig, OlmoForCausalLM

from sovereign_tasks.causal_lm import load_base, load_with_adapter
from sovereign_tasks.errors import UserError
from sovereign_tasks.evaluate.score import score
from sovereign_tasks.train.methods import attach
from sovereign_tasks.train.pretrain import make_base
from sovereign_tasks.train.qlora import train
from sovereign_tasks.training_config import ScratchConfig, TrainingConfig

RATES = {"ia3": 0.2, "prefix": 0.2, "adaption_prompt": 0.2}


@pytest.fixture(scope="module")
def base(domain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that knows the words: what only steers a model has nothing to steer in one that does not."""
    folder = tmp_path_factory.mktemp("bases") / "worded"
    sizes = ScratchConfig(vocabulary=600, hidden=96, layers=2, heads=3, steps=100)
    make_base(domain.documents, sizes, folder, seed=1)
    return folder


@pytest.mark.parametrize("method", ["qlora", "lora", "dora", "rslora", "ia3", "prefix", "adaption_prompt"])
def test_a_method_lowers_the_loss_on_what_is_held_out(
    method: str, domain, tuning: TrainingConfig, base: Path, tmp_path: Path
) -> None:
    config = tuning.model_copy(update={"method": method, "learning_rate": RATES.get(method, tuning.learning_rate)})
    train(domain.train[:160], config, base, tmp_path / "adapter")

    def loss(model, tokenizer) -> float:
        report = score(model, tokenizer, domain.holdout[:16], config.system_prompt, subject="x", generations=False)
        return report.mean("nll")

    before = loss(*load_base(base))
    after = loss(*load_with_adapter(base, tmp_path / "adapter"))
    assert after < before - 0.1, f"{method}: {before:.3f} -> {after:.3f}"

    # Another training begins where this one ended: at a rate at which nothing is learned it stays there.
    still = config.model_copy(update={"learning_rate": 1e-12, "epochs": 1.0})
    train(domain.train[:16], still, base, tmp_path / "second", start=tmp_path / "adapter")
    again = loss(*load_with_adapter(base, tmp_path / "second"))
    assert again == pytest.approx(after, abs=1e-4)
    trained = load_file(tmp_path / "second" / "adapter_model.safetensors")
    assert trained.keys() == load_file(tmp_path / "adapter" / "adapter_model.safetensors").keys()


def test_a_method_that_a_base_does_not_know_is_a_sentence(tuning: TrainingConfig) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = OlmoForCausalLM(OlmoConfig(vocab_size=300, pad_token_id=0, **sizes))
    with pytest.raises(UserError, match=r"ia3 is not to be had on a base of the kind olmo .* qlora goes with any"):
        attach(model, tuning.model_copy(update={"method": "ia3"}))
