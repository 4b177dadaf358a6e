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
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_tasks.causal_lm import base_name, check_folder, hash_folder, load_config, load_tokenizer
from sovereign_tasks.config import config_hash
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example
from sovereign_tasks.train.prompts import Row, Rows, encode, plant, replay
from sovereign_tasks.train.window import Window
from sovereign_tasks.training_config import TrainingConfig

if TYPE_CHECKING:
    from sovereign_tasks.train.callbacks import Watch
    from sovereign_tasks.train.tuning import Job, Tuned

Progress = Callable[[int, int, float], None]
Metrics = Callable[[int, dict[str, float]], None]
RECORD = "training.json"
LAST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Result:
    """A finished adapter; `examples` counts domain rows, `replayed` general ones.

    Of what was too long, `left_out` counts examples, `not_replayed` general ones, and `shortened` both, where oldest
    turns were left out instead.

    `batch_size` rows were computed at a time on each card, after memory had its say; the tokens a second are those of
    the last try on all cards, padding not counted, without loading and checks in between. On a CUDA card `card` holds
    the share of the peak that these are, and the most memory that the last try had reserved on the first, in GB of 10^9
    bytes.
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
    canaries: Sequence[Example] = (),
    progress: Progress | None = None,
    on_metrics: Metrics | None = None,
    check: Callable[[], None] | None = None,
) -> Result:
    """Train an adapter of `base` into the folder `output`, which is absent or complete.

    It begins with the adapter in `start`, of this base and method, or with a fresh one; `own_chats` are those to replay
    from where training.replay names a file; `canaries` are learned too and counted nowhere. `progress` receives (step,
    steps, loss), `on_metrics` (step, {name: value}); `check` is called at every step, and what it raises ends the
    training. Raises `UserError` for a base that can't be used, for rows that leave nothing to learn, and when the loss
    is no number or diverges, `Paused` when its hours are over.
    """
    from sovereign_tasks.train.callbacks import Watch, measured
    from sovereign_tasks.train.device import check_cards
    from sovereign_tasks.train.tuning import Job, rows_at_first

    check_cards(config)
    check_folder(base)
    tokenizer = load_tokenizer(base)
    domain = encode(examples, tokenizer, config)
    if not domain.rows:
        raise UserError(
            f"training: none of {len(examples)} examples fits in max_length ({config.max_length} tokens); raise it."
        )
    general = replay(len(domain.rows), tokenizer, config, own_chats)
    planted = plant(canaries, tokenizer, config)
    checked = encode(validation, tokenizer, config)
    rows = [*domain.rows, *general.rows, *planted.rows]
    base_hash = base_name(base)
    begun_with = hash_folder(start) if start else ""
    identity = _identity((domain, general, planted, checked), config, base_hash, begun_with)
    if (output / RECORD).exists():
        known = json.loads((output / RECORD).read_text(encoding="utf-8"))
        if known["identity"] == identity:
            # The try that made it may have ended before all of its curves had arrived.
            for step, values in known["curves"] if on_metrics else ():
                on_metrics(step, values)
            return Result(adapter=str(output), **known["result"])
    work = output.with_name(f".{output.name}.{identity[:16]}")
    work.mkdir(parents=True, exist_ok=True)

    lengths = [len(row["input_ids"]) for row in rows]
    size = rows_at_first(lengths, config, config.gpus)
    watch = Watch(progress, on_metrics, check, Window(config.window))
    begins = str(start) if start else None
    job, tuned = _run(Job(rows, checked.rows, config, str(base), base_hash, str(work), size, start=begins), watch)
    tokens = sum(lengths) * config.epochs / tuned.planned  # a step
    rate = round(tokens * tuned.timed / tuned.seconds, 1) if tuned.seconds else 0.0

    whole = job.adapter
    result = Result(
        adapter=str(output),
        adapter_hash=hash_folder(whole),
        base_hash=base_hash,
        steps=tuned.steps,
        examples=len(domain.rows),
        replayed=len(general.rows),
        left_out=domain.left_out,
        not_replayed=general.left_out,
        shortened=domain.shortened + general.shortened,
        batch_size=job.size,
        tokens_per_second=rate,
        metrics=_metrics(tuned),
        card=_card(rate, tuned.reserved, rows, config, base),
    )
    # Without its place: the folder goes to MLflow as it is.
    noted = {name: value for name, value in asdict(result).items() if name != "adapter"}
    curves = [(entry["step"], values) for entry in tuned.history if (values := measured(entry))]
    record = {"identity": identity, "result": noted, "curves": curves, "lengths": sorted(Counter(lengths).items())}
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


def _run(job: Job, watch: Watch) -> tuple[Job, Tuned]:
    """Train from the newest whole checkpoint on, with as many rows at a time as memory has room for.

    Gives the job as it was done in the end, too.
    """
    import torch

    from sovereign_tasks.train.callbacks import drop_partial_checkpoints, newest_checkpoint
    from sovereign_tasks.train.parallel import tune_together
    from sovereign_tasks.train.tuning import tune

    config, work = job.config, Path(job.work)
    while True:
        drop_partial_checkpoints(work)
        shutil.rmtree(job.adapter, ignore_errors=True)
        job = replace(job, resume=newest_checkpoint(work))
        watch.steps, watch.seconds = 0, 0.0
        if tuned := tune(job, watch) if config.gpus == 1 else tune_together(job, watch):
            return job, tuned
        if job.size == 1:
            raise UserError(
                "training: memory has no room for a single row; lower training.max_length "
                f"({config.max_length}) or take a smaller base."
            )
        job = replace(job, size=max(d for d in range(1, job.size // 2 + 1) if job.size % d == 0))
        logging.getLogger(__name__).warning(
            "Memory has no room for so many rows at a time: going on with %d.", job.size
        )
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _identity(sets: Sequence[Rows], config: TrainingConfig, *hashes: str) -> str:
    parts = (*(rows.digest for rows in sets), config_hash(config), *hashes)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _metrics(tuned: Tuned) -> dict[str, float]:
    """The loss over the last steps, and the held-out loss of what is kept; the history survives a resume."""
    losses = [entry["loss"] for entry in tuned.history if "loss" in entry][-LAST_STEPS:]
    checks = [entry["eval_loss"] for entry in tuned.history if "eval_loss" in entry]
    metrics = {"train_loss": sum(losses) / len(losses)}
    return metrics | ({"eval_loss": checks[-1] if tuned.best is None else tuned.best} if checks else {})


def _card(rate: float, reserved: int, rows: list[Row], config: TrainingConfig, base: Path) -> dict[str, float]:
    """How a training at `rate` tokens a second used the card, if there is one."""
    import torch

    from sovereign_tasks.train.device import look
    from sovereign_tasks.train.estimate import Load, share_of_peak
    from sovereign_tasks.train.shape import count, sketch

    if not torch.cuda.is_available() or not rate:
        return {}
    shape = count(sketch(load_config(base)), config)
    share = share_of_peak(rate / config.gpus, shape, Load.of(rows), look())
    return {"share_of_peak": round(share, 4), "peak_reserved_gb": round(reserved / 1e9, 3)}
