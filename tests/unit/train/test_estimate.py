"""What a training needs, held against what was published and measured, and against what the trainer does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sovereign_tasks.causal_lm import load_base, load_config, load_tokenizer
from sovereign_tasks.config import CostsConfig
from sovereign_tasks.errors import UserError
from sovereign_tasks.train.device import Device
from sovereign_tasks.train.estimate import (
    CARD_SHARE,
    FOUR_BITS,
    IN_FOUR_BITS,
    ON_CARD,
    ON_PROCESSOR,
    UNUSED,
    Load,
    advise,
    estimate,
    memory,
    needed,
    setup_of,
    share_of_peak,
)
from sovereign_tasks.train.methods import attach
from sovereign_tasks.train.prompts import encode, replay
from sovereign_tasks.train.qlora import train
from sovereign_tasks.train.shape import Shape, count, sketch
from sovereign_tasks.training_config import LoraConfig, TrainingConfig

GB, GIB = 1e9, 2**30
SIZES = {
    "llama-2-7b": {"intermediate_size": 11008, "vocab_size": 32000},
    "llama-3-8b": {"intermediate_size": 14336, "vocab_size": 128256, "num_key_value_heads": 8},
    "qwen-7b": {"intermediate_size": 11008, "vocab_size": 151936},
    "llama-3-70b": {
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
}
CARD = Device("a card", is_gpu=True, free=24 * 10**9, peak=165e12, peak_from="a data sheet", watts=450)
ALL_AT_ONCE = 1 << 62


def shape_of(name: str, rank: int = 16) -> Shape:
    """A model of that size, from its configuration alone."""
    from transformers import LlamaConfig

    config = LlamaConfig(
        **{"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, **SIZES[name]},
        tie_word_embeddings=False,
    )
    return count(sketch(config), TrainingConfig(lora=LoraConfig(rank=rank)))


@pytest.fixture(scope="module")
def llama_8b() -> Shape:
    return shape_of("llama-3-8b")


def total(parts: dict[str, int]) -> int:
    return sum(parts.values())


def allocated(parts: dict[str, int]) -> int:
    """Without what the allocator holds unused."""
    return total(parts) - parts[UNUSED]


@pytest.mark.parametrize(
    ("name", "published"), [("llama-2-7b", 6.74e9), ("llama-3-8b", 8.03e9), ("llama-3-70b", 70.6e9)]
)
def test_parameters_are_those_that_were_published(name: str, published: float) -> None:
    assert shape_of(name).parameters == pytest.approx(published, rel=0.002)


def test_memory_is_what_was_measured_on_an_h200(llama_8b: Shape) -> None:
    """4 rows of 2,048 tokens or 2 of 4,096, all but a few of them answers; what was allocated is of an earlier day."""
    parts = memory(llama_8b, ON_CARD, 8192, 8192)
    assert total(parts) == pytest.approx(11.89 * GB, rel=0.1)
    assert total(parts) == pytest.approx(13.84 * GB, rel=0.1)
    assert allocated(parts) == pytest.approx(12.1 * GB, rel=0.1)
    together = replace(ON_CARD, scores_at_once=ALL_AT_ONCE)
    assert allocated(memory(llama_8b, together, 8192, 8192)) == pytest.approx(20.9 * GB, rel=0.1)
    kept = replace(together, checkpointed=False)
    assert allocated(memory(llama_8b, kept, 8192, 8192)) == pytest.approx(99.9 * GB, rel=0.1)


@pytest.mark.parametrize(("tokens", "published"), [(256, 11.5), (2048, 13.9), (4096, 16.9), (8192, 23.5)])
def test_memory_is_what_qwen_published_for_qlora_of_its_7b(tokens: int, published: float) -> None:
    """One row on an A100. Unlike ours: rank 64, AdamW in fp32, weights that aren't quantised in fp32 (as peft's
    prepare_model_for_kbit_training leaves them), and all scores at once, which its model keeps in 16 bits, 8 bytes
    each.
    """
    theirs = replace(ON_CARD, other_bytes=4, adapter_bytes=16, score_bytes=8, scores_at_once=ALL_AT_ONCE)
    assert total(memory(shape_of("qwen-7b", rank=64), theirs, tokens, tokens)) == pytest.approx(
        published * GB, rel=0.15
    )


def test_memory_is_what_torchtune_published_for_qlora_of_8b() -> None:
    """2 packed rows of 2,048 tokens on a 4090. Unlike ours: rank 8, adapter in bf16, scores of an eighth at once."""
    theirs = replace(ON_CARD, adapter_bytes=8, scores_at_once=4096 * 128256 // 8)
    assert allocated(memory(shape_of("llama-3-8b", rank=8), theirs, 4096, 4096)) == pytest.approx(7.4 * GIB, rel=0.15)


@pytest.mark.parametrize(
    ("name", "card", "tokens"),
    [("llama-3-8b", 12, 932), ("llama-3-8b", 16, 2551), ("llama-3-8b", 24, 5789), ("llama-3-70b", 80, 6916)],
)
def test_memory_is_that_of_the_card_at_the_longest_row_that_was_published_for_it(
    name: str, card: int, tokens: int
) -> None:
    """From Unsloth's page, of transformers with FlashAttention 2. Unlike ours: rank 32, what isn't quantised in fp32,
    and with it what layers hand on, and all scores at once, with a copy that is shifted: 16 bytes each.
    """
    theirs = replace(ON_CARD, other_bytes=4, value_bytes=4, score_bytes=16, scores_at_once=ALL_AT_ONCE)
    assert total(memory(shape_of(name, rank=32), theirs, tokens, tokens)) == pytest.approx(card * GIB, rel=0.15)


def test_the_share_of_peak_counts_no_work_done_twice(llama_8b: Shape) -> None:
    """At the rate measured on an H200: of 8.03e9 parameters all but the embeddings are multiplied with."""
    card = replace(CARD, peak=989e12)
    load = Load([2048] * 4, [2048] * 4)
    multiplied = 8.03e9 - 128256 * 4096
    assert share_of_peak(5686, llama_8b, load, card) == pytest.approx(5686 * 4 * multiplied / 989e12, rel=0.002)
    config = TrainingConfig()
    planned = estimate(llama_8b, load, config, card, CostsConfig(), None)
    assert setup_of(card, config).operations == 6
    assert share_of_peak(planned.rate, llama_8b, load, card) == pytest.approx(CARD_SHARE * 4 / 6)


@pytest.fixture
def tight() -> Load:
    """Ten rows, most of 500 tokens and one of 4,000."""
    return Load([500] * 9 + [4000], [200] * 10)


def in_all(shape: Shape, load: Load, config: TrainingConfig, device: Device = CARD) -> int:
    return total(needed(shape, load, config, device))


def test_a_smaller_batch_is_advised_first_and_fits(llama_8b: Shape, tight: Load) -> None:
    config = TrainingConfig(batch_size=8, accumulation=2, max_length=4096)
    assert in_all(llama_8b, tight, config) > CARD.free
    advised = advise(llama_8b, tight, config, CARD)
    assert advised == config.model_copy(update={"batch_size": 4, "accumulation": 4})
    assert in_all(llama_8b, tight, advised) <= CARD.free
    less = replace(CARD, free=15 * 10**9)
    advised = advise(llama_8b, tight, config, less)
    assert (advised.batch_size, advised.accumulation, advised.max_length) == (2, 8, 4096)
    assert in_all(llama_8b, tight, advised) <= less.free


def test_shorter_rows_are_advised_where_no_batch_fits_and_longer_ones_would_not(llama_8b: Shape, tight: Load) -> None:
    config = TrainingConfig(batch_size=2, accumulation=4, max_length=4096)
    small = replace(CARD, free=8 * 10**9)
    advised = advise(llama_8b, tight, config, small)
    assert (advised.batch_size, advised.accumulation) == (1, 8)
    assert 500 <= advised.max_length < 4000
    assert in_all(llama_8b, tight, advised) <= small.free
    longer = advised.model_copy(update={"max_length": advised.max_length + 64})
    assert in_all(llama_8b, tight, longer) > small.free


def test_a_base_in_four_bits_is_advised_before_rows_are_left_out(llama_8b: Shape, tight: Load) -> None:
    config = TrainingConfig(batch_size=1, max_length=4096).model_copy(update={"method": "lora"})
    advised = advise(replace(llama_8b, quantised=False), tight, config, replace(CARD, free=12 * 10**9))
    assert (advised.method, advised.batch_size, advised.max_length) == ("qlora", 1, 4096)


def test_nothing_is_advised_where_the_base_alone_is_too_large(llama_8b: Shape, tight: Load) -> None:
    assert advise(llama_8b, tight, TrainingConfig(), replace(CARD, free=5 * 10**9)) is None


def test_cards_that_share_rows_take_less_time_at_more_power_and_no_less_memory_but_for_rows(llama_8b: Shape) -> None:
    load, one = Load([1000] * 300, [1000] * 300), TrainingConfig(batch_size=4, accumulation=1)
    four = one.model_copy(update={"gpus": 4})
    costs = CostsConfig()
    alone, shared = (estimate(llama_8b, load, config, CARD, costs, None) for config in (one, four))
    assert shared.seconds == pytest.approx(alone.seconds / 4)
    assert (shared.steps, shared.watts, shared.kwh) == (alone.steps, 4 * 450, pytest.approx(alone.kwh))
    assert shared.base == alone.base
    assert shared.memory["activations kept"] == pytest.approx(alone.memory["activations kept"] / 4, rel=0.01)
    machine = replace(CARD, is_gpu=False)
    alone, shared = (estimate(llama_8b, load, config, machine, costs, None) for config in (one, four))
    assert (shared.seconds, shared.base) == (alone.seconds, pytest.approx(4 * alone.base))


def test_a_base_split_over_cards_is_whole_on_each_while_it_loads() -> None:
    shape, load = shape_of("llama-3-70b"), Load([500] * 300, [100] * 300)
    config = TrainingConfig(batch_size=1, gpus=4, max_length=512)
    whole = in_all(shape, load, config)
    split = needed(shape, load, config.model_copy(update={"sharding": "full"}), CARD)
    base = shape.linears * FOUR_BITS + shape.others * 2
    assert total(split) == pytest.approx(base, rel=1e-6)
    assert base < whole
    assert split[IN_FOUR_BITS] == pytest.approx(shape.linears * FOUR_BITS / 4, rel=1e-6)
    between = replace(CARD, free=(whole + total(split)) // 2)
    assert advise(shape, load, config, between) == config.model_copy(update={"sharding": "full"})
    assert advise(shape, load, config, replace(CARD, free=base * 0.9)) is None


def test_money_is_power_and_hours_at_the_owners_prices(llama_8b: Shape) -> None:
    load, config = Load([1000] * 300, [1000] * 300), TrainingConfig(epochs=3)
    costs = CostsConfig(price_per_kwh=0.12, price_per_hour=0.5)
    needs = estimate(llama_8b, load, config, CARD, costs, measured=250.0)
    assert needs.seconds == pytest.approx(3600)
    assert needs.kwh == pytest.approx(0.45)
    assert needs.cost == pytest.approx(0.45 * 0.12 + 0.5)
    unknown = estimate(llama_8b, load, config, replace(CARD, watts=None), costs, measured=250.0)
    assert (unknown.kwh, unknown.cost) == (None, None)
    assert estimate(llama_8b, load, config, replace(CARD, watts=None), CostsConfig(watts=100), 250.0).kwh == 0.1
    rent = CostsConfig(price_per_kwh=0, price_per_hour=2)
    assert estimate(llama_8b, load, config, replace(CARD, watts=None), rent, 250.0).cost == pytest.approx(2)


def test_the_rate_of_an_8b_on_an_h200_is_that_of_the_data_sheet_at_the_stated_share(llama_8b: Shape) -> None:
    """5,972 tokens a second were measured there, with TRL."""
    h200 = replace(CARD, peak=989e12)
    needs = estimate(llama_8b, Load([2048] * 48, [2048] * 48), TrainingConfig(), h200, CostsConfig(), None)
    assert needs.rate == pytest.approx(5972, rel=0.15)


def test_counts_are_those_of_a_real_training(domain, tuning: TrainingConfig, tiny_base: Path, tmp_path: Path) -> None:
    config = tuning.model_copy(update={"epochs": 1.5, "batch_size": 8, "accumulation": 3})
    shape = count(sketch(load_config(tiny_base)), config)
    model, tokenizer = load_base(tiny_base)
    # A 4-bit weight holds two parameters a byte; its quantisation state knows how many they are.
    in_four_bits = [p.quant_state.shape.numel() for p in model.parameters() if hasattr(p, "quant_state")]
    others = [p.numel() for p in model.parameters() if not hasattr(p, "quant_state")]
    assert (shape.linears, shape.others) == (sum(in_four_bits), sum(others))
    assert shape.trained == attach(model, config).get_nb_trainable_parameters()[0]

    rows = encode(domain.train[:50], tokenizer, config).rows
    rows += replay(len(rows), load_tokenizer(tiny_base), config).rows
    load = Load.of(rows)
    device = Device("here", is_gpu=False, free=10**9, peak=1e9, peak_from="a guess")
    needs = estimate(shape, load, config, device, CostsConfig(), None)
    result = train(domain.train[:50], config, tiny_base, tmp_path / "adapter")
    assert needs.steps == result.steps
    assert len(load.lengths) == result.examples + result.replayed
    assert needs.tokens == sum(len(row["input_ids"]) for row in rows)
    assert needs.answers == sum(label != -100 for row in rows for label in row["labels"])
    assert needs.memory == memory(shape, ON_PROCESSOR, *load.largest_batch(config))


def test_a_tied_head_is_counted_once_and_stays_as_it_is() -> None:
    from transformers import GPT2Config

    shape = count(sketch(GPT2Config()), TrainingConfig())
    assert shape.parameters == 124_439_808
    assert shape.linears == 12 * 12 * 768**2
    assert shape.multiplied == shape.parameters - 50257 * 768


def test_a_configuration_of_another_kind_is_a_sentence() -> None:
    from transformers import ViTConfig

    with pytest.raises(UserError, match=r"training.base_model: vit is no causal language model"):
        sketch(ViTConfig())
