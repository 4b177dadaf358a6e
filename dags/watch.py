"""Each night: is the champion worse than the one before it, on what was gathered since?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, dag, task

from dags.common import TASK_DEFAULTS, at_its_hours, run_or_wait
from sovereign_tasks.config import load_file, load_platform


def watch(path: str) -> DAG:
    """The DAG that watches the champion of the model file at `path`.

    It is none of the night's tasks, since it waits for a card, and a night that waits holds up erasures and the next.
    """
    config, platform = load_file(Path(path)), load_platform(Path(path).parent)
    name = config.model

    @dag(
        dag_id=config.watch_dag,
        description=f"Compare the champion of {name} with the one before it, and go back if it is worse",
        doc_md=(
            "At each of `rollback.looks` counts of held-out groups gathered since the champion took over, it is "
            "compared with the version before it. If it is worse by more than `rollback.margin` bits per byte, the "
            "alias goes back. Each look is taken once, and all of them together err in 2.5% of cases."
        ),
        schedule=at_its_hours(config.retrain.schedule, platform),
        catchup=False,
        max_active_runs=1,
        default_args=TASK_DEFAULTS,
        tags=["sovereign", name],
    )
    def build() -> None:
        @task(pool="gpu", queue="gpu")
        def watch(run_id: str | None = None) -> dict[str, Any]:
            """Take the look that is due, if one is."""
            from sovereign_tasks.stages import watch as stages

            return run_or_wait(stages.watch, name, run_id)

        watch()

    return build()
