"""What a training row is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sovereign_tasks.causal_lm import encode_chat, encode_prompt, load_tokenizer
from sovereign_tasks.errors import UserError
from sovereign_tasks.general import general_examples
from sovereign_tasks.train.prompts import Rows, encode, replay


def said(*turns: str) -> list[dict[str, str]]:
    """A chat of a user and an assistant in turn."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]


def prompts(examples, tokenizer, tuning) -> set[tuple[int, ...]]:
    return {tuple(encode_prompt(tokenizer, e.messages[:-1], tuning.system_prompt)) for e in examples}


def test_the_loss_is_on_the_answer_alone(tiny_base: Path, domain, tuning) -> None:
    tokenizer = load_tokenizer(tiny_base)
    examples = sorted(domain.train[:30], key=lambda e: e.example_id)
    for example, row in zip(examples, encode(examples, tokenizer, tuning).rows, strict=True):
        learned = [i for i in row["labels"] if i != -100]
        assert tokenizer.decode(learned) == example.answer + tokenizer.eos_token
        assert row["input_ids"][-len(learned) :] == learned
        hidden = tokenizer.decode(row["input_ids"][: -len(learned)])
        assert example.question in hidden
        assert tuning.system_prompt in hidden
        assert example.answer not in hidden


def test_rows_do_not_depend_on_the_order_they_come_in(tiny_base: Path, domain, tuning) -> None:
    tokenizer = load_tokenizer(tiny_base)
    forth, back = domain.train[:20], domain.train[:20][::-1]
    assert encode(forth, tokenizer, tuning).digest == encode(back, tokenizer, tuning).digest
    assert encode(forth[1:], tokenizer, tuning).digest != encode(back, tokenizer, tuning).digest


def test_examples_that_are_too_long_are_counted_and_not_cut(tiny_base: Path, domain, tuning) -> None:
    tokenizer = load_tokenizer(tiny_base)
    lengths = sorted(len(r["input_ids"]) for r in encode(domain.train, tokenizer, tuning).rows)
    limit = lengths[len(lengths) // 2]
    rows = encode(domain.train, tokenizer, tuning.model_copy(update={"max_length": limit}))
    assert rows.left_out == sum(n > limit for n in lengths) > 0
    assert max(len(r["input_ids"]) for r in rows.rows) == limit


def test_a_chat_that_is_too_long_loses_its_oldest_turns_and_no_more(tiny_base: Path, domain, tuning) -> None:
    tokenizer = load_tokenizer(tiny_base)
    turns = said(*(f"Is step {n} of the work done by now?" if n % 2 == 0 else f"Step {n} is done." for n in range(8)))
    told = [{"role": "system", "content": "Count."}]
    one = replace(domain.train[0], messages=told + turns)
    lengths = {at: len(encode_chat(tokenizer, told + turns[at:], "").input_ids) for at in (0, 2, 4, 6)}

    def rows(limit: int, what: str) -> Rows:
        return encode([one], tokenizer, tuning.model_copy(update={"max_length": limit, "too_long": what}))

    for at, tighter in ((2, 0), (4, 2), (6, 4)):
        for limit in (lengths[at], lengths[tighter] - 1):
            found = rows(limit, "split")
            assert (len(found.rows), found.left_out, found.shortened) == (1, 0, 1)
            chat = encode_chat(tokenizer, told + turns[at:], "")
            assert found.rows == [{"input_ids": chat.input_ids, "labels": chat.labels}]
            assert rows(limit, "drop") == Rows([], 1, 0)
    assert rows(lengths[6] - 1, "split") == Rows([], 1, 0)
    whole = rows(lengths[0], "split")
    assert whole == rows(lengths[0], "drop")
    assert (len(whole.rows), whole.shortened) == (1, 0)


def test_replay_is_the_share_asked_for_and_none_of_the_regression_set(tiny_base: Path, tuning) -> None:
    tokenizer = load_tokenizer(tiny_base)
    rows = replay(100, tokenizer, tuning).rows
    assert len(rows) == 30
    asked = {tuple(row["input_ids"][: row["labels"].count(-100)]) for row in rows}
    assert asked == prompts(general_examples(tuning.seed, 30, "train"), tokenizer, tuning)
    assert not asked & prompts(general_examples(7, 120, "regression"), tokenizer, tuning)
    assert replay(100, tokenizer, tuning.model_copy(update={"replay_share": 0.0})).rows == []


def test_replay_draws_from_the_owners_chats_those_that_fit(tiny_base: Path, domain, tuning) -> None:
    tokenizer = load_tokenizer(tiny_base)
    own, long = domain.holdout[:40], replace(domain.train[0], messages=said("Why?", "Because. " * 300))
    settings = tuning.model_copy(update={"replay": "chats.jsonl"})
    rows = replay(100, tokenizer, settings, [long, *own])
    assert len(rows.rows) == 30
    mine = {tuple(row["input_ids"]) for row in encode(own, tokenizer, settings).rows}
    assert {tuple(row["input_ids"]) for row in rows.rows} < mine
    assert rows == replay(100, tokenizer, settings, [*own, long][::-1])
    assert rows.digest != replay(100, tokenizer, settings.model_copy(update={"seed": 43}), [*own, long]).digest
    with pytest.raises(UserError, match=r"chats.jsonl has 40 chats .* 30% of 140 examples are 42; add chats or lower"):
        replay(140, tokenizer, settings, [long, *own])
