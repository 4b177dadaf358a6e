"""Answers written together are those written alone, whatever a model keeps of what it has read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model
from transformers import (
    FalconH1Config,
    FalconH1ForCausalLM,
    FalconMambaConfig,
    FalconMambaForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from sovereign_tasks.causal_lm import load_tokenizer
from sovereign_tasks.generation import generate

NEW = 40
SIZES = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,  # tied, a random model says its own word again
}
HEADS = {"num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 16}
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "keys of all": (LlamaConfig, LlamaForCausalLM, HEADS),
    "keys in a window": (MistralConfig, MistralForCausalLM, HEADS | {"sliding_window": 8}),
    "keys of both": (Gemma2Config, Gemma2ForCausalLM, HEADS | {"sliding_window": 8, "query_pre_attn_scalar": 16}),
    "keys and a state": (Lfm2Config, Lfm2ForCausalLM, HEADS | {"layer_types": ["conv", "full_attention"]}),
    "keys beside a state": (FalconH1Config, FalconH1ForCausalLM, HEADS | {"mamba_d_ssm": 64, "mamba_n_heads": 4}),
    "a state": (FalconMambaConfig, FalconMambaForCausalLM, {"state_size": 8}),
    "keys and a learned prefix": (LlamaConfig, LlamaForCausalLM, HEADS),
}


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path):
    return load_tokenizer(tiny_base)


def make(kind: str, size: int) -> Any:
    """A small model of random weights, of whose words one in sixteen ends an answer."""
    torch.manual_seed(1)
    config, cls, more = KINDS[kind]
    model = cls(config(vocab_size=size, pad_token_id=0, bos_token_id=1, eos_token_id=2, **SIZES | more)).eval()
    if "prefix" in kind:
        model = get_peft_model(model, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)).eval()
        torch.nn.init.normal_(model.prompt_encoder["default"].embedding.weight)
    model.generation_config.eos_token_id = list(range(2, size, 16))
    return model


def alone(model: Any, tokenizer: Any, prompt: list[int]) -> tuple[str, int]:
    """One answer by the library itself, and how many tokens it has."""
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False, pad_token_id=0
        )
    new = out[0, len(prompt) :]
    return tokenizer.decode(new, skip_special_tokens=True).strip(), len(new)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_one_prompt_after_the_other(kind: str, tokenizer) -> None:
    model = make(kind, len(tokenizer))
    drawn = torch.Generator().manual_seed(2)
    lengths = torch.randint(3, 25, (24,), generator=drawn).tolist()
    prompts = [torch.randint(3, len(tokenizer), (n,), generator=drawn).tolist() for n in lengths]
    wanted = [alone(model, tokenizer, prompt) for prompt in prompts]
    assert len({length for _, length in wanted}) > 5  # they end at many places, some at none
    found = list(generate(model, tokenizer, prompts, max_new_tokens=NEW))
    assert sorted(i for i, _ in found) == list(range(24))
    assert dict(found) == {i: text for i, (text, _) in enumerate(wanted)}


def test_what_has_ended_takes_few_more_steps(tokenizer) -> None:
    model = make("keys of all", len(tokenizer))
    prompts = [[3 + i, 5, 7 + i] for i in range(64)]
    lengths = [alone(model, tokenizer, prompt)[1] for prompt in prompts]
    rows: list[int] = []
    model.register_forward_pre_hook(lambda *given: rows.append(len(given[-1]["input_ids"])), with_kwargs=True)
    list(generate(model, tokenizer, prompts, max_new_tokens=NEW))
    assert max(lengths) * len(prompts) > 2 * sum(lengths)  # a whole batch to its longest end takes that much more
    assert sum(rows) < 2 * sum(lengths)


@pytest.mark.parametrize("own", [{"num_beams": 2}, {"min_new_tokens": 9}, {"cache_implementation": "dynamic"}])
def test_a_bases_own_settings_hold(own: dict[str, Any], tokenizer) -> None:
    model = make("keys of all", len(tokenizer))
    for name, value in own.items():
        setattr(model.generation_config, name, value)
    prompts = [[3 + i, 5, 7 + i] for i in range(16)]
    wanted = {i: alone(model, tokenizer, prompt)[0] for i, prompt in enumerate(prompts)}
    assert dict(generate(model, tokenizer, prompts, max_new_tokens=NEW)) == wanted


@pytest.mark.parametrize("end", [7, None])
def test_one_end_or_none(end: int | None, tokenizer) -> None:
    model = make("keys of all", len(tokenizer))
    model.generation_config.eos_token_id = end
    prompts = [[3, 5], [9, 11, 13], [7, 4, 4, 4]]
    wanted = {i: alone(model, tokenizer, prompt)[0] for i, prompt in enumerate(prompts)}
    assert dict(generate(model, tokenizer, prompts, max_new_tokens=NEW)) == wanted


def test_drawn_answers_repeat_with_the_seed(tokenizer) -> None:
    model = make("keys of all", len(tokenizer))
    prompts = [[3 + i, 5, 7 + i] for i in range(16)]

    def draw() -> dict[int, str]:
        torch.manual_seed(3)
        return dict(generate(model, tokenizer, prompts, max_new_tokens=NEW, temperature=2.0))

    assert draw() == draw()
    assert len(draw()) == 16
    assert draw() != dict(generate(model, tokenizer, prompts, max_new_tokens=NEW))


def test_no_prompt_no_answer(tokenizer) -> None:
    assert list(generate(make("keys of all", len(tokenizer)), tokenizer, [], max_new_tokens=6)) == []
