"""The beginning of a night: what is new at each source.

A job names one source of a night: model, build_id, source, and parent, the sequence of the build before it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sovereign_tasks.config import load_platform
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import SourceState
from sovereign_tasks.stages.context import Unforeseen, open_context, run_key, timed, withheld
from sovereign_tasks.stages.parts import Parts, is_collected


def begin(model: str, run_id: str) -> list[dict[str, Any]]:
    """Open a night: one job per source. What an earlier try left over goes."""
    context = open_context(model, run_key("build", model, run_id))
    withdrawn = {decision["run"] for decision in context.ledger.decisions(model, "withdrawal")}
    sources = [s.name for s in context.config.sources if s.enabled and s.name not in withdrawn]
    if not sources:
        lost = f" but {', '.join(sorted(withdrawn))}, whose consent was withdrawn" if withdrawn else ""
        raise UserError(f"{model}: sources: none is enabled{lost}; enable another.")
    if not context.is_committed:
        if context.ledger.is_held(f"erase/{model}"):
            raise TransientError(f"An erasure of {model} is being carried out; the night begins when that has ended.")
        context.store.clear_staging()
    parent = context.ledger.sequence(model)
    return [{"model": model, "build_id": context.run, "parent": parent, "source": s} for s in sorted(sources)]


def collect(job: dict[str, Any], *, last_try: bool = True) -> dict[str, Any]:
    """Fetch what is new at one source; a try that was cut off is gone on with.

    A source that can't be collected from leaves the night to the others: its job says why under `failed`. What may
    heal is raised, for the scheduler to try again, until the last try.
    """
    try:
        return _collect(job)
    except UserError as e:
        return job | {"failed": str(e)}
    except Exception as e:  # whatever a source can do to its collector, the others are none the worse
        if not isinstance(e, TransientError | Unforeseen):
            e = withheld(f"collect:{job['source']}", e)
        if isinstance(e, TransientError) and not last_try:
            raise e from None
        return job | {"failed": str(e)}


def _collect(job: dict[str, Any]) -> dict[str, Any]:
    from sovereign_tasks.collect import collect as fetch

    model, build_id, source = job["model"], job["build_id"], job["source"]
    context, stage = open_context(model, build_id), f"collect:{source}"
    if context.is_committed or is_collected(context, source):
        return job
    validators = context.ledger.validators(model, source)
    known = SourceState(validators, context.ledger.cursor(model, source), context.ledger.items(model, source))
    with timed(context, stage) as figures:
        parts = Parts(context, source)
        if not parts.whole:
            fetch(
                context.config.source(source),
                parts.resume(known),
                contact=load_platform().contact,
                now=datetime.now(UTC),
                hand_on=parts.hand_on,
                progress=lambda done, total: context.advance(stage, done, total),
            )
        figures.update(parts.close())
    return job


def report_failed(night: dict[str, Any]) -> dict[str, Any]:
    """Raise a `UserError` with what kept sources from being collected from, if there were any."""
    if failed := night["failed"]:
        raise UserError(f"The night was published without {', '.join(sorted(failed))}. {' '.join(failed.values())}")
    return night
