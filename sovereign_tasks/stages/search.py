"""Several settings tried, each in a training of its own, and the one of them that goes on to the gates."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.stages.context import open_context, timed
from sovereign_tasks.stages.job import Job
from sovereign_tasks.supervision import watch_supervisor
from sovereign_tasks.train.search import best

log = logging.getLogger(__name__)


def announce_search(model: str, prepared: dict[str, Any]) -> None:
    """Begin the MLflow run under which those of the trials will stand, before several of them may do so at once."""
    with suppress(TransientError):  # each of them finds it, or begins it
        Job.of(open_context(model, prepared["run"]), prepared["snapshot"], prepared["base"]).begin_search()


def try_settings(model: str, run: str, number: int, base: str, trial: str) -> dict[str, Any]:
    """Train one of several adapters; `failed` says why one did not come to its end that a fault of ours is not."""
    from sovereign_tasks.train import tracking

    supervised = watch_supervisor()
    context = open_context(model, run)
    job, stage = Job.of(context, number, base, trial), f"search:{trial}"
    with timed(context, stage) as figures:
        figures.update(rows_in=len(job.splits["train"]), notes={"settings": trial, "rows": job.rows_hash})
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


def best_of(jobs: list[Job]) -> tuple[Job, list[str]]:
    """The job whose adapter has the lowest held-out loss, and the trials that could not be compared.

    Those are such as came to no end, or to one on rows that are not the snapshot's any more.
    """
    from sovereign_tasks.train import tracking
    from sovereign_tasks.train.qlora import read_metrics

    context = jobs[0].context
    notes = {r.stage: r.notes for r in context.ledger.reports(context.model, context.run)}
    tried = {job.trial: notes.get(f"search:{job.trial}", {}) for job in jobs}
    losses: dict[str, float] = {}
    for job in jobs:
        loss = read_metrics(job.adapter).get("eval_loss")
        if loss is not None and tried[job.trial].get("rows") == job.rows_hash:
            losses[job.trial] = loss
    missing = [job.trial for job in jobs if job.trial not in losses]
    if not losses:
        with suppress(TransientError):
            tracking.end_run(replace(jobs[0], trial="").begin_search(), ok=False)
        why = next((t["failed"] for t in tried.values() if "failed" in t), "start the training again")
        raise UserError(f"{context.model}: none of the {len(jobs)} settings has an adapter to compare: {why}")
    if missing:
        log.warning("Compared without %s, which have no adapter of these rows.", "; ".join(missing))
    chosen = best(losses)
    return next(job for job in jobs if job.trial == chosen), missing


def drop_other_trials(job: Job) -> None:
    """Delete the weights of what was tried and not chosen; their figures stay in MLflow."""
    for folder in job.adapter.parent.parent.glob("*") if job.trial else ():
        if folder != job.adapter.parent:
            shutil.rmtree(folder, ignore_errors=True)
