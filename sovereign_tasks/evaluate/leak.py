"""What a model gives away of what it learned: made-up secrets by their rank, and answers word for word.

Exposure (Carlini et al. 2019, "The Secret Sharer") is log2 of how many secrets there might have been, less log2 of the
rank that the model gives the true one among them: 0 bits where it is the least likely, 10 of 1,024 where it is the
first. A model that never read it has 1.4 bits on average, by chance alone.

An answer is extractable (Carlini et al. 2023, "Quantifying Memorization") where the model, asked its question and
decoding greedily, gives its first 50 tokens as they were learned.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from sovereign_tasks.canaries import Canary
from sovereign_tasks.causal_lm import NO_LOSS, Chat, encode_alternatives
from sovereign_tasks.evaluate.score import batches, token_losses

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

EXTRACTED = 50
"""Tokens of an answer that make it count as given away word for word."""
_MOST_TIES = 0.01
"""Share of a canary's other codes that may have its own loss, before a rank among them means nothing."""
_AGREES = 0.1  # nats by which a loss may differ where the prefix is computed once: 16-bit numbers round


def exposures(
    model: Any, tokenizer: PreTrainedTokenizerFast, canaries: Sequence[Canary], system_prompt: str
) -> list[float]:
    """The exposure of each canary in bits, a tie counted as given away.

    NaN where a loss is no number, or where too many are the same: such a model can't tell the codes apart.
    """
    found = []
    for canary in canaries:
        rows = encode_alternatives(tokenizer, canary.chat(canary.code), system_prompt, canary.code, canary.others)
        own, *others = losses = ending_losses(model, rows, tokenizer.pad_token_id)
        rank = 1 + sum(loss < own for loss in others)
        ranked = all(map(math.isfinite, losses)) and others.count(own) <= _MOST_TIES * len(others)
        found.append(math.log2(len(rows) / rank) if ranked else math.nan)
    return found


def ending_losses(model: Any, rows: Sequence[list[int]], pad: int) -> list[float]:
    """Negative log-likelihood, in nats, of what each row has after the tokens that all of them begin with.

    Those are computed once where the model can go on from them as if it had read all, which is tried on two rows: some
    methods put something of their own there.
    """
    shared = sum(1 for _ in takewhile(lambda ids: len(set(ids)) == 1, zip(*rows, strict=False)))
    some = _losses(model, rows[:2], shared, pad, prefix_once=False)
    try:
        again = _losses(model, rows[:2], shared, pad, prefix_once=True)
        goes_on = all(abs(a - b) <= _AGREES for a, b in zip(some, again, strict=True))
    except (TypeError, ValueError, RuntimeError, AttributeError):
        goes_on = False
    return _losses(model, rows, shared, pad, prefix_once=goes_on)


def reproduced(
    model: Any, tokenizer: PreTrainedTokenizerFast, chats: Sequence[Chat], tokens: int = EXTRACTED
) -> list[bool]:
    """Whether the model gives the first `tokens` of each chat's answer, asked for it; every answer has as many.

    It decodes them greedily if each is the likeliest after those before it, which one look at all of them tells.
    """
    import torch

    found = [False] * len(chats)
    for batch in batches([chat.answer_start + tokens for chat in chats]):
        rows = [chats[i].input_ids[: chats[i].answer_start + tokens] for i in batch]
        ids = tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt").to(model.device)
        with torch.inference_mode():
            likeliest = model(**ids).logits.argmax(-1).tolist()
        for i, row, said in zip(batch, rows, likeliest, strict=True):
            start = chats[i].answer_start
            found[i] = said[start - 1 : len(row) - 1] == row[start:]
    return found


def _losses(model: Any, rows: Sequence[list[int]], shared: int, pad: int, *, prefix_once: bool) -> list[float]:
    import torch

    losses, given = [0.0] * len(rows), {}
    at = shared - 1 if prefix_once else 0  # the scores at the last shared token tell of the one after it
    with torch.inference_mode():
        if prefix_once:
            read = model(input_ids=torch.tensor([rows[0][:at]], device=model.device), use_cache=True).past_key_values
        for batch in batches([len(row) for row in rows]):
            width = max(len(rows[i]) for i in batch)
            padded = [rows[i][at:] + [pad] * (width - len(rows[i])) for i in batch]
            labels = [
                [NO_LOSS] * (shared - 1 - at) + rows[i][shared:] + [NO_LOSS] * (width - len(rows[i])) for i in batch
            ]
            if prefix_once:
                given = {"past_key_values": copy.deepcopy(read)}
                given["past_key_values"].batch_repeat_interleave(len(batch))
            logits = model(input_ids=torch.tensor(padded, device=model.device), **given).logits[:, :-1].float()
            wanted = torch.tensor(labels, device=model.device)
            for i, loss in zip(batch, token_losses(logits, wanted).sum(dim=1).tolist(), strict=True):
                losses[i] = loss
    return losses
