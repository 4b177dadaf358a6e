"""The training of a run: one adapter or, where several settings were tried, the best of theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sovereign_tasks.config import config_hash
from sovereign_tasks.errors import UserError
from sovereign_tasks.lineage_events import dataset, told
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages.context import open_context, timed
from sovereign_tasks.stages.held_out import names_of
from sovereign_tasks.stages.job import Job, measured_by
from sovereign_tasks.stages.lineage import CANARIES, REPLAY, SAMPLED_OUT
from sovereign_tasks.stages.moves import own_move
from sovereign_tasks.stages.search import choose, drop_other_trials
from sovereign_tasks.stages.taints import note_taint
from sovereign_tasks.supervision import watch_supervisor


def train(model: str, run: str, number: int, base: str) -> dict[str, Any]:
    """Tune an adapter on the snapshot's training rows, with its curves, figures and files in MLflow.

    Where several settings were tried it is the best of theirs.
    """
    from sovereign_tasks.train import tracking

    supervised = watch_supervisor()
    context = open_context(model, run)
    with timed(context, "train") as figures:
        job = Job.of(context, number, base)
        learned = [
            dataset(model, "snapshot", version=f"{number}-{job.snapshot.content_hash}"),
            dataset(model, f"base/{job.base.name}", version=job.base_hash),
            *([dataset(model, "replay", version=job.own.sha256)] if job.own else []),
        ]
        with told(model, "train", run, learned) as outputs:
            block = context.config.training
            _check_promoted(job, context.ledger.training(model, run))
            missing: list[str] = []
            if len(trials := block.trials()) > 1:
                job, missing = choose([Job.of(context, number, base, name) for name in trials])
            run_id, result = job.tune("train", supervised)
            if job.trial:
                tracking.end_run(run_id)
                run_id = replace(job, trial="").begin_search()
                tracking.log_lineage(run_id, job.lineage())
                started = {"started_from": job.start[0].run_id} if job.start[0] else {}
                tracking.log_choice(run_id, {"best_trial": job.trial} | started, result.metrics | measured_by(result))
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
                chosen_by=names_of(job.validation) if block.chooses else [],
                canaries=[canary.example_id for canary in job.canaries],
            )
            context.ledger.record_training(run, made)
            note_taint(context, made)
            drop_other_trials(job)
            outputs.append(dataset(model, "adapter", version=made.adapter_hash))
        figures.update(
            rows_in=len(job.splits["train"]),
            rows_out=result.examples,
            rejected=({"too_long": result.left_out} if result.left_out else {})
            | {f"{SAMPLED_OUT}:{cap}": count for cap, count in job.sampled.left_out.items()},
            notes={"replayed": result.replayed, "steps": result.steps, "not_capped": job.sampled.not_capped}
            | {"rows_at_a_time": result.batch_size}
            | ({REPLAY: job.own.named} if job.own else {})
            | ({CANARIES: len(job.canaries)} if job.canaries else {})
            | ({"replay_too_long": result.not_replayed} if result.not_replayed else {})
            | ({"shortened": result.shortened} if result.shortened else {})
            | ({"settings": job.trial} if job.trial else {})
            | ({"not_compared": missing} if missing else {})
            | ({"started_fresh": job.start[1]} if job.start[1] else {})
            | made.metrics,
        )
    return {"model": model, "run": run, "snapshot": number, "mlflow_run": run_id, "url": tracking.run_url(run_id)}


def _check_promoted(job: Job, earlier: TrainingRun | None) -> None:
    """Raise a `UserError` where a run that has promoted its version would train another in its place."""
    block, canaries = job.context.config.training, [canary.example_id for canary in job.canaries]
    if earlier and own_move(job.context) and (earlier.config_hash, earlier.canaries) != (config_hash(block), canaries):
        raise UserError(
            f"{job.context.model}: run {job.context.run} has promoted its version, and its settings have changed "
            "since; start a new training."
        )
