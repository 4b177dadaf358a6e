"""What a training will need: memory by part, steps, time, energy and money, reckoned before it starts.

Sums over a model's shape and the lengths of the encoded rows; every constant says where it comes from. A GB is 10^9
bytes.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sovereign_tasks.causal_lm import NO_LOSS
from sovereign_tasks.config import CostsConfig
from sovereign_tasks.train.device import Device
from sovereign_tasks.train.methods import SCORES_AT_ONCE, is_checkpointed
from sovereign_tasks.train.prompts import Row
from sovereign_tasks.train.shape import Shape
from sovereign_tasks.training_config import LOW_RANK, TrainingConfig

FOUR_BITS = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes a parameter in NF4: half a byte, a byte of scale for 64 of them, 4 bytes more for 256 of those scales."""
KEPT_PER_INPUT, KEPT_PER_OUTPUT = 2.0, 1.625
"""Values that a layer keeps for its backward pass, for each of its linears' inputs and outputs: counted with autograd's
saved tensors in a Llama layer under LoRA. An input after dropout and the dropout's mask; an output, and for what comes
between (norms, attention, activation) five eighths of one."""
PASSING_PER_OUTPUT = 2.0
"""Values on their way through a layer's backward pass: gradients and copies. From the peak measured on an H200 with an
8B Llama shape and 8,192 tokens a batch: 12.1 GB, of which all other parts explain 10.7."""
CARD_UNUSED, PROCESSOR_UNUSED = 0.1, 0.5
"""What allocators hold unused, as a share of all that comes and goes. There CUDA's had reserved 11.9 GB for rows of
2,048 tokens and 13.8 for rows of 4,096 (benchmarks/training_gpu.py), and this lies between; on a processor, batches of
5,872 tokens through 13 million parameters made a process grow by 2.7 GB, of 1.8 in use."""
CARD_SHARE, PROCESSOR_SHARE = 0.25, 0.5
"""Of the peak rate that a training reaches. On that H200, with TRL and the same shape, 27% at rows of 2,048 tokens and
24% at 4,096 (docs/measurements.md); on one core, 20% with a million parameters and 90% with 13 million."""
IN_FOUR_BITS, LINEARS, OTHERS = "linears in 4 bits", "linears", "other weights"
UNUSED = "unused in the allocator"
OPERATIONS = 4
"""Floating-point operations a parameter and token: 2 forward, 2 back to the activations, since what is frozen needs no
gradient of its own."""
SHORTEST = 16  # that max_length may be
ROUND = 64  # to which an advised max_length is rounded down


@dataclass(frozen=True, slots=True)
class Setup:
    """How a training computes, as far as memory and time go by it; `_bytes` are of one value or parameter."""

    other_bytes: int
    """Of a parameter that is not quantised."""
    value_bytes: int
    """Of an activation."""
    adapter_bytes: int
    """Of a trained parameter: itself, its gradient and the optimizer's two states."""
    score_bytes: int = 12
    """Of a score: itself, its copy in fp32, its gradient. On that H200 all scores of 8,192 tokens took 12.6 GB."""
    scores_at_once: int = SCORES_AT_ONCE
    checkpointed: bool = True
    """Whether a layer keeps nothing but its input, and is computed again on the way back."""
    unused_share: float = CARD_UNUSED
    cards: int = 1
    """Over which linears and adapter are split."""

    @property
    def operations(self) -> int:
        """Floating-point operations a parameter and token: 2 more where a layer is computed again."""
        return OPERATIONS + 2 if self.checkpointed else OPERATIONS


ON_CARD = Setup(other_bytes=2, value_bytes=2, adapter_bytes=4 + 4 + 2)
"""16 bits, checkpointed; the adapter in fp32, AdamW with 8-bit states."""
ON_PROCESSOR = Setup(
    other_bytes=4, value_bytes=4, adapter_bytes=4 + 4 + 8, checkpointed=False, unused_share=PROCESSOR_UNUSED
)
"""fp32 all through."""


@dataclass(frozen=True, slots=True)
class Load:
    """Encoded rows, as far as they cost: the tokens of each, and how many of these are an answer's."""

    lengths: list[int]
    answers: list[int]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Load:
        """What encoded rows load a training with."""
        return cls([len(r["input_ids"]) for r in rows], [sum(label != NO_LOSS for label in r["labels"]) for r in rows])

    def largest_batch(self, config: TrainingConfig) -> tuple[int, int]:
        """The most tokens that a batch may be laid out in on a card, with padding, and the most of them in answers."""
        rows = config.on_cards(config.gpus)[0]
        tokens = min(rows, len(self.lengths)) * min(config.max_length, max(self.lengths))
        share = max(answer / length for answer, length in zip(self.answers, self.lengths, strict=True))
        return tokens, math.ceil(tokens * share)

    def steps(self, config: TrainingConfig) -> int:
        """How many updates the trainer makes in all passes."""
        return math.ceil(config.epochs * math.ceil(len(self.lengths) / (config.batch_size * config.accumulation)))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a training needs: bytes at the peak by part, and time at `rate` tokens a second; None where it's unknown."""

    shape: Shape
    memory: dict[str, int]
    tokens: int
    answers: int
    steps: int
    seconds: float
    rate: float
    watts: float | None
    kwh: float | None
    cost: float | None

    @property
    def peak(self) -> int:
        """Bytes at the peak."""
        return sum(self.memory.values())

    @property
    def base(self) -> int:
        """Bytes of the base's weights alone."""
        return sum(self.memory.get(part, 0) for part in (IN_FOUR_BITS, LINEARS, OTHERS))


def setup_of(device: Device, config: TrainingConfig) -> Setup:
    """How the trainer computes there."""
    setup = ON_CARD if device.is_gpu else ON_PROCESSOR
    setup = replace(setup, checkpointed=is_checkpointed(config, gpu=device.is_gpu))
    if config.sharding == "none":
        return setup
    return replace(setup, cards=config.gpus, adapter_bytes=ON_PROCESSOR.adapter_bytes)  # by the same AdamW


def estimate(
    shape: Shape, load: Load, config: TrainingConfig, device: Device, costs: CostsConfig, measured: float | None
) -> Estimate:
    """Reckon a training; `measured` are the tokens a second of an earlier one of this model on this device, if any."""
    setup, tokens, answers = setup_of(device, config), sum(load.lengths), sum(load.answers)
    share = CARD_SHARE if device.is_gpu else PROCESSOR_SHARE
    cards = config.gpus if device.is_gpu else 1  # processes share one processor
    rate = measured or cards * share * device.peak / (setup.operations * _multiplied(shape, load))
    seconds = config.epochs * tokens / rate
    watts = costs.watts or (device.watts and cards * device.watts)
    kwh = watts and watts * seconds / 3.6e6
    priced = kwh is not None or not costs.price_per_kwh
    return Estimate(
        shape,
        needed(shape, load, config, device),
        tokens,
        answers,
        load.steps(config),
        seconds,
        rate,
        watts,
        kwh,
        (kwh or 0.0) * costs.price_per_kwh + seconds / 3600 * costs.price_per_hour if priced else None,
    )


def in_all(largest: Estimate, trials: Sequence[Estimate]) -> Estimate:
    """What several trainings after one another need: the memory of the largest, and the time of all."""

    def total(name: str) -> float | None:
        values = [getattr(trial, name) for trial in trials]
        return None if None in values else sum(values)

    return replace(largest, **{name: total(name) for name in ("steps", "seconds", "kwh", "cost")})


def share_of_peak(rate: float, shape: Shape, load: Load, device: Device) -> float:
    """The share of a device's peak that a training reached at `rate` tokens a second.

    It counts OPERATIONS: computing a layer again for its gradients is no work done.
    """
    return rate * OPERATIONS * _multiplied(shape, load) / device.peak


def _multiplied(shape: Shape, load: Load) -> float:
    """Parameters that a token is multiplied with on average: the head scores answer tokens alone."""
    return shape.multiplied + shape.vocabulary * shape.hidden * sum(load.answers) / sum(load.lengths)


def needed(shape: Shape, load: Load, config: TrainingConfig, device: Device) -> dict[str, int]:
    """Bytes at the peak of a training by part: on each of its cards, or of all its processes where there is no card."""
    parts = memory(shape, setup_of(device, config), *load.largest_batch(config))
    return parts if device.is_gpu else {part: config.gpus * size for part, size in parts.items()}


def memory(shape: Shape, setup: Setup, tokens: int, answers: int) -> dict[str, int]:
    """Bytes at the peak of a batch, by part.

    The scores are gone before the first layer goes back, so that of the two the larger counts.
    """
    kept = KEPT_PER_INPUT * shape.inputs + KEPT_PER_OUTPUT * shape.outputs
    passing = PASSING_PER_OUTPUT * shape.outputs
    between = shape.hidden if setup.checkpointed else kept
    again = kept + passing if setup.checkpointed else passing
    layer = tokens * setup.value_bytes * again
    alone = shape.scores_alone and setup.cards == 1
    scored = min(answers * shape.vocabulary, setup.scores_at_once) if alone else tokens * shape.vocabulary
    scores = scored * setup.score_bytes
    linears = (IN_FOUR_BITS, FOUR_BITS) if shape.quantised else (LINEARS, setup.other_bytes)
    lasting = {
        linears[0]: shape.linears * linears[1] / setup.cards,
        OTHERS: shape.others * setup.other_bytes,
        "adapter, gradients, optimizer": shape.trained * setup.adapter_bytes / setup.cards,
    }
    passing_by = {
        "activations kept": tokens * shape.layers * between * setup.value_bytes,
        "scores" if scores > layer else "one layer's work": max(scores, layer),
        "largest linear in full": shape.largest * setup.value_bytes if shape.quantised else 0,
        # Of the layer at work and the next, whole from all cards.
        "two layers' linears": 2 * shape.linears / shape.layers * linears[1] if setup.cards > 1 else 0,
    }
    unused = {UNUSED: setup.unused_share * sum(passing_by.values())}
    parts = lasting | passing_by | unused
    whole = shape.linears * linears[1] + lasting[OTHERS]  # on every card before it is split
    parts["more while it loads"] = max(0, whole - sum(parts.values()))
    return {part: math.ceil(size) for part, size in parts.items() if size}


def advise(shape: Shape, load: Load, config: TrainingConfig, device: Device) -> TrainingConfig | None:
    """The settings nearest to these that fit: of a smaller batch, else of a base in 4 bits, else of one that is split
    over the cards, else of shorter rows.

    A smaller batch comes with more accumulation, so that an update sees as many rows. None where nothing helps.
    """
    rows = config.batch_size * config.accumulation

    def fits(tried: TrainingConfig) -> bool:
        quantised = shape.quantised or tried.method != config.method
        return sum(needed(replace(shape, quantised=quantised), load, tried, device).values()) <= device.free

    def batch_of(size: int, **other: str | int) -> TrainingConfig:
        return config.model_copy(update={"batch_size": size, "accumulation": math.ceil(rows / size), **other})

    halves = [config.batch_size >> halved for halved in range(config.batch_size.bit_length())]
    sizes = [size for size in halves if size * math.ceil(rows / size) % config.gpus == 0]
    methods = [config.method] if shape.quantised else [config.method, "qlora"]
    splits = ["none", "full"] if config.gpus > 1 and methods[-1] in LOW_RANK and device.is_gpu else ["none"]
    splits = splits if config.sharding == "none" else ["full"]
    tried = [batch_of(size, method=m, sharding=split) for split in splits for m in methods for size in sizes]
    if nearest := next(filter(fits, tried), None):
        return nearest
    lengths = range(SHORTEST, min(config.max_length, max(load.lengths)))
    single = batch_of(1, method=methods[-1], sharding=splits[-1])
    count = bisect_left(lengths, True, key=lambda n: not fits(single.model_copy(update={"max_length": n})))
    if not count or lengths[count - 1] < min(load.lengths):
        return None
    longest = lengths[count - 1]
    rounded = longest // ROUND * ROUND
    return single.model_copy(update={"max_length": rounded if rounded >= min(load.lengths) else longest})
