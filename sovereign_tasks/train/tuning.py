"""One process's part of a training: it loads the base, puts an adapter on it and tunes that.

A training on several cards is this on each of them, at once, over rows that they share.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointWrapper
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import (
    DataCollatorForSeq2Seq,
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from sovereign_tasks.causal_lm import NO_LOSS, WHOLE_BASE, compute_dtype, load_base, seed_all
from sovereign_tasks.train.answers import focus
from sovereign_tasks.train.batches import LengthBatches, keeps_rows_apart, pack, rows_a_pass
from sovereign_tasks.train.callbacks import Watch
from sovereign_tasks.train.methods import attach, is_checkpointed, is_quantised
from sovereign_tasks.train.prompts import Row
from sovereign_tasks.training_config import TrainingConfig

if TYPE_CHECKING:
    from peft import PeftModel

CHECKPOINTS = 5  # over a whole training


@dataclass(frozen=True, slots=True)
class Job:
    """What is trained on what: encoded rows, those that are held out, and the base; `size` rows at a time on a card.

    `start` is the adapter to begin with and `resume` the checkpoint to go on from, if any; `work` is where others are
    put, and the adapter at last.
    """

    rows: list[Row]
    checked: list[Row]
    config: TrainingConfig
    base: str
    base_hash: str
    work: str
    size: int
    start: str | None = None
    resume: str | None = None

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(row["input_ids"]) for row in self.rows]

    @property
    def adapter(self) -> Path:
        """The folder of the finished adapter."""
        return Path(self.work, "adapter")


@dataclass(frozen=True, slots=True)
class Tuned:
    """How a tuning went: the trainer's log, its best held-out loss if it kept that, and how this try used its time.

    `timed` steps took `seconds`; `reserved` are the most bytes of a card that one process had taken, 0 without one.
    """

    steps: int
    planned: int
    history: list[dict[str, float]]
    best: float | None
    timed: int
    seconds: float
    reserved: int


def rows_at_first(lengths: list[int], config: TrainingConfig, cards: int) -> int:
    """How many rows each of so many cards takes at a time, if memory has room for the fullest batch there can be."""
    batch, passes = config.on_cards(cards)
    return rows_a_pass(lengths, batch, passes) if torch.cuda.is_available() else batch


def tune(job: Job, watch: Watch, *, rank: int = 0, cards: int = 1) -> Tuned | None:
    """Train from the checkpoint on and write the adapter; None where memory has no room for `size` rows at a time.

    Every one of `cards` processes calls this with a `rank` of its own; the first writes.
    """
    config, shortest = job.config, min(job.rows, key=lambda row: len(row["input_ids"]))
    sharded = config.sharding == "full"
    model, tokenizer = load_base(
        Path(job.base), quantised=is_quantised(config), sharded=sharded, attention=config.attention
    )
    seed_all(config.seed)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    model = attach(model, config, job.start)
    # Cards that split a base have to ask for its parts in step, and answers differ in how often they would ask.
    if not sharded and not focus(model.get_base_model(), shortest):
        logging.getLogger(__name__).warning(
            "This model changes its scores after they are made: they are computed for every token."
        )
    packed = torch.cuda.is_available() and keeps_rows_apart(model, job.rows[0], tokenizer.pad_token_id)
    trainer = _trainer(model, tokenizer, job, watch, cards, packed=packed)
    if cards > 1:
        torch.manual_seed(config.seed + rank)  # else dropout would strike the same places on every card
    try:
        trainer.train(resume_from_checkpoint=job.resume)
    except RuntimeError as e:
        if not should_reduce_batch_size(e):
            raise
        return None
    trained = _gather(trainer.model) if sharded else None
    if rank == 0:
        save_adapter(trainer.model, job.adapter, job.base_hash, trained, quantised=is_quantised(config))
    state = trainer.state
    reserved = torch.cuda.max_memory_reserved() if torch.cuda.is_available() else 0
    spent = (watch.steps, watch.seconds, reserved)
    return Tuned(state.global_step, state.max_steps, state.log_history, state.best_metric, *spent)


class _Passes(TrainerCallback):
    """Says to the order of rows which pass it is for.

    The library says so too, but isn't heard where cards share the rows and the first of a pass are skipped, as they are
    when a training goes on from a checkpoint.
    """

    def __init__(self, order: LengthBatches, steps: int) -> None:
        self.order, self.steps = order, steps

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.order.set_epoch(state.global_step // self.steps)


def _gather(model: PeftModel) -> dict[str, torch.Tensor]:
    """The trained weights, of which every card has a part; the first gets them."""
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    weights = get_model_state_dict(model, options=whole)
    for parent in model.modules():  # what recomputes layers puts itself between, and peft would find none of the names
        for name, child in parent.named_children():
            if isinstance(child, CheckpointWrapper):
                setattr(parent, name, child._checkpoint_wrapped_module)
    return weights


def save_adapter(
    model: PeftModel, folder: Path, base_hash: str, trained: dict[str, torch.Tensor] | None, *, quantised: bool
) -> None:
    """Write the adapter, whose weights are `trained` or the model's own, so that equal training gives equal bytes."""
    if not quantised:
        folder.mkdir()
        (folder / WHOLE_BASE).write_text("{}\n", encoding="utf-8")
    model.save_pretrained(folder, state_dict=trained, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = base_hash
    for name in ("target_modules", "feedforward_modules"):
        if isinstance(settings.get(name), list):  # a set, of which no order is promised
            settings[name].sort()
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _trainer(model: PeftModel, tokenizer: Any, job: Job, watch: Watch, cards: int, *, packed: bool) -> Trainer:
    """Rows come in the order in which one card would take them, so that halving or sharing leaves it as it is."""
    config, lengths, gpu = job.config, job.lengths, torch.cuda.is_available()
    update = config.batch_size * config.accumulation
    steps_a_pass = math.ceil(len(job.rows) / update)
    steps = math.ceil(steps_a_pass * config.epochs)
    early = bool(config.patience and job.checked)
    checkpointing, sharded = is_checkpointed(config, gpu=gpu), config.sharding == "full"
    # What cards take together has to be whole: rows without a loss fill it up, and none is taken twice.
    filler = {"input_ids": job.rows[0]["input_ids"], "labels": [NO_LOSS] * lengths[0]}
    fill = -len(job.rows) % (job.size * cards) if cards > 1 else 0
    arguments = TrainingArguments(
        output_dir=job.work,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=job.size,
        per_device_eval_batch_size=1,  # the loss is a mean over batches: of other sizes it would be another
        gradient_accumulation_steps=update // (job.size * cards),
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_share,
        max_grad_norm=1.0,
        optim="paged_adamw_8bit" if gpu and not sharded else "adamw_torch",  # that has no way with parts of weights
        bf16=gpu and compute_dtype() == torch.bfloat16,
        fp16=gpu and compute_dtype() == torch.float16,
        use_cpu=not gpu,
        fsdp=sharded or None,
        fsdp_config={"activation_checkpointing": checkpointing} if sharded else None,
        activation_checkpointing=checkpointing and not sharded,
        activation_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        ddp_find_unused_parameters=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="epoch" if job.checked else "no",
        save_strategy="epoch" if early else "steps",
        save_steps=max(1, steps // CHECKPOINTS),
        load_best_model_at_end=early,
        metric_for_best_model="eval_loss" if early else None,
        restore_callback_states_from_checkpoint=early,  # how long it has had patience
        save_total_limit=2,
        seed=config.seed,
        data_seed=config.seed,
        remove_unused_columns=False,
        dataloader_pin_memory=gpu,
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # else each step would take as many rows as there are cards

    order = LengthBatches(lengths, rows_at_first(lengths, config, 1), config.seed, fill)

    class LengthBatchTrainer(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> LengthBatches:
            return order

        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            if not sharded:  # else the whole base would be gathered for it, and the adapter is saved with the optimizer
                super().save_model(output_dir, _internal_call)

    pack_rows = partial(pack, pad=tokenizer.pad_token_id, in_one_line=config.attention == "flash")
    padded = DataCollatorForSeq2Seq(tokenizer, padding=True, label_pad_token_id=NO_LOSS)
    trainer = LengthBatchTrainer(
        model=model,
        args=arguments,
        train_dataset=[*job.rows, *[filler] * fill],
        eval_dataset=job.checked or None,
        processing_class=tokenizer,
        data_collator=pack_rows if packed else padded,
        callbacks=[_Passes(order, steps_a_pass), watch, *([EarlyStoppingCallback(config.patience)] if early else [])],
    )
    trainer.remove_callback(PrinterCallback)  # what is worth saying goes through `watch`
    return trainer
