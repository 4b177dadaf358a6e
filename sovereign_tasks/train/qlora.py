"""An adapter trained on the answers alone: low-rank on every linear layer of a 4-bit base (QLoRA), or another method.

The adapter appears under its name only when it is whole. A killed training leaves marked checkpoints beside
it, and the next call with the same rows, settings and base continues from the newest to the same result. Where the
rows of a pass don't fit into memory it goes on with half of them, and as many to an update as before.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import math
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_tasks.causal_lm import (
    NO_LOSS,
    WHOLE_BASE,
    base_name,
    check_folder,
    compute_dtype,
    hash_folder,
    load_base,
    load_config,
    load_tokenizer,
    seed_all,
)
from sovereign_tasks.config import TrainingConfig, config_hash
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example
from sovereign_tasks.train.methods import attach, is_checkpointed, is_quantised
from sovereign_tasks.train.prompts import Row, Rows, encode, replay
from sovereign_tasks.train.window import Window

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import Trainer, TrainerState

    from sovereign_tasks.train.callbacks import Watch

Progress = Callable[[int, int, float], None]
Metrics = Callable[[int, dict[str, float]], None]
RECORD = "training.json"
CHECKPOINTS = 5  # over a whole training
LAST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Result:
    """A finished adapter; `examples` counts domain rows, `replayed` general ones.

    Of what was too long, `left_out` counts examples, `not_replayed` general ones, and `shortened` both, where oldest
    turns were left out instead.

    `batch_size` rows were computed at a time, after memory had its say; the tokens a second are those of the last try,
    padding not counted, without loading and checks in between. On a CUDA card `card` holds the share of its peak that
    these are, and the most memory that the last try had reserved, in GB of 10^9 bytes.
    """

    adapter: str
    adapter_hash: str
    base_hash: str
    steps: int
    examples: int
    replayed: int
    left_out: int
    not_replayed: int
    shortened: int
    batch_size: int
    tokens_per_second: float
    metrics: dict[str, float]
    card: dict[str, float] = field(default_factory=dict)


def train(
    examples: Sequence[Example],
    config: TrainingConfig,
    base: Path,
    output: Path,
    *,
    start: Path | None = None,
    validation: Sequence[Example] = (),
    own_chats: Sequence[Example] = (),
    progress: Progress | None = None,
    on_metrics: Metrics | None = None,
    check: Callable[[], None] | None = None,
) -> Result:
    """Train an adapter of `base` into the folder `output`, which is absent or complete.

    It begins with the adapter in `start`, of this base and method, or with a fresh one; `own_chats` are those to replay
    from where training.replay names a file. `progress` receives (step, steps, loss), `on_metrics` (step, {name:
    value}); `check` is called at every step, and what it raises ends the training. Raises `UserError` for a base that
    can't be used, for rows that leave nothing to learn, and when the loss is no number or diverges, `Paused` when its
    hours are over.
    """
    from sovereign_tasks.train.callbacks import Watch, measured

    check_folder(base)
    tokenizer = load_tokenizer(base)
    domain = encode(examples, tokenizer, config)
    if not domain.rows:
        raise UserError(
            f"training: none of {len(examples)} examples fits in max_length ({config.max_length} tokens); raise it."
        )
    general = replay(len(domain.rows), tokenizer, config, own_chats)
    checked = encode(validation, tokenizer, config)
    rows = [*domain.rows, *general.rows]
    base_hash = base_name(base)
    identity = _identity(domain, general, checked, config, base_hash, hash_folder(start) if start else "")
    if (output / RECORD).exists():
        known = json.loads((output / RECORD).read_text(encoding="utf-8"))
        if known["identity"] == identity:
            # The try that made it may have ended before all of its curves had arrived.
            for step, values in known["curves"] if on_metrics else ():
                on_metrics(step, values)
            return Result(adapter=str(output), **known["result"])
    work = output.with_name(f".{output.name}.{identity[:16]}")
    work.mkdir(parents=True, exist_ok=True)

    watch = Watch(progress, on_metrics, check, Window(config.window))
    trainer = _run(rows, checked.rows, config, base, start, work, watch)
    tokens = sum(len(row["input_ids"]) for row in rows) * config.epochs / trainer.state.max_steps  # a step
    metrics = _metrics(trainer.state)
    rate = round(tokens * watch.steps / watch.seconds, 1) if watch.seconds else 0.0

    whole = work / "adapter"
    shutil.rmtree(whole, ignore_errors=True)
    _save(trainer.model, whole, base_hash, quantised=is_quantised(config))
    result = Result(
        adapter=str(output),
        adapter_hash=hash_folder(whole),
        base_hash=base_hash,
        steps=trainer.state.global_step,
        examples=len(domain.rows),
        replayed=len(general.rows),
        left_out=domain.left_out,
        not_replayed=general.left_out,
        shortened=domain.shortened + general.shortened,
        batch_size=trainer.args.per_device_train_batch_size,
        tokens_per_second=rate,
        metrics=metrics,
        card=_card(rate, rows, config, base),
    )
    # Without its place: the folder goes to MLflow as it is.
    noted = {name: value for name, value in asdict(result).items() if name != "adapter"}
    curves = [(entry["step"], values) for entry in trainer.state.log_history if (values := measured(entry))]
    lengths = Counter(len(row["input_ids"]) for row in rows)
    record = {"identity": identity, "result": noted, "curves": curves, "lengths": sorted(lengths.items())}
    (whole / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
    shutil.rmtree(output, ignore_errors=True)
    whole.rename(output)
    for leftover in output.parent.glob(f".{output.name}.*"):  # also of tries with other rows or settings
        shutil.rmtree(leftover)
    return result


def read_record(adapter: Path) -> tuple[list[tuple[int, dict[str, float]]], dict[int, int]]:
    """What a finished training noted beside its adapter: its curves by step, and how many rows had how many tokens."""
    record = json.loads((adapter / RECORD).read_text(encoding="utf-8"))
    return [(step, values) for step, values in record["curves"]], dict(record["lengths"])


def read_metrics(adapter: Path) -> dict[str, float]:
    """What a finished training measured of its losses; nothing where there is none."""
    record = adapter / RECORD
    return json.loads(record.read_text(encoding="utf-8"))["result"]["metrics"] if record.exists() else {}


def _run(
    rows: list[Row],
    checked: list[Row],
    config: TrainingConfig,
    base: Path,
    start: Path | None,
    work: Path,
    watch: Watch,
) -> Trainer:
    """Train from the newest whole checkpoint on, with as many rows at a time as memory has room for."""
    import torch
    from accelerate.utils.memory import should_reduce_batch_size

    from sovereign_tasks.train.answers import focus
    from sovereign_tasks.train.batches import keeps_rows_apart, rows_a_pass
    from sovereign_tasks.train.callbacks import drop_partial_checkpoints, newest_checkpoint

    log = logging.getLogger(__name__)
    drop_partial_checkpoints(work)

    planned = config.batch_size
    if torch.cuda.is_available():
        planned = rows_a_pass([len(row["input_ids"]) for row in rows], planned, config.accumulation)
    size = planned
    while True:
        model, tokenizer = load_base(base, quantised=is_quantised(config), attention=config.attention)
        seed_all(config.seed)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        model = attach(model, config, start)
        if not focus(model.get_base_model(), min(rows, key=lambda row: len(row["input_ids"]))):
            log.warning("This model changes its scores after they are made: they are computed for every token.")
        packed = torch.cuda.is_available() and keeps_rows_apart(model, rows[0], tokenizer.pad_token_id)
        watch.steps, watch.seconds = 0, 0.0
        trainer = _trainer(model, tokenizer, rows, checked, config, work, watch, planned, size, packed=packed)
        try:
            trainer.train(resume_from_checkpoint=newest_checkpoint(work))
            return trainer
        except RuntimeError as e:
            if not should_reduce_batch_size(e):
                raise
        if size == 1:
            raise UserError(
                "training: memory has no room for a single row; lower training.max_length "
                f"({config.max_length}) or take a smaller base."
            )
        size = max(d for d in range(1, size // 2 + 1) if size % d == 0)
        log.warning("Memory has no room for so many rows at a time: going on with %d.", size)
        del model, trainer
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _identity(domain: Rows, general: Rows, checked: Rows, config: TrainingConfig, *hashes: str) -> str:
    parts = (domain.digest, general.digest, checked.digest, config_hash(config), *hashes)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _metrics(state: TrainerState) -> dict[str, float]:
    """The loss over the last steps, and the held-out loss of what is kept; the history survives a resume."""
    losses = [entry["loss"] for entry in state.log_history if "loss" in entry][-LAST_STEPS:]
    checks = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
    metrics = {"train_loss": sum(losses) / len(losses)}
    return metrics | ({"eval_loss": checks[-1] if state.best_metric is None else state.best_metric} if checks else {})


def _card(rate: float, rows: list[Row], config: TrainingConfig, base: Path) -> dict[str, float]:
    """How a training at `rate` tokens a second used the card, if there is one."""
    import torch

    from sovereign_tasks.train.device import look
    from sovereign_tasks.train.estimate import Load, share_of_peak
    from sovereign_tasks.train.shape import count, sketch

    if not torch.cuda.is_available() or not rate:
        return {}
    reserved = torch.cuda.max_memory_reserved() / 1e9
    share = share_of_peak(rate, count(sketch(load_config(base)), config), Load.of(rows), look())
    return {"share_of_peak": round(share, 4), "peak_reserved_gb": round(reserved, 3)}


def _save(model: PeftModel, folder: Path, base_hash: str, *, quantised: bool) -> None:
    """Write the adapter so that equal training gives equal bytes, wherever it ran."""
    if not quantised:
        folder.mkdir()
        (folder / WHOLE_BASE).write_text("{}\n", encoding="utf-8")
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = base_hash
    for name in ("target_modules", "feedforward_modules"):
        if isinstance(settings.get(name), list):  # a set, of which no order is promised
            settings[name].sort()
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _trainer(
    model: PeftModel,
    tokenizer: Any,
    rows: list[Row],
    checked: list[Row],
    config: TrainingConfig,
    work: Path,
    watch: Watch,
    planned: int,
    size: int,
    *,
    packed: bool,
) -> Trainer:
    """`size` rows at a time; `planned` are grouped by length, so that halving leaves their order as it is."""
    import torch
    from transformers import DataCollatorForSeq2Seq, EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments

    from sovereign_tasks.train.batches import LengthBatches, pack

    gpu = torch.cuda.is_available()
    update = config.batch_size * config.accumulation
    steps = math.ceil(math.ceil(len(rows) / update) * config.epochs)
    early = bool(config.patience and checked)
    checkpointing = is_checkpointed(config, gpu=gpu)
    arguments = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=size,
        per_device_eval_batch_size=size,
        gradient_accumulation_steps=update // size,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_share,
        max_grad_norm=1.0,
        optim="paged_adamw_8bit" if gpu else "adamw_torch",
        bf16=gpu and compute_dtype() == torch.bfloat16,
        fp16=gpu and compute_dtype() == torch.float16,
        use_cpu=not gpu,
        activation_checkpointing=checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="epoch" if checked else "no",
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

    padded = DataCollatorForSeq2Seq(tokenizer, padding=True, label_pad_token_id=NO_LOSS)

    pack_rows = partial(pack, pad=tokenizer.pad_token_id, in_one_line=config.attention == "flash")

    class LengthBatchTrainer(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> LengthBatches:
            return LengthBatches([len(row["input_ids"]) for row in rows], planned, config.seed)

    trainer = LengthBatchTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=checked or None,
        processing_class=tokenizer,
        data_collator=pack_rows if packed else padded,
        callbacks=[watch, *([EarlyStoppingCallback(config.patience)] if early else [])],
    )
    trainer.remove_callback(PrinterCallback)  # what is worth saying goes through `watch`
    return trainer
