"""What a training of a snapshot will need, before any of it runs; and the refusal of one that can't fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_tasks.canaries import derive_canaries
from sovereign_tasks.causal_lm import check_attention, load_config, load_tokenizer
from sovereign_tasks.config import config_hash, load_platform
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example, Snapshot, TrainingRun
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.corpus import base_corpus
from sovereign_tasks.stages.held_out import held_out
from sovereign_tasks.stages.lineage import REPLAY
from sovereign_tasks.stages.replay import read_replay
from sovereign_tasks.stages.snapshots import newest_labels
from sovereign_tasks.training_config import TrainingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from sovereign_tasks.train.device import Device
    from sovereign_tasks.train.estimate import Estimate

RATE = "tokens_per_second"
"""The metric of a training by which the time of the next is reckoned."""
CORPUS_CHARACTERS = 2_000_000  # from which a tokenizer is made while the base has none yet


@dataclass(frozen=True)
class Plan:
    """An estimate with what it is of; `advised` are settings that fit, where those of the model's file don't.

    Where several settings are tried, `training` is the one that needs most memory, and time is that of all `trials`.
    `replay` is the owner's file that is replayed from, by hash and count; None for the bundled chats.
    """

    model: str
    snapshot: int
    base: str
    training: TrainingConfig
    examples: int
    replayed: int
    replay: dict[str, Any] | None
    left_out: int
    shortened: int
    estimate: Estimate
    device: Device
    currency: str
    measured_by: TrainingRun | None
    made_here: bool
    advised: TrainingConfig | None
    trials: int

    @property
    def fits(self) -> bool:
        """Whether what it needs is free."""
        return self.estimate.peak <= self.device.free

    def notes(self) -> dict[str, Any]:
        """The figures, for a stage's report."""
        needs = self.estimate
        return {
            "needs": self.in_short(),
            "parameters": needs.shape.parameters,
            "trained": needs.shape.trained,
            "memory": needs.memory,
            "memory_free": self.device.free,
            "device": self.device.name,
            "tokens": needs.tokens,
            "steps": needs.steps,
            "seconds": round(needs.seconds),
            "kwh": needs.kwh and round(needs.kwh, 3),
            "cost": None if needs.cost is None else f"{needs.cost:.2f} {self.currency}",
            "assumed": self.assumptions(),
        } | ({REPLAY: self.replay} if self.replay else {})

    def in_short(self) -> str:
        """Memory, steps, time and money in a line."""
        needs = self.estimate
        money = "" if needs.cost is None else f", {needs.cost:.2f} {self.currency}"
        return (
            f"{in_words(needs.peak)} of {in_words(self.device.free)} free; {needs.steps:,} steps, "
            f"{duration(needs.seconds)}{money}"
        )

    def refuse(self) -> None:
        """A `UserError` that says what would fit, unless this does."""
        if self.fits:
            return
        needed = f"{self.model}: this training needs {in_words(self.estimate.peak)}, and {self.device.name} has "
        needed += f"{in_words(self.device.free)} free"
        if self.advised is None:
            base = in_words(self.estimate.base)
            raise UserError(
                f"{needed}; no batch size or length makes it fit, since the base alone takes {base}: take a smaller "
                "one, or free memory there."
            )
        names = [n for n in _ADVISABLE if getattr(self.advised, n) != getattr(self.training, n)]
        settings = [f"training.{name} to {getattr(self.advised, name)}" for name in names]
        raise UserError(f"{needed}; set {' and '.join(settings)}, which fits.")

    def assumptions(self) -> list[str]:
        """What the figures rest on, a sentence each."""
        from sovereign_tasks.train.estimate import CARD_SHARE, PROCESSOR_SHARE, setup_of

        checkpointed = setup_of(self.device, self.training).checkpointed
        said = [
            f"Memory is that of the fullest batch there can be, beside what others hold on the {self._kind} now.",
            "Layers keep their inputs and are computed again on the way back."
            if checkpointed
            else "All computes in fp32, and every layer keeps what its way back needs.",
        ]
        if self.training.gpus > 1:
            said.append(
                f"{self.training.gpus} cards share the rows, and each has as much free as the first."
                if self.device.is_gpu
                else f"{self.training.gpus} processes share the machine, and are no faster than one."
            )
        if self.made_here:
            said.append(
                f"The base is made first, in {self.training.scratch.steps:,} steps that are not counted here; tokens "
                "are those of a tokenizer made from the same documents."
            )
        if self.trials > 1:
            said.append(f"{self.trials} settings are tried, one after the other: steps and time are those of all.")
        if self.measured_by:
            said.append(f"The rate is what the training on snapshot {self.measured_by.snapshot} measured here.")
        else:
            share = CARD_SHARE if self.device.is_gpu else PROCESSOR_SHARE
            said.append(
                f"No training of this base has measured its rate here: taken are {share:.0%} of "
                f"{self.device.peak / 1e9:,.0f} GFLOP/s ({self.device.peak_from})."
            )
        said.append("Time is that of training alone, without loading, checks in between and evaluation.")
        if self.estimate.watts is None:
            said.append("How much it draws is not known: set costs.watts in config/platform.yaml.")
        return said

    @property
    def _kind(self) -> str:
        return "card" if self.device.is_gpu else "machine"


_ADVISABLE = ("batch_size", "accumulation", "method", "sharding", "max_length")


def reckon(context: Context, snapshot: Snapshot, splits: Mapping[str, list[Example]], base: Path | None) -> Plan:
    """What training on a snapshot's rows needs here; `base` is None where it has yet to be made from scratch."""
    from sovereign_tasks.train.device import check_cards, look
    from sovereign_tasks.train.estimate import Load, advise, estimate, in_all
    from sovereign_tasks.train.prompts import encode, plant, replay
    from sovereign_tasks.train.sampling import sample
    from sovereign_tasks.train.shape import count

    training, costs = context.config.training, load_platform().costs
    check_cards(training)
    model, tokenizer = _sketch(context, snapshot.number, base)
    check_attention(training.attention, type(model))
    sampled = sample(splits["train"], newest_labels(context), training.sampling, training.seed).examples
    domain = encode(sampled, tokenizer, training)
    if not domain.rows:
        raise UserError(
            f"{context.model}: none of {len(sampled)} examples fits in training.max_length ({training.max_length} "
            "tokens); raise it."
        )
    own = read_replay(context.config, held_out(splits))
    general = replay(len(domain.rows), tokenizer, training, own.train if own else ())
    canaries = derive_canaries(snapshot.content_hash, context.config.leaks.canaries)
    planted = plant([canary.example for canary in canaries], tokenizer, training)
    load, device = Load.of([*domain.rows, *general.rows, *planted.rows]), look()
    measured = _measured(context, base, device.name)
    rate = measured.metrics[RATE] if measured else None
    trials = [(t, estimate(count(model, t), load, t, device, costs, rate)) for t in training.trials().values()]
    training, largest = max(trials, key=lambda trial: trial[1].peak)
    needs = in_all(largest, [each for _, each in trials])
    return Plan(
        model=context.model,
        snapshot=snapshot.number,
        base=base.name if base else training.base_model,
        training=training,
        examples=len(domain.rows),
        replayed=len(general.rows),
        replay=own and own.named,
        left_out=domain.left_out,
        shortened=domain.shortened + general.shortened,
        estimate=needs,
        device=device,
        currency=costs.currency,
        measured_by=measured,
        made_here=base is None,
        advised=None if needs.peak <= device.free else advise(needs.shape, load, training, device),
        trials=len(trials),
    )


def _sketch(context: Context, number: int, base: Path | None) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The base without weights, and its tokenizer; of one that is yet to be made, both as they will be or nearly so."""
    import torch

    from sovereign_tasks.train.pretrain import draw_general, make_model
    from sovereign_tasks.train.shape import sketch
    from sovereign_tasks.train.tokenizer import make_tokenizer

    if base:
        return sketch(load_config(base)), load_tokenizer(base)
    texts, left = [], CORPUS_CHARACTERS
    for text in sorted({document["text"] for document in base_corpus(context, number, ["text"])[0]}):
        texts.append(text[:left])
        left -= len(texts[-1])
    training = context.config.training
    general = draw_general(training.scratch, training.seed)
    tokenizer = make_tokenizer([text for text in texts if text], general, training.scratch.vocabulary)
    with torch.device("meta"):
        return make_model(tokenizer, training.scratch), tokenizer


def _measured(context: Context, base: Path | None, hardware: str) -> TrainingRun | None:
    """The newest training of this base, with these settings, that measured its rate on such hardware."""
    alike = (str(base), hardware, config_hash(context.config.training))
    trainings = (t for _, t in context.ledger.trainings(context.model) if t.metrics.get(RATE))
    return next((t for t in trainings if (t.base, t.hardware, t.config_hash) == alike), None)


def in_words(size: int) -> str:
    """Bytes as GB or MB, of powers of ten."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
