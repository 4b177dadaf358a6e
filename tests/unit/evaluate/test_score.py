"""Scores of a model on fixed rows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from sovereign_tasks.causal_lm import CHAT_TEMPLATE, Chat, encode_chat, load_base
from sovereign_tasks.evaluate.facts import find_facts
from sovereign_tasks.evaluate.score import (
    answer_losses,
    answer_nll,
    bits_per_byte,
    fitting,
    pair_off,
    score,
    score_general,
)


def test_nll_is_the_models_own_loss_on_the_answer_and_padding_changes_nothing(tiny_base: Path, domain, tuning) -> None:
    model, tokenizer = load_base(tiny_base)
    chats = [encode_chat(tokenizer, e.messages, tuning.system_prompt) for e in domain.holdout[:12]]
    together = answer_nll(model, tokenizer, chats)
    for chat, nll in zip(chats, together, strict=True):
        with torch.no_grad():
            own = model(input_ids=torch.tensor([chat.input_ids]), labels=torch.tensor([chat.labels])).loss
        assert nll == pytest.approx(own.item(), abs=1e-4)


BITS = 10
TEXT = "Use 3½ inch nails: a café's roof takes 日本 tiles, at €12 each. Use 3½ inch nails."


class EveryByteAlike:
    """Gives every byte the same bits, however many of them a token holds; what is left goes to the end of a turn."""

    device = torch.device("cpu")

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        # One sign of a byte-level vocabulary stands for one byte.
        marks = {t.content for t in tokenizer.added_tokens_decoder.values()}
        shares = torch.zeros(len(tokenizer), dtype=torch.float64)
        for token, i in tokenizer.get_vocab().items():
            shares[i] = 0.0 if token in marks else 2.0 ** (-BITS * len(token))
        shares[tokenizer.eos_token_id] = 1 - shares.sum()
        self.logits = shares.clamp(min=1e-30).log()

    def __call__(self, input_ids: torch.Tensor, **_: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.logits.expand(*input_ids.shape, -1))


def byte_level(vocabulary: int, template: str) -> PreTrainedTokenizerFast:
    """A tokenizer that takes bytes, and merges of them up to the size of its vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 50, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>")
    made.chat_template = template
    return made


def test_bits_per_byte_are_the_same_for_every_tokenizer_and_template() -> None:
    messages = [{"role": "user", "content": "Which nails?"}, {"role": "assistant", "content": TEXT}]
    thoughts = CHAT_TEMPLATE.replace("{% generation %}", "{% generation %}Thought of.\n\n")
    wordy = CHAT_TEMPLATE.replace("{{ eos_token }}", "\n-- that was all, and there is no more --{{ eos_token }}")
    found = []
    for vocabulary, template in [(258, CHAT_TEMPLATE), (330, CHAT_TEMPLATE), (330, wordy), (330, thoughts)]:
        tokenizer = byte_level(vocabulary, template)
        chat = encode_chat(tokenizer, messages, "You know roofs.")
        (losses,) = answer_losses(EveryByteAlike(tokenizer), tokenizer, [chat])
        first, end = chat.text_tokens
        assert tokenizer.decode(chat.input_ids[first:end]) == TEXT
        assert chat.text_bytes == len(TEXT.encode()) > len(TEXT)
        found.append((len(losses), sum(losses) / len(losses), bits_per_byte(chat, losses)))
    tokens, nll, bits = zip(*found, strict=True)
    assert bits == pytest.approx([BITS] * 4, rel=1e-5)
    assert nll[1] > 1.5 * nll[0]  # a token of the larger vocabulary holds more bytes, and loss by token says so
    assert tokens[1] < tokens[0]
    assert tokens[1] < min(tokens[2:])


def test_bits_per_byte_count_all_that_the_answer_holds_and_no_more(tiny_base: Path, domain, tuning) -> None:
    model, tokenizer = load_base(tiny_base)
    chats = [encode_chat(tokenizer, e.messages, tuning.system_prompt) for e in domain.holdout[:12]]
    losses = answer_losses(model, tokenizer, chats)
    for example, chat, row in zip(domain.holdout, chats, losses, strict=False):
        assert len(row) == len(chat.input_ids) - chat.answer_start
        closing = len(chat.input_ids) - chat.text_tokens[1]
        assert closing >= 1
        bits = sum(row[:-closing]) / math.log(2)
        assert bits_per_byte(chat, row) == pytest.approx(bits / len(example.answer.encode()))
    assert bits_per_byte(Chat([1, 2], 1, (1, 1), 0), [0.5]) is None


def test_a_report_covers_every_row_in_order_and_repeats(tiny_base: Path, domain, tuning) -> None:
    model, tokenizer = load_base(tiny_base)
    rows = domain.holdout[:20]
    question, *_ = rows[0].messages
    rows[0] = replace(rows[0], messages=[question, {"role": "assistant", "content": "Ask a fitter."}])
    seen: list[tuple[str, int, int]] = []
    report = score(
        model,
        tokenizer,
        rows[::-1],
        tuning.system_prompt,
        subject="base",
        generations=True,
        progress=lambda *at: seen.append(at),
    )
    assert report.example_ids == sorted(e.example_id for e in rows)
    whole = {"nll", "bits_per_byte", "question_gain", "token_f1", "rouge_l", "length", "refused"}
    assert set(report.scores) == whole | {"facts"}
    assert all(len(v) == 20 for v in report.scores.values())
    assert all(math.isfinite(value) for metric in whole for value in report.scores[metric])
    stated = {e.example_id: bool(find_facts(e.answer)) for e in rows}
    assert [value is not None for value in report.scores["facts"]] == [stated[i] for i in report.example_ids]
    assert not stated[rows[0].example_id]
    assert len(report.answers) == 20
    assert seen[-1] == ("answers", 20, 20)
    again = score(model, tokenizer, rows, tuning.system_prompt, subject="base", generations=True)
    assert again == report


def test_the_general_rows_are_the_same_for_every_model(tiny_base: Path, tuning) -> None:
    model, tokenizer = load_base(tiny_base)
    one = score_general(model, tokenizer, tuning.system_prompt, subject="base")
    assert one == score_general(model, tokenizer, tuning.system_prompt, subject="base")
    assert len(one.example_ids) == 120
    assert len(set(one.groups)) > 15


def test_the_owners_chats_count_among_the_general_rows(tiny_base: Path, domain, tuning) -> None:
    model, tokenizer = load_base(tiny_base)
    own = domain.holdout[:30]
    bundled = score_general(model, tokenizer, tuning.system_prompt, subject="base")
    lengths = {e.example_id: len(encode_chat(tokenizer, e.messages, tuning.system_prompt).input_ids) for e in own}
    longest = sorted(lengths.values())[20]
    chosen = fitting(own[::-1], tokenizer, tuning.system_prompt, longest)
    both = score_general(model, tokenizer, tuning.system_prompt, subject="base", own=chosen)
    fit = sorted(i for i, length in lengths.items() if length <= longest)
    assert 20 < len(fit) < 30
    assert both.example_ids == bundled.example_ids + fit
    theirs = score(model, tokenizer, own, tuning.system_prompt, subject="base")
    alone = dict(zip(theirs.example_ids, theirs.scores["nll"], strict=True))
    assert both.scores["general_nll"][120:] == pytest.approx([alone[i] for i in fit], abs=1e-4)
    assert both.scores["general_nll"][:120] == pytest.approx(bundled.scores["general_nll"], abs=1e-4)
    assert len(fitting(domain.train[:130], tokenizer, tuning.system_prompt, 10_000)) == 120


@pytest.mark.parametrize("groups", ["aabbcc", "abc", "aaabbbcd", "abcabcabcabc", "aaabcd"])
def test_every_row_is_lent_a_question_of_another_group(groups: str) -> None:
    partners = pair_off(groups)
    assert partners == pair_off(groups)
    assert sorted(partners) == list(range(len(groups)))
    assert all(groups[i] != groups[j] for i, j in enumerate(partners))


@pytest.mark.parametrize("groups", ["", "a", "aaab"])
def test_no_pairing_where_one_group_outweighs_the_rest(groups: str) -> None:
    assert pair_off(groups) is None
