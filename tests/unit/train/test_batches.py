"""Batches of like length in random order, rows packed into lines, and the loss on answers alone."""

from __future__ import annotations

from itertools import accumulate, pairwise
from pathlib import Path
from random import Random

import pytest
import torch
from transformers import OPTConfig, OPTForCausalLM
from transformers.modeling_flash_attention_utils import _is_packed_sequence, prepare_fa_kwargs_from_position_ids

from sovereign_tasks.causal_lm import NO_LOSS, load_base, load_tokenizer
from sovereign_tasks.train import answers
from sovereign_tasks.train.answers import focus
from sovereign_tasks.train.batches import LengthBatches, keeps_rows_apart, pack, rows_a_pass
from sovereign_tasks.train.methods import attach
from sovereign_tasks.train.prompts import encode
from sovereign_tasks.training_config import TrainingConfig

LENGTHS = [40 + 7 * i % 160 for i in range(203)]


def test_every_row_comes_once_in_another_order_each_epoch() -> None:
    sampler = LengthBatches(LENGTHS, 8, seed=1)
    first = list(sampler)
    assert sorted(first) == list(range(len(LENGTHS)))
    assert first == list(LengthBatches(LENGTHS, 8, seed=1))
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(second) == sorted(first)
    assert second != first


def test_batches_hold_rows_of_like_length_and_do_not_walk_from_long_to_short() -> None:
    rng = Random(1)
    lengths = [rng.choice([40, 100, 200, 400]) + rng.randrange(30) for _ in range(320)]
    order = list(LengthBatches(lengths, 8, seed=1))
    runs = [[lengths[i] for i in order[at : at + 8]] for at in range(0, 320, 8)]
    shuffled = rng.sample(lengths, 320)
    naive = sum(8 * max(shuffled[at : at + 8]) for at in range(0, 320, 8))
    assert sum(8 * max(run) for run in runs) < 0.75 * naive
    means = [sum(run) / 8 for run in runs]
    falls = sum(b < a for a, b in pairwise(means))
    assert 10 < falls < 30


@pytest.mark.parametrize("in_one_line", [False, True])
def test_rows_fill_lines_and_each_keeps_to_itself(
    tiny_base: Path, domain, tuning: TrainingConfig, in_one_line: bool
) -> None:
    model, tokenizer = load_base(tiny_base)
    rows = encode(domain.train[:24], tokenizer, tuning).rows
    short = [{name: ids[-12:] for name, ids in row.items()} for row in rows[:9]]
    rows += short
    packed = pack(rows, tokenizer.pad_token_id, in_one_line=in_one_line)
    lines, width = packed["input_ids"].shape
    assert lines < len(rows) - 6
    assert not in_one_line or (lines, width) == (1, sum(len(row["input_ids"]) for row in rows))
    told = [sum(label != NO_LOSS for label in row["labels"][1:]) for row in rows]
    assert int((packed["labels"] != NO_LOSS).sum()) == sum(told)
    with torch.no_grad():
        together = model(**packed, use_cache=False).loss
        alone = [model(**{name: torch.tensor([ids]) for name, ids in row.items()}).loss.item() for row in rows]
    mean = sum(loss * count for loss, count in zip(alone, told, strict=True)) / sum(told)
    assert together.item() == pytest.approx(mean, abs=1e-5)


def test_flash_attention_would_find_every_row_in_the_one_line(tiny_base: Path, domain, tuning: TrainingConfig) -> None:
    rows = encode(domain.train[:8], load_tokenizer(tiny_base), tuning).rows
    lengths = sorted((len(row["input_ids"]) for row in rows), reverse=True)
    positions = pack(rows, 0, in_one_line=True)["position_ids"]
    assert _is_packed_sequence(positions, len(positions))
    (starts, _), (longest, _) = prepare_fa_kwargs_from_position_ids(positions)
    assert starts.tolist() == [0, *accumulate(lengths)]
    assert longest == lengths[0]
    lines = pack(rows, 0)["position_ids"]
    assert not _is_packed_sequence(lines, len(lines))  # else lines would do, and pad less


def test_the_loss_on_answers_alone_is_the_models_own_and_so_are_its_gradients(tiny_base: Path, domain, tuning) -> None:
    model, tokenizer = load_base(tiny_base)
    rows = encode(domain.train[:6], tokenizer, tuning).rows
    model = attach(model, tuning).eval()
    batch = pack(rows, tokenizer.pad_token_id)

    def step() -> tuple[float, list[torch.Tensor]]:
        model.zero_grad()
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        return loss.item(), [p.grad.clone() for p in model.parameters() if p.requires_grad]

    own = step()
    assert focus(model.get_base_model(), rows[0])
    answers.SCORES_AT_ONCE, usual = 40 * 600, answers.SCORES_AT_ONCE  # some at a time, as with a large vocabulary
    mine = step()
    answers.SCORES_AT_ONCE = usual
    assert mine[0] == pytest.approx(own[0], abs=1e-5)
    for a, b in zip(own[1], mine[1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)
    assert model(input_ids=batch["input_ids"]).logits.shape[2] == 600  # whoever asks for scores gets them


def test_a_model_that_changes_its_scores_keeps_its_own_loss(domain, tuning: TrainingConfig, tiny_base: Path) -> None:
    model, tokenizer = load_base(tiny_base)
    row = encode(domain.train[:1], tokenizer, tuning).rows[0]
    head = model.get_output_embeddings()
    original = type(model).forward

    class Capped(type(model)):
        def forward(self, *args, labels=None, **kwargs):
            out = original(self, *args, **kwargs)
            out.logits = 3 * torch.tanh(out.logits / 3)
            out.loss = self.loss_function(logits=out.logits, labels=labels, vocab_size=self.config.vocab_size)
            return out

    model.__class__ = Capped
    assert not focus(model, row)
    assert "forward" not in vars(model)
    assert model.get_output_embeddings() is head


def test_a_model_that_lets_rows_see_one_another_is_told(tiny_base: Path, domain, tuning: TrainingConfig) -> None:
    model, tokenizer = load_base(tiny_base)
    row = encode(domain.train[:1], tokenizer, tuning).rows[0]
    assert keeps_rows_apart(model, row, tokenizer.pad_token_id)
    sizes = {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 600}
    leaky = OPTForCausalLM(OPTConfig(**sizes, word_embed_proj_dim=32))
    assert not keeps_rows_apart(leaky, row, tokenizer.pad_token_id)


def test_an_update_is_computed_in_as_few_passes_as_its_longest_rows_allow() -> None:
    assert rows_a_pass([100] * 64, 4, 4) == 4
    assert rows_a_pass([100] + [10] * 63, 4, 4) == 16
    assert rows_a_pass([100, 100] + [50] * 62, 4, 4) == 4
