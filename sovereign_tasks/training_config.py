"""The block `training` of a model file: what is trained on which base, and how."""

from __future__ import annotations

import itertools
from random import Random
from typing import Literal

from pydantic import Field, model_validator

from sovereign_tasks.strict_yaml import StrictConfig

SCRATCH = "scratch"
"""What `training.base_model` names where the base is made here."""


class LoraConfig(StrictConfig):
    """The low-rank adapter."""

    rank: int = Field(16, ge=1)
    """Rank; 4, 8, 16 and 32 are usual."""
    alpha: int = Field(32, ge=1)
    """Scale of the adapter; twice the rank is usual."""
    dropout: float = Field(0.05, ge=0, lt=1)
    """Dropout on the adapter's input."""


class ScratchConfig(StrictConfig):
    """A small base model made from scratch on the owner's own text (training.base_model: scratch)."""

    vocabulary: int = Field(2048, ge=300)
    """Size of the byte-level BPE vocabulary."""
    hidden: int = Field(192, ge=8)
    """Width of the model."""
    layers: int = Field(2, ge=1)
    """Number of layers."""
    heads: int = Field(6, ge=1)
    """Attention heads; divides the width."""
    steps: int = Field(400, ge=1)
    """Optimizer steps."""
    general_share: float = Field(0.5, ge=0, lt=1)
    """Share of general text beside the domain's own."""


class SamplingConfig(StrictConfig):
    """Which share of the rows that a training samples may be of one sort; the snapshot keeps them all."""

    max_source_share: float = Field(1.0, gt=0, le=1)
    """Largest share from one source."""
    max_label_share: float = Field(1.0, gt=0, le=1)
    """Largest share of one label of the taxonomy."""
    max_synthetic_share: float = Field(0.3, ge=0, le=1)
    """Largest share made by templates."""


_SHORT = {"rank": "rank", "learning_rate": "rate", "epochs": "epochs"}
LOW_RANK = ("qlora", "lora", "dora", "rslora")


class SearchConfig(StrictConfig):
    """Settings to try, each combination in a training of its own; the lowest held-out loss goes on to the gates."""

    rank: list[int] = Field([], max_length=8)
    """Ranks of the adapter; its alpha keeps its proportion to the rank."""
    learning_rate: list[float] = Field([], max_length=8)
    """Peak rates."""
    epochs: list[float] = Field([], max_length=8)
    """Passes over the training examples."""
    trials: int = Field(8, ge=2, le=64)
    """Most combinations to try; where there are more, the seed draws them."""

    @model_validator(mode="after")
    def _several(self) -> SearchConfig:
        for name in ("rank", "learning_rate", "epochs"):
            values = getattr(self, name)
            if any(value <= 0 for value in values):
                raise ValueError(f"{name}: {min(values):g} is not above 0")
            if len(set(values)) < len(values):
                raise ValueError(f"{name} has a value twice")
        if max(map(len, (self.rank, self.learning_rate, self.epochs))) < 2:
            raise ValueError("has nothing to compare; give rank, learning_rate or epochs two values or more")
        return self


class TrainingConfig(StrictConfig):
    """How a version is trained."""

    base_model: str = SCRATCH
    """A local folder with a transformers causal LM in safetensors, or scratch to make a small one."""
    method: Literal["qlora", "lora", "dora", "rslora", "ia3", "prefix", "adaption_prompt"] = "qlora"
    """What is trained on the frozen base, which stays in 4 bits except for lora: low-rank matrices on all linear layers
    (qlora and lora; dora trains their size apart, rslora scales them by the root of the rank), factors (ia3), or keys
    and values before every text (prefix, and adaption_prompt for models of Llama's kind)."""
    system_prompt: str = "You are a helpful assistant."
    """System turn of every example and answer."""
    lora: LoraConfig = LoraConfig()
    virtual_tokens: int = Field(16, ge=1)
    """How many keys and values prefix and adaption_prompt learn in each layer."""
    learning_rate: float = Field(2e-4, gt=0)
    """Peak rate of a cosine schedule; 1e-4 to 5e-4 suits models of 1B and more."""
    warmup_share: float = Field(0.05, ge=0, lt=1)
    """Share of steps to warm up over."""
    epochs: float = Field(3.0, gt=0)
    """Passes over the training examples."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many passes that did not lower the held-out loss, and keep the best; by default it never stops."""
    window: str | None = Field(None, exclude=True, pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
    """Hours in which to train, as 20:00-06:00 by this machine's clock; at their end it waits for the next day's."""
    attention: Literal["sdpa", "flash"] = "sdpa"
    """What computes attention: torch's own kernels (sdpa), or those of the package flash-attn, which needs a CUDA card
    of compute capability 8.0 or more (flash)."""
    batch_size: int = Field(4, ge=1)
    """Examples a step on the device."""
    accumulation: int = Field(4, ge=1)
    """Steps whose gradients are added up before an update."""
    gpus: int = Field(1, ge=1)
    """Cards that share the examples of each update, batch_size x accumulation as on one; processes without any."""
    sharding: Literal["none", "full"] = "none"
    """Whether each card holds the whole base (none), or a part of every layer and the rest of it in passing (full)."""
    max_length: int = Field(2048, ge=16)
    """Longest example in tokens."""
    too_long: Literal["drop", "split"] = "drop"
    """What becomes of longer ones: all are left out (drop), or of a chat the oldest turns, as many as it takes for the
    newest question and its answer to fit (split). Both are counted."""
    replay_share: float = Field(0.3, ge=0, lt=1)
    """General examples mixed in against forgetting, as a share of the domain's."""
    replay: str | None = Field(None, min_length=1)
    """A JSON-lines file of your own chats to take those from; a quarter of it measures forgetting instead. Where it is
    left out the bundled ones are taken."""
    sampling: SamplingConfig = SamplingConfig()
    seed: int = 42
    """Seed of sampling, initialisation and order."""
    start: Literal["fresh", "champion", "both"] = "fresh"
    """A fresh adapter, the champion's, or both, of which the lower held-out loss goes on to the gates. None begins with
    a champion that has another base or other settings, or learned from what was erased since."""
    search: SearchConfig | None = None
    """Settings to try; each starts fresh."""
    scratch: ScratchConfig = ScratchConfig()

    @model_validator(mode="after")
    def _search_is_possible(self) -> TrainingConfig:
        if self.search and self.start != "fresh":
            raise ValueError(f"start: {self.start} does not go with search; what is tried starts fresh")
        if self.search and self.search.rank and self.method not in LOW_RANK:
            raise ValueError(f"search.rank has no meaning for the method {self.method}")
        return self

    @model_validator(mode="after")
    def _cards_can_share(self) -> TrainingConfig:
        rows = self.batch_size * self.accumulation
        if rows % self.gpus:
            raise ValueError(
                f"{self.gpus} gpus can't share the {rows} examples of an update evenly; make batch_size x accumulation "
                f"a multiple of {self.gpus}"
            )
        if self.sharding == "full" and self.gpus == 1:
            raise ValueError("sharding full splits the base over several gpus; name how many")
        if self.sharding == "full" and self.method not in LOW_RANK:
            raise ValueError(f"sharding full goes with {', '.join(LOW_RANK)}, not with {self.method}")
        return self

    @property
    def chooses(self) -> bool:
        """Whether held-out rows have a say in which adapter a training becomes."""
        return self.patience is not None or self.search is not None or self.start == "both"

    def on_cards(self, cards: int) -> tuple[int, int]:
        """How many examples each of so many cards takes at a time, at most batch_size, and how often for an update."""
        share = self.batch_size * self.accumulation // cards
        size = max(d for d in range(1, self.batch_size + 1) if share % d == 0)
        return size, share // size

    def trials(self) -> dict[str, TrainingConfig]:
        """The trainings that are asked for, by what tells each from the others; one without a name where it is one.

        Of more combinations than `search.trials` the seed draws as many, the same ones every time.
        """
        if self.start == "both":
            starts = {"fresh": "fresh", "from the champion": "champion"}
            return {name: self.model_copy(update={"start": start}) for name, start in starts.items()}
        if self.search is None:
            return {"": self}
        axes = {name: getattr(self.search, name) for name in ("rank", "learning_rate", "epochs")}
        tried = {name: values for name, values in axes.items() if values}
        combinations = list(itertools.product(*tried.values()))
        if len(combinations) > self.search.trials:
            drawn = Random(self.seed).sample(range(len(combinations)), self.search.trials)  # noqa: S311
            combinations = [combinations[i] for i in sorted(drawn)]
        settings = [dict(zip(tried, values, strict=True)) for values in combinations]
        return {
            ", ".join(f"{_SHORT[name]} {n:.12g}" for name, n in each.items()): self._with(each) for each in settings
        }

    def _with(self, values: dict[str, float]) -> TrainingConfig:
        changes: dict[str, object] = {name: value for name, value in values.items() if name != "rank"}
        if "rank" in values:
            rank = int(values["rank"])
            alpha = max(1, round(self.lora.alpha * rank / self.lora.rank))
            changes["lora"] = self.lora.model_copy(update={"rank": rank, "alpha": alpha})
        return self.model_copy(update={"search": None, **changes})
