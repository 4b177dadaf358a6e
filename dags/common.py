"""What the DAGs share: retries, the asset between build and retrain, and names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import Asset, AssetAlias, ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowRescheduleException
from airflow.timetables.trigger import CronTriggerTimetable

from sovereign_tasks.config import PlatformConfig
from sovereign_tasks.errors import Paused

HEALS_BY_ITSELF: list[type[BaseException] | str] = [
    "sovereign_tasks.errors.TransientError",
    OSError,
    "sqlalchemy.exc.OperationalError",
]
TASK_DEFAULTS: dict[str, Any] = {
    "owner": "sovereign",
    "retries": 1,
    "retry_delay": timedelta(minutes=5),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(exception=HEALS_BY_ITSELF, action=RetryAction.RETRY, reason="may heal by itself"),
            RetryRule(exception=Exception, action=RetryAction.FAIL, reason="would fail again"),
        ]
    ),
}

PATIENT: dict[str, Any] = {
    "retries": 8,
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(hours=1),
}
"""Of tasks behind a training, which outlast an MLflow that is away for some five hours; a kill counts as a try too."""


def at_its_hours(cron: str, platform: PlatformConfig) -> CronTriggerTimetable:
    """When a schedule says, from the next time on: a DAG that is new makes up for no hour that has passed.

    Airflow would for one that passed less than a tenth of the schedule ago, which is a second night beside the first.
    """
    timezone = platform.timezone or pendulum.local_timezone()
    return CronTriggerTimetable(cron, timezone=timezone, run_immediately=timedelta(0))


def run_or_wait(stage: Callable[..., Any], *arguments: Any) -> Any:
    """Run a stage; one that waits for its hours or for a card goes on then, and its slot is free until it does."""
    try:
        return stage(*arguments)
    except Paused as pause:
        raise AirflowRescheduleException(pause.until) from None


def due_snapshot(model: str) -> Asset:
    """The asset whose event says that a snapshot is due for training."""
    return Asset(name=f"{model}_snapshot", uri=f"sovereign://{model}/snapshot", group="sovereign")


def tell_due(model: str, night: dict[str, Any], alias: AssetAlias, outlet_events: Any) -> dict[str, Any]:
    """Decide whether a training is due, and emit the snapshot's asset event through the task's alias if it is."""
    from sovereign_tasks.stages import due as stages

    verdict = stages.check_due(night)
    if verdict["due"]:
        outlet_events[alias].add(due_snapshot(model), extra={"snapshot": verdict["snapshot"]})
    return verdict
