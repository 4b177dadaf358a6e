"""A person's rollback: an earlier champion is the champion again, with the reason that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, dag, task

from dags.common import TASK_DEFAULTS
from sovereign_tasks.config import load_file


def rollback(path: str) -> DAG:
    """The rollback DAG of the model file at `path`."""
    config = load_file(Path(path))
    name = config.model

    @dag(
        dag_id=config.rollback_dag,
        description=f"Make an earlier version of {name} the champion again",
        doc_md=(
            "Started by hand, with a reason. Goes back to the version before the champion, or to any that was champion "
            "once, has its weights and has learned from nothing that was erased since. "
            "`python -m sovereign_tasks rollback` does the same."
        ),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args=TASK_DEFAULTS,
        params={
            "version": Param("", type="string", title="Version; empty for the one before the champion"),
            "reason": Param(type="string", minLength=1, title="Why; kept with the rollback"),
        },
        tags=["sovereign", name],
    )
    def build() -> None:
        @task
        def roll_back(
            run_id: str | None = None, params: dict[str, Any] | None = None, dag_run: Any = None
        ) -> dict[str, Any]:
            """Move the alias champion back, and write down why."""
            from sovereign_tasks.stages import rollback as stages

            asked = params or {}
            by = dag_run.triggering_user_name or "somebody in Airflow"
            return stages.roll_back(name, run_id, asked["version"], asked["reason"], by)

        roll_back()

    return build()
