"""Scores of a model on fixed rows."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from sovereign_tasks.causal_lm import encode_chat, load_base
from sovereign_tasks.evaluate.score import answer_nll, fitting, pair_off, rouge_l, score, score_general, token_f1, words


def test_nll_is_the_models_own_loss_on_the_answer_and_padding_changes_nothing(tiny_base: Path, domain, tuning) -> None:
    model, tokenizer = load_base(tiny_base)
    chats = [encode_chat(tokenizer, e.messages, tuning.system_prompt) for e in domain.holdout[:12]]
    together = answer_nll(model, tokenizer, chats)
    for chat, nll in zip(chats, together, strict=True):
        with torch.no_grad():
            own = model(input_ids=torch.tensor([chat.input_ids]), labels=torch.tensor([chat.labels])).loss
        assert nll == pytest.approx(own.item(), abs=1e-4)


def test_a_report_covers_every_row_in_order_and_repeats(tiny_base: Path, domain, tuning) -> None:
    model, tokenizer = load_base(tiny_base)
    rows = domain.holdout[:20]
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
    assert set(report.scores) == {"nll", "question_gain", "token_f1", "rouge_l"}
    assert all(len(v) == 20 and all(map(math.isfinite, v)) for v in report.scores.values())
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


def test_f1_and_rouge_by_hand() -> None:
    given, wanted = words("The cat sat on $1,200.50"), words("the CAT was on 1,200.50 sat")
    assert wanted == ["the", "cat", "was", "on", "1,200.50", "sat"]
    assert token_f1(given, wanted) == pytest.approx(2 * 5 / 11)
    assert rouge_l(given, wanted) == pytest.approx(2 * 4 / 11)
    assert token_f1([], wanted) == rouge_l([], wanted) == rouge_l(["dog"], wanted) == 0
    assert rouge_l(wanted, wanted) == token_f1(wanted, wanted) == 1
