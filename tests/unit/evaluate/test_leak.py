"""What real small models give away of what they learned once, many times, or never."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sovereign_tasks.canaries import derive_canaries
from sovereign_tasks.causal_lm import (
    encode_alternatives,
    encode_chat,
    load_base,
)
from sovereign_tasks.evaluate import leak
from sovereign_tasks.evaluate.leak import ending_losses, exposures, reproduced
from sovereign_tasks.evaluate.score import answer_losses


def test_what_all_rows_begin_with_is_read_once_and_changes_nothing(
    tiny_base: Path, tuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = load_base(tiny_base)
    (canary,) = derive_canaries("ab12", 1)
    told = canary.chat(canary.code)
    rows = encode_alternatives(tokenizer, told, tuning.system_prompt, canary.code, canary.others[:20])
    chats = [
        encode_chat(tokenizer, canary.chat(code), tuning.system_prompt) for code in (canary.code, *canary.others[:20])
    ]
    assert rows == [one.input_ids for one in chats]
    once = ending_losses(model, rows, tokenizer.pad_token_id)
    whole = [sum(losses) for losses in answer_losses(model, tokenizer, chats)]
    for losses in (once, leak._losses(model, rows, _shared(rows), tokenizer.pad_token_id, prefix_once=False)):
        assert [a - losses[0] for a in losses] == pytest.approx([a - whole[0] for a in whole], abs=1e-3)

    # A model that can't go on from what it has read is given all of every row.
    forward, widths = model.forward, []

    def refuse(*args, past_key_values=None, **kwargs):
        widths.append(kwargs["input_ids"].shape[1])
        if past_key_values is not None:
            raise ValueError("it has no such thing")
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", refuse)
    assert ending_losses(model, rows, tokenizer.pad_token_id) == pytest.approx(once, abs=1e-3)
    assert widths[-1] == max(map(len, rows))


def _shared(rows: list[list[int]]) -> int:
    return next(i for i, ids in enumerate(zip(*rows, strict=False)) if len(set(ids)) > 1)


def test_a_model_that_is_broken_has_no_exposure(tiny_base: Path) -> None:
    model, tokenizer = load_base(tiny_base)
    model.model.norm.weight.data[0] = math.nan
    (canary,) = derive_canaries("ab12", 1)
    assert math.isnan(exposures(model, tokenizer, [replace(canary, others=canary.others[:3])], "")[0])


def test_a_model_that_gives_all_codes_one_chance_has_no_exposure(tiny_base: Path) -> None:
    model, tokenizer = load_base(tiny_base)
    canaries = [replace(one, others=one.others[:3]) for one in derive_canaries("ab12", 2)]
    assert all(map(math.isfinite, exposures(model, tokenizer, canaries, "")))
    same = replace(canaries[0], others=[canaries[0].code] * 3)
    assert math.isnan(exposures(model, tokenizer, [same], "")[0])


def test_an_answer_is_given_back_where_the_model_would_write_it_by_itself(tiny_base: Path, domain) -> None:
    model, tokenizer = load_base(tiny_base)
    learned = [encode_chat(tokenizer, e.messages, "") for e in domain.train[:6]]
    written = []
    for one in learned:
        prompt = torch.tensor([one.input_ids[: one.answer_start]])
        with torch.inference_mode():
            ids = model.generate(input_ids=prompt, max_new_tokens=12, min_new_tokens=12, do_sample=False)
        written.append(replace(one, input_ids=ids[0].tolist()))
    assert reproduced(model, tokenizer, written, 12) == [True] * 6
    assert reproduced(model, tokenizer, learned, 12) == [False] * 6
    assert reproduced(model, tokenizer, [*learned[:2], *written], 12) == [False] * 2 + [True] * 6
    last = [replace(one, input_ids=[*one.input_ids[:-1], one.input_ids[-1] + 1]) for one in written]
    assert reproduced(model, tokenizer, last, 12) == [False] * 6
    assert reproduced(model, tokenizer, last, 11) == [True] * 6
