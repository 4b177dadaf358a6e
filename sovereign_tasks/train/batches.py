"""Batches of like length in random order: little padding, and no drift from long rows to short ones.

The library's own grouping walks each stretch of batches from long to short. At the rates a small model wants
the model then follows that walk: on the same rows it ended with a third more loss on general questions.

On a card a batch is laid out in as few lines as its rows fill, several rows to a line where they fit. Positions begin
anew with each row, and by that most models keep a row's attention to itself; others get one row a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

from sovereign_tasks.causal_lm import NO_LOSS
from sovereign_tasks.train.prompts import Row

POOL = 8  # batches' worth of rows that are sorted together


def lay_out(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Put rows into lines of at most `width` tokens, the longest first, each where it first fits; indices by line."""
    lines: list[list[int]] = []
    left: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        at = next((k for k, free in enumerate(left) if free >= lengths[i]), len(lines))
        if at == len(lines):
            lines.append([])
            left.append(width)
        lines[at].append(i)
        left[at] -= lengths[i]
    return lines


def rows_a_pass(lengths: Sequence[int], batch_size: int, accumulation: int) -> int:
    """How many of an update's batch_size x accumulation rows fit into batch_size lines as long as the longest row.

    A divisor of their number, so that passes are alike; `batch_size` where rows are all of one length.
    """
    update = batch_size * accumulation
    longest = sorted(lengths, reverse=True)
    for passes in range(1, accumulation + 1):
        rows = update // passes
        if update % passes == 0 and len(lay_out(longest[:rows], longest[0])) <= batch_size:
            return rows
    return batch_size


def keeps_rows_apart(model: Any, row: Row, pad: int) -> bool:
    """Whether a model that is given two rows in one line computes the second as if the first were not there.

    Some models take no positions, or hand a state from token to token whatever the positions say; and what prefix
    tuning puts before a text belongs to a line's first row alone.
    """
    ids = row["input_ids"]
    batches = [torch.tensor([[*before, *ids]], device=model.device) for before in (ids, [pad] * len(ids))]
    positions = torch.tensor([[*range(len(ids)), *range(len(ids))]], device=model.device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            found = [model(input_ids=both, position_ids=positions, use_cache=False).logits for both in batches]
    except (TypeError, ValueError, RuntimeError):
        return False
    finally:
        model.train(was_training)
    second, unmoved = (logits[0, -len(ids) :] for logits in found)
    return torch.allclose(second, unmoved, atol=1e-4)


def pack(rows: Sequence[Row], pad: int, *, in_one_line: bool = False) -> dict[str, torch.Tensor]:
    """Rows as lines of one width; what fills a line up goes on with its last row, without loss.

    A line of one row needs no mask then, which the fastest kernels of attention don't take. Under flash attention the
    library looks for rows in a line only where a batch is of one.
    """
    lengths = [len(row["input_ids"]) for row in rows]
    width = sum(lengths) if in_one_line else max(lengths)
    lines = lay_out(lengths, width)
    shape = (len(lines), width)
    ids, labels = torch.full(shape, pad), torch.full(shape, NO_LOSS)
    positions = torch.empty(shape, dtype=torch.long)
    for k, line in enumerate(lines):
        at = 0
        for i in line:
            end = at + lengths[i]
            ids[k, at:end] = torch.tensor(rows[i]["input_ids"])
            labels[k, at:end] = torch.tensor(rows[i]["labels"])
            labels[k, at] = NO_LOSS  # no row tells how the next one begins
            positions[k, at:end] = torch.arange(lengths[i])
            at = end
        last = lengths[line[-1]]
        positions[k, at:] = torch.arange(last, last + width - at)
    return {"input_ids": ids, "labels": labels, "position_ids": positions}


class LengthBatches(Sampler[int]):
    """Row indices such that each run of `batch_size` is one batch; a new order for every epoch, by seed.

    `fill` more indices come last, those after the rows' own.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, fill: int = 0) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.fill = fill
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths) + self.fill

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader at the start of an epoch, also when a training resumes in it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + 1_000_003 * self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        pool = POOL * self.batch_size
        grouped = [i for at in range(0, len(order), pool) for i in sorted(order[at : at + pool], key=self._length)]
        batches = [grouped[at : at + self.batch_size] for at in range(0, len(grouped), self.batch_size)]
        whole = len(grouped) // self.batch_size
        for k in torch.randperm(whole, generator=generator).tolist():
            yield from batches[k]
        for rest in batches[whole:]:
            yield from rest
        yield from range(len(self.lengths), len(self))

    def _length(self, i: int) -> int:
        return self.lengths[i]
