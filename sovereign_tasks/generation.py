"""Answers of a model to many prompts at once; a row that has ended soon takes no more steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

CACHE_BYTES, MOST_AT_ONCE = 2 << 30, 256
"""Memory for keys and values of the answers that are written at once, and how many those are at most."""


def generate(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
) -> Iterator[tuple[int, str]]:
    """Answers to encoded prompts, as (index, text) in batches of like length; greedy at temperature 0."""
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    sampling = {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
    longest = max(map(len, prompts), default=0) + max_new_tokens
    at_once = max(1, min(MOST_AT_ONCE, CACHE_BYTES // (_cache_bytes(model) * max(1, longest))))
    for at in range(0, len(order), at_once):
        batch = order[at : at + at_once]
        padded = tokenizer.pad(
            {"input_ids": [list(prompts[i]) for i in batch]}, padding_side="left", return_tensors="pt"
        ).to(model.device)
        settings = {"pad_token_id": tokenizer.pad_token_id} | sampling
        for rows, ids in _write(model, padded["input_ids"], padded["attention_mask"], max_new_tokens, settings):
            texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
            yield from ((batch[row], text.strip()) for row, text in zip(rows, texts, strict=True))


def _write(
    model: Any, ids: Tensor, mask: Tensor, max_new_tokens: int, settings: dict[str, Any]
) -> Iterator[tuple[list[int], Tensor]]:
    """The new tokens of every row of a padded batch, as (rows, ids): of the half that ends first, then of the next.

    One answer goes on for long where most have ended, and every row of a batch takes every step. So a batch stops when
    half of it has ended, and the rest goes on alone from the keys and values that it has.
    """
    import torch

    begin, rows, cache = ids.shape[1], torch.arange(len(ids), device=ids.device), _cache_to_part(model)
    while len(rows):
        half = _HalfEnded(model.generation_config.eos_token_id, ids)
        parting = {} if cache is None else {"past_key_values": cache, "stopping_criteria": [half]}
        with torch.inference_mode():
            ids = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=begin + max_new_tokens - ids.shape[1],
                **settings,
                **parting,
            )
        on = torch.zeros_like(half.ended) if cache is None else ~half.ended & (ids.shape[1] < begin + max_new_tokens)
        yield rows[~on].tolist(), ids[~on, begin:]
        rows, ids = rows[on], ids[on]
        mask = torch.nn.functional.pad(mask[on], (0, ids.shape[1] - mask.shape[1]), value=1)
        if len(rows):
            cache.batch_select_indices(on)


def _cache_to_part(model: Any) -> Any:
    """An empty cache of which some rows can go on without the others; None where there is none for a model.

    Layers that keep a state can't be parted, a learned prefix is longer than what was read, and some settings of a
    model's own count or search over the whole of an answer.
    """
    from transformers.cache_utils import DummyLayer, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    learned, own = getattr(model, "active_peft_config", None), model.generation_config
    if learned and learned.is_prompt_learning:
        return None
    if own.cache_implementation or own.use_cache is False or own.min_new_tokens or (own.num_beams or 1) > 1:
        return None
    cache = DynamicCache(config=model.config) if model._supports_default_dynamic_cache() else None
    if cache and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer, DummyLayer) for layer in cache.layers):
        return cache
    return None


class _HalfEnded:
    """Stops a batch of which half has ended, and knows which rows have."""

    def __init__(self, eos: int | list[int] | None, ids: Tensor) -> None:
        self.eos = ids.new_tensor([] if eos is None else [eos] if isinstance(eos, int) else eos)
        self.ended = ids.new_zeros(len(ids)).bool()

    def __call__(self, ids: Tensor, _scores: Any, **_: Any) -> Tensor:
        import torch

        self.ended |= torch.isin(ids[:, -1], self.eos)
        return torch.full_like(self.ended, bool(2 * self.ended.sum() >= len(ids)))


def _cache_bytes(model: Any) -> int:
    """What a token takes of memory while an answer goes on: its keys and values in every layer."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None) or 1
    kept = getattr(config, "num_key_value_heads", None) or heads  # queries may share keys
    return 2 * config.hidden_size * config.num_hidden_layers * model.dtype.itemsize * kept // heads
