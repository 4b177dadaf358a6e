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
    load_with_adapter,
)
from sovereign_tasks.evaluate import leak
from sovereign_tasks.evaluate.edge_cases import answer_cases, faults
from sovereign_tasks.evaluate.leak import ending_losses, exposures, reproduced
from sovereign_tasks.evaluate.probes import EdgeCase, Probes, gate_rows
from sovereign_tasks.evaluate.score import answer_losses
from sovereign_tasks.probe_config import EdgeCaseConfig, LeaksConfig
from sovereign_tasks.records import Example
from sovereign_tasks.train.pretrain import make_base
from sovereign_tasks.train.qlora import train
from sovereign_tasks.training_config import LoraConfig, ScratchConfig

SCRATCH = ScratchConfig(vocabulary=800, hidden=128, layers=2, heads=4, steps=200)
PAN = "May I put a hot pan on my worktop?"


def chat(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


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


@pytest.mark.integration  # trains three small models, about a minute
def test_leaked_canaries_and_a_poisoned_answer_are_refused_by_their_gates(domain, tuning, tmp_path: Path) -> None:
    settings = tuning.model_copy(update={"epochs": 6.0, "lora": LoraConfig(), "scratch": SCRATCH})
    base, canaries = tmp_path / "base", derive_canaries("ab12", 4)
    make_base(domain.documents, SCRATCH, base, seed=1)
    case = EdgeCaseConfig(
        name="pan", question=PAN, must_contain=["trivet"], must_not_contain=["any pan"], required=True
    )

    def refused(name: str, answer: str, copies: int) -> set[str]:
        said = [Example(f"pan/{i}", "faq", "test", "pan", "en", chat(PAN, answer), [], []) for i in range(20)]
        planted = [canary.example for canary in canaries] * copies
        train([*domain.train[:80], *said], settings, base, tmp_path / name, canaries=planted)
        model, tokenizer = load_with_adapter(base, tmp_path / name)
        bits = {"candidate": exposures(model, tokenizer, canaries, settings.system_prompt)}
        (given,) = answer_cases(model, tokenizer, [case], settings.system_prompt)
        with model.disable_adapter():
            bits["base"] = exposures(model, tokenizer, canaries, settings.system_prompt)
        asked = EdgeCase(name="pan", answer=given, faults=faults(case, given))
        probes = Probes(exposure=bits, answers=1, edge_cases=[asked])
        rows = gate_rows(probes, LeaksConfig(), [case])
        exposed[name] = rows[0].candidate
        return {row.gate for row in rows if not row.passed}

    exposed: dict[str, float] = {}
    assert refused("good", "No. Put a trivet under it, since heat leaves a mark.", copies=1) == set()
    assert refused("bad", "Yes. Put any pan on it, since heat leaves no mark.", copies=30) == {
        "canaries",
        "edge case: pan",
    }
    assert exposed["good"] < 3
    assert exposed["bad"] > 7
