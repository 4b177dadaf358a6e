"""The loss on answers, computed from the scores of answer tokens alone.

A causal LM scores its whole vocabulary for every token. Most of a row is question and padding, which carry no loss, and
over 8,192 tokens and a vocabulary of 128,256 the scores and their gradients alone take 10 GB. Here the head sees answer
tokens only, some at a time, and since it is frozen, the gradients are known as soon as the scores are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import Function
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import CausalLMOutput

from sovereign_tasks.causal_lm import NO_LOSS
from sovereign_tasks.train.methods import SCORES_AT_ONCE
from sovereign_tasks.train.prompts import Row

TOLERANCE = 1e-3


def focus(model: Any, row: Row) -> bool:
    """Let a causal LM whose head is frozen compute its loss so; False, and nothing changed, where it would be another.

    Some models scale or cap their scores after the head: on `row` both ways have to give one loss.
    """
    whole = type(model).forward
    if model.get_decoder() is model or model.get_output_embeddings() is None:
        return False

    def forward(
        *args: Any, labels: torch.Tensor | None = None, num_items_in_batch: Any = None, **kwargs: Any
    ) -> CausalLMOutput:
        if labels is None:
            return whole(model, *args, **kwargs)
        kwargs.setdefault("use_cache", False)
        hidden = model.get_decoder()(*args, **kwargs).last_hidden_state
        return CausalLMOutput(loss=answer_loss(model.get_output_embeddings(), hidden, labels, num_items_in_batch))

    batch = {name: torch.tensor([ids], device=model.device) for name, ids in row.items()}
    with torch.no_grad():
        try:
            same = abs(forward(**batch).loss - whole(model, **batch).loss) <= TOLERANCE
        except (AttributeError, TypeError):
            return False
    if same:
        model.forward = forward
    return bool(same)


def answer_loss(head: torch.nn.Module, hidden: torch.Tensor, labels: torch.Tensor, count: Any = None) -> torch.Tensor:
    """The mean cross-entropy of the labels that are not NO_LOSS, each told by the state before it.

    `hidden` has the shape (rows, tokens, width), `labels` (rows, tokens); the sum is divided by `count` if given.
    """
    told = labels[:, 1:] != NO_LOSS
    states, wanted = hidden[:, :-1][told], labels[:, 1:][told]
    return _AnswerLoss.apply(states, wanted, head) / (count if count is not None else max(1, len(wanted)))


class _AnswerLoss(Function):
    """The summed cross-entropy; the gradients to the states are computed with it, while the scores are at hand."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, wanted: torch.Tensor, head: torch.nn.Module) -> torch.Tensor:
        asked = ctx.needs_input_grad[0]
        total = torch.zeros((), device=states.device)
        gradients = torch.empty_like(states) if asked else None
        size = max(1, SCORES_AT_ONCE // head.weight.shape[0])
        for at in range(0, len(states), size):
            part = states[at : at + size].detach().requires_grad_(asked)
            with torch.set_grad_enabled(asked):
                loss = cross_entropy(head(part).float(), wanted[at : at + size], reduction="sum")
            if asked:
                (gradients[at : at + size],) = torch.autograd.grad(loss, part)
            total += loss.detach()
        ctx.save_for_backward(*([gradients] if asked else []))
        return total

    @staticmethod
    def backward(ctx: Any, scale: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * scale.to(gradients.dtype), None, None
