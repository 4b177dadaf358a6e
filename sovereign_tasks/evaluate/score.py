"""Scores of one model, row by row, on fixed rows: the holdout, and everyday questions against forgetting.

`question_gain` is how much better a model knows the answer when it reads its own question than when it reads
another's. A model that merely learned the style, say from shuffled answers, gains nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

from sovereign_tasks.causal_lm import NO_LOSS, Chat, encode_chat, encode_prompt
from sovereign_tasks.evaluate.answers import score_answers
from sovereign_tasks.general import general_examples, skill_of
from sovereign_tasks.generation import generate
from sovereign_tasks.records import EvalReport, Example, Message

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

Progress = Callable[[str, int, int], None]
BATCH_TOKENS = 4096
MAX_NEW_TOKENS = 120
GENERAL_ROWS = 120
SEED = 7  # of the pairing and of the general rows, which must be the same for all who are compared


def score(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    system_prompt: str,
    *,
    subject: str,
    generations: bool = False,
    progress: Progress | None = None,
) -> EvalReport:
    """Score held-out examples, in the order of their ids; `generations` adds answers and their metrics.

    nll is in nats per answer token, the one that closes the turn included; bits_per_byte leaves that one out (see
    there). question_gain is NaN in every row if one group holds more than half of the rows, since no other group's
    questions could then be lent to all of them.
    """
    rows = sorted(examples, key=lambda e: e.example_id)
    tell = progress or (lambda what, done, of: None)
    own = [encode_chat(tokenizer, e.messages, system_prompt) for e in rows]
    losses = answer_losses(model, tokenizer, own, lambda done, of: tell("nll", done, of))
    nll = [_mean(row) for row in losses]
    scores: dict[str, list[float | None]] = {
        "nll": nll,
        "bits_per_byte": [bits_per_byte(chat, row) for chat, row in zip(own, losses, strict=True)],
        "question_gain": [math.nan] * len(rows),
    }
    if partners := pair_off([e.group for e in rows]):
        lent = [
            encode_chat(tokenizer, _ask(e.messages, rows[j].question), system_prompt)
            for e, j in zip(rows, partners, strict=True)
        ]
        other = answer_nll(model, tokenizer, lent, lambda done, of: tell("question_gain", done, of))
        scores["question_gain"] = [b - a for a, b in zip(nll, other, strict=True)]
    answers = [""] * len(rows) if generations else []
    if generations:
        prompts = [encode_prompt(tokenizer, e.messages[:-1], system_prompt) for e in rows]
        for done, (i, text) in enumerate(generate(model, tokenizer, prompts, max_new_tokens=MAX_NEW_TOKENS), start=1):
            answers[i] = text
            tell("answers", done, len(rows))
        scores |= score_answers(answers, [e.answer for e in rows])
    return EvalReport(subject, "holdout", [e.example_id for e in rows], [e.group for e in rows], scores, answers)


def fitting(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, system_prompt: str, max_length: int
) -> list[Example]:
    """Of the owner's chats, the first GENERAL_ROWS that have at most `max_length` tokens, for all models alike."""
    ordered = sorted(examples, key=lambda e: e.example_id)
    fit = (e for e in ordered if len(encode_chat(tokenizer, e.messages, system_prompt).input_ids) <= max_length)
    return list(islice(fit, GENERAL_ROWS))


def score_general(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    system_prompt: str,
    *,
    subject: str,
    own: Sequence[Example] = (),
) -> EvalReport:
    """general_nll, in nats per answer token, on everyday questions that no training replays: bundled, and `own`.

    Its slices are the skills that they take.
    """
    rows = [*general_examples(SEED, GENERAL_ROWS, "regression"), *own]
    chats = [encode_chat(tokenizer, e.messages, system_prompt) for e in rows]
    scores = {"general_nll": answer_nll(model, tokenizer, chats)}
    skills = {"skill": [skill_of(e) for e in rows]}
    return EvalReport(subject, "general", [e.example_id for e in rows], [e.group for e in rows], scores, slices=skills)


def answer_nll(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    chats: Sequence[Chat],
    progress: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Mean negative log-likelihood of each chat's answer tokens, in nats; NaN where it has none."""
    return [_mean(row) for row in answer_losses(model, tokenizer, chats, progress)]


def answer_losses(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    chats: Sequence[Chat],
    progress: Callable[[int, int], None] | None = None,
) -> list[list[float]]:
    """Negative log-likelihood of every answer token of each chat, in nats; batches of like length."""
    import torch

    result: list[list[float]] = [[] for _ in chats]
    done = 0
    for batch in batches([len(c.input_ids) for c in chats]):
        ids = tokenizer.pad(
            {"input_ids": [chats[i].input_ids for i in batch]}, padding_side="right", return_tensors="pt"
        ).to(model.device)
        labels = torch.full_like(ids["input_ids"], NO_LOSS)
        for row, i in enumerate(batch):
            labels[row, : len(chats[i].input_ids)] = torch.tensor(chats[i].labels)
        with torch.inference_mode():
            logits = model(**ids).logits[:, :-1].float()
        for i, row in zip(batch, token_losses(logits, labels[:, 1:]).tolist(), strict=True):
            result[i] = row[chats[i].answer_start - 1 : len(chats[i].input_ids) - 1]
        done += len(batch)
        if progress:
            progress(done, len(chats))
    return result


def token_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood of every label by row, in nats, from the scores of its place; 0 where it is NO_LOSS."""
    from torch.nn.functional import cross_entropy

    # Flat, since classes in the last dimension are three times as fast as in the second.
    flat = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none", ignore_index=NO_LOSS)
    return flat.view(labels.shape)


def bits_per_byte(chat: Chat, losses: Sequence[float]) -> float | None:
    """Bits that a model needs for the answer's own text, over its UTF-8 bytes; None where there is no such text.

    `losses` are those of the chat's answer tokens. Only the tokens that hold a character of the answer count, and only
    the bytes that they hold; what a template puts around it, such as the token that closes the turn, does not, since
    another template puts something else. So figures of bases with other tokenizers compare.
    """
    first, end = (at - chat.answer_start for at in chat.text_tokens)
    return sum(losses[first:end]) / math.log(2) / chat.text_bytes if chat.text_bytes else None


def pair_off(groups: Sequence[str]) -> list[int] | None:
    """For every row the index of a row of another group, each used once; None where that can't be.

    Rows are laid out group by group in a seeded order and shifted by the size of the largest group.
    """
    sizes = Counter(groups)
    shift = max(sizes.values(), default=0)
    if not groups or 2 * shift > len(groups):
        return None
    rng = Random(SEED)  # noqa: S311
    place = sorted(sizes)
    rng.shuffle(place)
    rank = {group: at for at, group in enumerate(place)}
    order = sorted(range(len(groups)), key=lambda i: (rank[groups[i]], i))
    partners = [0] * len(groups)
    for at, i in enumerate(order):
        partners[i] = order[(at + shift) % len(order)]
    return partners


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses) if losses else math.nan


def _ask(messages: Sequence[Message], question: str) -> list[Message]:
    last = max(i for i, m in enumerate(messages) if m["role"] == "user")
    return [*messages[:last], Message(role="user", content=question), *messages[last + 1 :]]


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of rows in batches of like length, each of at most BATCH_TOKENS with its padding."""
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if found and (len(found[-1]) + 1) * lengths[i] <= BATCH_TOKENS:
            found[-1].append(i)
        else:
            found.append([i])
    return found
