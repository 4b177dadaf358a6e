"""QLoRA: a low-rank adapter on every linear layer of a 4-bit base, trained on the answers alone.

The adapter appears under its name only when it is whole. A killed training leaves marked checkpoints beside
it, and the next call with the same rows, settings and base continues from the newest to the same result.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_tasks.causal_lm import (
    base_name,
    check_folder,
    compute_dtype,
    hash_folder,
    load_base,
    load_tokenizer,
    seed_all,
)
from sovereign_tasks.config import TrainingConfig, config_hash
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example
from sovereign_tasks.train.prompts import Rows, encode, replay

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import Trainer, TrainerCallback

Progress = Callable[[int, int, float], None]
Metrics = Callable[[int, dict[str, float]], None]
RECORD = "training.json"
CHECKPOINTS = 5  # over a whole training
VALIDATION_ROWS = 48
LAST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Result:
    """A finished adapter; `examples` counts domain rows, `replayed` general ones, `left_out` the too long."""

    adapter: str
    adapter_hash: str
    base_hash: str
    steps: int
    examples: int
    replayed: int
    left_out: int
    metrics: dict[str, float]


def train(
    examples: Sequence[Example],
    config: TrainingConfig,
    base: Path,
    output: Path,
    *,
    validation: Sequence[Example] = (),
    progress: Progress | None = None,
    on_metrics: Metrics | None = None,
) -> Result:
    """Train an adapter of `base` into the folder `output`, which is absent or complete.

    `progress` receives (step, steps, loss), `on_metrics` (step, {name: value}). Raises `UserError` for a base
    that can't be used, for rows that leave nothing to learn, and when the loss stops being a number.
    """
    from sovereign_tasks.train.callbacks import Watch, measured, newest_checkpoint

    check_folder(base)
    tokenizer = load_tokenizer(base)
    domain = encode(examples, tokenizer, config)
    if not domain.rows:
        raise UserError(
            f"training: none of {len(examples)} examples fits in max_length ({config.max_length} tokens); raise it."
        )
    general = encode(replay(len(domain.rows), config), tokenizer, config)
    checked = encode(sorted(validation, key=lambda e: e.example_id)[:VALIDATION_ROWS], tokenizer, config)
    rows = [*domain.rows, *general.rows]
    base_hash = base_name(base)
    identity = _identity(domain, general, checked, config, base_hash)
    if (output / RECORD).exists():
        known = json.loads((output / RECORD).read_text(encoding="utf-8"))
        if known["identity"] == identity:
            # The try that made it may have ended before all of its curves had arrived.
            for step, values in known["curves"] if on_metrics else ():
                on_metrics(step, values)
            return Result(adapter=str(output), **known["result"])
    work = output.with_name(f".{output.name}.{identity[:16]}")
    work.mkdir(parents=True, exist_ok=True)

    model, tokenizer = load_base(base)
    seed_all(config.seed)
    model = attach(model, config)
    trainer = _trainer(model, tokenizer, rows, checked.rows, config, work, Watch(progress, on_metrics))
    trainer.train(resume_from_checkpoint=newest_checkpoint(work))
    metrics = _metrics(trainer.state.log_history)

    whole = work / "adapter"
    shutil.rmtree(whole, ignore_errors=True)
    _save(model, whole, base_hash)
    result = Result(
        adapter=str(output),
        adapter_hash=hash_folder(whole),
        base_hash=base_hash,
        steps=trainer.state.global_step,
        examples=len(domain.rows),
        replayed=len(general.rows),
        left_out=domain.left_out,
        metrics=metrics,
    )
    # Without its place: the folder goes to MLflow as it is.
    noted = {name: value for name, value in asdict(result).items() if name != "adapter"}
    curves = [(entry["step"], values) for entry in trainer.state.log_history if (values := measured(entry))]
    record = {"identity": identity, "result": noted, "curves": curves}
    (whole / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
    shutil.rmtree(output, ignore_errors=True)
    whole.rename(output)
    for leftover in output.parent.glob(f".{output.name}.*"):  # also of tries with other rows or settings
        shutil.rmtree(leftover)
    return result


def _identity(domain: Rows, general: Rows, checked: Rows, config: TrainingConfig, base_hash: str) -> str:
    parts = (domain.digest, general.digest, checked.digest, config_hash(config), base_hash)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _metrics(history: list[dict[str, float]]) -> dict[str, float]:
    """The loss over the last steps, and the last validation loss; the history survives a resume."""
    losses = [entry["loss"] for entry in history if "loss" in entry][-LAST_STEPS:]
    checks = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    metrics = {"train_loss": sum(losses) / len(losses)}
    return metrics | ({"eval_loss": checks[-1]} if checks else {})


def _save(model: PeftModel, folder: Path, base_hash: str) -> None:
    """Write the adapter so that equal training gives equal bytes, wherever it ran."""
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = base_hash
    settings["target_modules"] = sorted(settings["target_modules"])
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def attach(model: Any, config: TrainingConfig) -> PeftModel:
    """Put a fresh adapter on every linear layer of a 4-bit base; nothing else of it is trained."""
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    gpu = torch.cuda.is_available()
    model = prepare_model_for_kbit_training(
        model, use_gradient_checkpointing=gpu, gradient_checkpointing_kwargs={"use_reentrant": False}
    )
    lora = LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, lora)


def _trainer(
    model: PeftModel,
    tokenizer: Any,
    rows: list[dict[str, list[int]]],
    checked: list[dict[str, list[int]]],
    config: TrainingConfig,
    work: Path,
    watch: TrainerCallback,
) -> Trainer:
    import torch
    from transformers import DataCollatorForSeq2Seq, PrinterCallback, Trainer, TrainingArguments

    from sovereign_tasks.train.batches import LengthBatches

    gpu = torch.cuda.is_available()
    steps = math.ceil(math.ceil(len(rows) / config.batch_size) / config.accumulation * config.epochs)
    arguments = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_share,
        max_grad_norm=1.0,
        optim="paged_adamw_8bit" if gpu else "adamw_torch",
        bf16=gpu and compute_dtype() == torch.bfloat16,
        fp16=gpu and compute_dtype() == torch.float16,
        use_cpu=not gpu,
        activation_checkpointing=gpu,
        activation_checkpointing_kwargs={"use_reentrant": False} if gpu else None,
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="epoch" if checked else "no",
        save_strategy="steps",
        save_steps=max(1, steps // CHECKPOINTS),
        save_total_limit=2,
        seed=config.seed,
        data_seed=config.seed,
        remove_unused_columns=False,
        dataloader_pin_memory=gpu,
        disable_tqdm=True,
        report_to="none",
    )

    class LengthBatchTrainer(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> LengthBatches:
            return LengthBatches([len(row["input_ids"]) for row in rows], config.batch_size, config.seed)

    trainer = LengthBatchTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=checked or None,
        processing_class=tokenizer,
        data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True, label_pad_token_id=-100),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)  # what is worth saying goes through `watch`
    return trainer
