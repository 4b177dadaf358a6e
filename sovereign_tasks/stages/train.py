"""The training itself: one adapter, or several of which the one with the lowest held-out loss goes on to the gates.

It needs MLflow only to be told: while that is away, what a training measures lies beside its adapter, and is sent once
by the next try.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_tasks import __version__
from sovereign_tasks.config import TrainingConfig, config_hash, read_model
from sovereign_tasks.errors import Paused, TransientError, UserError
from sovereign_tasks.lineage_events import dataset, told
from sovereign_tasks.records import Example, Snapshot, TrainingRun
from sovereign_tasks.stages.cards import hold_cards
from sovereign_tasks.stages.champion import champion_to_start_from
from sovereign_tasks.stages.context import Context, open_context, timed
from sovereign_tasks.stages.lineage import REPLAY, SAMPLED_OUT, of_base, of_snapshot, plain_lineage
from sovereign_tasks.stages.plan import RATE
from sovereign_tasks.stages.replay import OwnChats, read_replay
from sovereign_tasks.stages.snapshots import load_splits, newest_labels
from sovereign_tasks.stages.taints import note_taint
from sovereign_tasks.store import model_folder
from sovereign_tasks.supervision import watch_supervisor
from sovereign_tasks.train.search import best, validation_rows

if TYPE_CHECKING:
    from sovereign_tasks.train.qlora import Result
    from sovereign_tasks.train.sampling import Sample

BY_HAND = "asked for by hand"
log = logging.getLogger(__name__)


def wait_for_hours(context: Context) -> None:
    """Raise Paused outside the hours in which the model may be trained."""
    from sovereign_tasks.train.window import Window

    hours, now = context.config.training.window, datetime.now().astimezone()
    if not Window(hours).is_open(now):
        raise Paused(f"{context.model}: training waits for its hours ({hours}).", Window(hours).opens(now))


@dataclass
class _Job:
    """One adapter to be trained: `trial` is the name of its settings among those that are tried, if several are."""

    context: Context
    snapshot: Snapshot
    base: Path
    base_hash: str
    trial: str = ""

    @classmethod
    def of(cls, context: Context, number: int, base: str, trial: str = "") -> _Job:
        from sovereign_tasks.causal_lm import base_name

        return cls(context, context.ledger.snapshot(context.model, number), Path(base), base_name(Path(base)), trial)

    @cached_property
    def training(self) -> TrainingConfig:
        """The model's training block, or what this trial makes of it."""
        block = self.context.config.training
        return block.trials()[self.trial] if self.trial else block

    @cached_property
    def splits(self) -> dict[str, list[Example]]:
        return load_splits(self.context, self.snapshot)

    @cached_property
    def own(self) -> OwnChats | None:
        """The owner's chats to replay from, if there are any."""
        return read_replay(self.context.config, [*self.splits["holdout"], *self.splits["sealed"]])

    @cached_property
    def sampled(self) -> Sample:
        from sovereign_tasks.train.sampling import sample

        return sample(self.splits["train"], newest_labels(self.context), self.training.sampling, self.training.seed)

    @cached_property
    def start(self) -> tuple[TrainingRun | None, str]:
        """The champion, if its adapter is to be begun with, and otherwise why it is not, where that was asked for."""
        return champion_to_start_from(self.context, self.base_hash) if self.training.start == "champion" else (None, "")

    @property
    def adapter(self) -> Path:
        """Where the adapter goes."""
        below = ("trials", hashlib.sha256(self.trial.encode()).hexdigest()[:8]) if self.trial else ()
        return model_folder(self.context.model, "runs", self.context.run, *below) / "adapter"

    @property
    def lease(self) -> str:
        """What only one process may hold: trials may run beside one another, on several cards."""
        return f"train/{self.context.model}" + (f"/{self.adapter.parent.name}" if self.trial else "")

    def begin(self) -> str:
        """Begin the MLflow run, or take it up again, with all that is known before a training; its id."""
        from sovereign_tasks.train import tracking
        from sovereign_tasks.train.device import software

        context, training, (start, refused) = self.context, self.training, self.start
        decided = context.ledger.decisions(context.model, "preflight", context.run)
        tags = {
            "config_hash": config_hash(training),
            "code_version": __version__,
            "base_hash": self.base_hash,
            "system_prompt_hash": hashlib.sha256(training.system_prompt.encode()).hexdigest()[:16],
            "reason": next((d["reason"] for d in decided), BY_HAND),
        }
        tags |= {"started_from": start.run_id} if start else {}
        tags |= {"started_fresh": refused} if refused else {}
        run_id = tracking.start_run(
            context.model,
            f"{context.run}/{self.adapter.parent.name}" if self.trial else context.run,
            snapshot=self.snapshot.number,
            snapshot_hash=self.snapshot.content_hash,
            counts=self.snapshot.counts,
            params=training.model_dump(mode="json") | {SAMPLED_OUT: self.sampled.left_out},
            tags=tags,
            trial=(replace(self, trial="").begin(), self.trial) if self.trial else None,
        )
        learns = (of_snapshot(context, self.snapshot.number), of_base(context, str(self.base), self.base_hash))
        replay = self.own.named if self.own else None
        sampled = len(self.sampled.examples)
        tracking.log_lineage(run_id, plain_lineage(*learns, sampled, replay=replay, start=start))
        tracking.log_files(run_id, {"model.yaml": read_model(context.model), "environment.txt": software()})
        return run_id

    def tune(self, stage: str, supervised: Callable[[], None]) -> tuple[str, Result]:
        """Train, with the curves in MLflow; the MLflow run and what came of it."""
        from sovereign_tasks.train import qlora, tracking
        from sovereign_tasks.train.plots import plot_lengths, plot_losses
        from sovereign_tasks.train.system_metrics import system_metrics

        context, (start, refused) = self.context, self.start
        if refused:
            log.warning("It starts fresh: %s.", refused)
        with (
            context.ledger.lease(self.lease, context.run) as held,
            hold_cards(context.ledger, context.run, self.training.gpus) as cards_held,
        ):
            wait_for_hours(context)

            def check() -> None:
                held()
                cards_held()
                supervised()

            train = partial(
                qlora.train,
                self.sampled.examples,
                self.training,
                self.base,
                self.adapter,
                start=Path(start.adapter) if start else None,
                validation=validation_rows(self.splits["holdout"]),
                own_chats=self.own.train if self.own else (),
                progress=lambda step, steps, loss: context.advance(stage, step, steps),
                check=check,
            )
            try:
                run_id = self.begin()
            except TransientError as away:
                log.warning("%s Training goes on, and tells it afterwards.", away)
                train()
                run_id = self.begin()
            try:
                with system_metrics(run_id), tracking.Curves(run_id) as curves:
                    result = train(on_metrics=curves)
                    curves(result.steps, measured_by(result))
            except UserError:
                with suppress(TransientError):
                    tracking.end_run(run_id, ok=False)
                raise
            losses, lengths = qlora.read_record(self.adapter)
            tracking.log_figures(run_id, {"loss.png": plot_losses(losses), "lengths.png": plot_lengths(lengths)})
        return run_id, result


def begin_search(model: str, prepared: dict[str, Any]) -> None:
    """Begin the MLflow run under which those of the trials will stand, before several of them may do so at once."""
    with suppress(TransientError):  # each of them finds it, or begins it
        _Job.of(open_context(model, prepared["run"]), prepared["snapshot"], prepared["base"]).begin()


def try_settings(model: str, run: str, number: int, base: str, trial: str) -> dict[str, Any]:
    """Train one of several adapters; `failed` says why one did not come to its end that a fault of ours is not."""
    from sovereign_tasks.train import tracking

    supervised = watch_supervisor()
    context = open_context(model, run)
    job, stage = _Job.of(context, number, base, trial), f"search:{trial}"
    with timed(context, stage) as figures:
        figures.update(rows_in=len(job.splits["train"]), notes={"settings": trial})
        try:
            if job.start[1]:
                raise UserError(f"{model}: nothing can be begun {trial}: {job.start[1]}.")
            run_id, result = job.tune(stage, supervised)
        except UserError as e:
            figures["notes"]["failed"] = str(e)
            return {"model": model, "run": run, "trial": trial, "failed": str(e)}
        tracking.end_run(run_id)
        figures.update(rows_out=result.examples)
        figures["notes"] |= result.metrics
    return {"model": model, "run": run, "trial": trial, "url": tracking.run_url(run_id)} | result.metrics


def train(model: str, run: str, number: int, base: str) -> dict[str, Any]:
    """Tune an adapter on the snapshot's training rows, with its curves, figures and files in MLflow.

    Where several settings were tried it is the best of theirs.
    """
    from sovereign_tasks.train import tracking

    supervised = watch_supervisor()
    context = open_context(model, run)
    job = _Job.of(context, number, base)
    learned = [
        dataset(model, "snapshot", version=f"{number}-{job.snapshot.content_hash}"),
        dataset(model, f"base/{job.base.name}", version=job.base_hash),
        *([dataset(model, "replay", version=job.own.sha256)] if job.own else []),
    ]
    with told(model, "train", run, learned) as outputs, timed(context, "train") as figures:
        block = context.config.training
        if len(trials := block.trials()) > 1:
            job = _best_of([_Job.of(context, number, base, name) for name in trials])
        tuned_in, result = job.tune("train", supervised)
        run_id = tuned_in
        if job.trial:
            tracking.end_run(tuned_in)
            run_id = replace(job, trial="").begin()
            tracking.log_choice(run_id, job.trial, result.metrics | measured_by(result))
        made = TrainingRun(
            model=model,
            run_id=run_id,
            snapshot=number,
            base=base,
            base_hash=result.base_hash,
            config_hash=config_hash(block),
            seed=job.training.seed,
            adapter=str(job.adapter),
            adapter_hash=result.adapter_hash,
            metrics=result.metrics | measured_by(result),
            hardware=tracking.hardware(),
            started_from=job.start[0].run_id if job.start[0] else "",
            chosen=bool(job.trial or job.training.patience),
        )
        context.ledger.record_training(run, made)
        note_taint(context, made)
        _drop_other_trials(job)
        outputs.append(dataset(model, "adapter", version=made.adapter_hash))
        figures.update(
            rows_in=len(job.splits["train"]),
            rows_out=result.examples,
            rejected=({"too_long": result.left_out} if result.left_out else {})
            | {f"{SAMPLED_OUT}:{cap}": count for cap, count in job.sampled.left_out.items()},
            notes={"replayed": result.replayed, "steps": result.steps, "not_capped": job.sampled.not_capped}
            | {"rows_at_a_time": result.batch_size}
            | ({REPLAY: job.own.named} if job.own else {})
            | ({"replay_too_long": result.not_replayed} if result.not_replayed else {})
            | ({"shortened": result.shortened} if result.shortened else {})
            | ({"settings": job.trial} if job.trial else {})
            | ({"started_fresh": job.start[1]} if job.start[1] else {})
            | made.metrics,
        )
    return {"model": model, "run": run, "snapshot": number, "mlflow_run": run_id, "url": tracking.run_url(run_id)}


def measured_by(result: Result) -> dict[str, float]:
    """What a training measured of the machine."""
    return {RATE: result.tokens_per_second} | result.card


def _best_of(jobs: list[_Job]) -> _Job:
    """The job whose adapter has the lowest held-out loss, of those that came to their end."""
    from sovereign_tasks.train.qlora import read_metrics

    losses = {job.trial: metrics["eval_loss"] for job in jobs if (metrics := read_metrics(job.adapter))}
    if not losses:
        context = jobs[0].context
        reports = context.ledger.reports(context.model, context.run)
        failed = next((r.notes["failed"] for r in reports if "failed" in r.notes), "start the training again")
        raise UserError(f"{context.model}: none of the {len(jobs)} settings that were tried has an adapter: {failed}")
    chosen = best(losses)
    return next(job for job in jobs if job.trial == chosen)


def _drop_other_trials(job: _Job) -> None:
    """Delete the weights of what was tried and not chosen; their figures stay in MLflow."""
    for folder in job.adapter.parent.parent.glob("*") if job.trial else ():
        if folder != job.adapter.parent:
            shutil.rmtree(folder, ignore_errors=True)
