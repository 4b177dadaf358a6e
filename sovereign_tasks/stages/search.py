"""Several settings tried, each in a training of its own, and the one of them that goes on to the gates."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.stages.context import open_context, timed
from sovereign_tasks.stages.job import Job
from sovereign_tasks.supervision import watch_supervisor
from sovereign_tasks.train import tracking
from sovereign_tasks.train.qlora import read_metrics
from sovereign_tasks.train.search import best


def announce_search(model: str, prepared: dict[str, Any]) -> None:
    """Begin the MLflow run under which those of the trials will stand, before several of them may do so at once."""
    with suppress(TransientError):  # each of them finds it, or begins it
        Job.of(open_context(model, prepared["run"]), prepared["snapshot"], prepared["base"]).begin_search()


def try_settings(model: str, run: str, number: int, base: str, trial: str) -> dict[str, Any]:
    """Train one of several adapters; `failed` says why one did not come to its end that a fault of ours is not."""
    supervised = watch_supervisor()
    context = open_context(model, run)
    job, stage = Job.of(context, number, base, trial), f"search:{trial}"
    context.ledger.decide(model, "choice", run, "open", "")
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


def choose(jobs: list[Job]) -> tuple[Job, list[str]]:
    """The job whose adapter has the lowest held-out loss, and the trials that could not be compared.

    Those are such as came to no end, or to one on rows that are not the snapshot's any more, which are deleted. What
    was chosen stays so until a trial is run again.
    """
    context, named = jobs[0].context, {job.trial: job for job in jobs}
    decided = context.ledger.decisions(context.model, "choice", context.run)
    if decided and decided[0]["outcome"] == "chosen":
        return named[decided[0]["detail"]["trial"]], decided[0]["detail"]["missing"]
    rows_hash = jobs[0].rows_hash  # as of all others
    losses = {job.trial: loss for job in jobs if (loss := _loss(job, rows_hash)) is not None}
    missing = [trial for trial in named if trial not in losses]
    if not losses:
        with suppress(TransientError):
            tracking.end_run(replace(jobs[0], trial="").begin_search(), ok=False)
        notes = [r.notes for r in context.ledger.reports(context.model, context.run) if r.stage.startswith("search:")]
        why = next((n["failed"] for n in notes if "failed" in n), "clear its tasks `search` in Airflow")
        raise UserError(f"{context.model}: none of the {len(jobs)} settings has an adapter to compare: {why}")
    chosen = best(losses)
    told = f"held-out loss {losses[chosen]:.4f}, the lowest of {len(losses)}"
    context.ledger.decide(context.model, "choice", context.run, "chosen", told, trial=chosen, missing=missing)
    return named[chosen], missing


def _loss(job: Job, rows_hash: str) -> float | None:
    """The held-out loss of a trial's adapter, if it has one of these rows."""
    if not job.is_of(rows_hash):
        shutil.rmtree(job.adapter.parent, ignore_errors=True)
        return None
    return read_metrics(job.adapter).get("eval_loss")


def drop_other_trials(job: Job) -> None:
    """Delete the weights of what was tried and not chosen; their figures stay in MLflow."""
    for folder in job.adapter.parent.parent.glob("*") if job.trial else ():
        if folder != job.adapter.parent:
            shutil.rmtree(folder, ignore_errors=True)
