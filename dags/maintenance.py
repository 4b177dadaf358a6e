"""What piles up is made small again: a task for each model's tables, and one for the logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, dag, task

from dags.common import TASK_DEFAULTS, at_its_hours
from sovereign_tasks.config import load_file, load_platform, model_files
from sovereign_tasks.errors import UserError


def maintenance(folder: str) -> DAG:
    """The maintenance DAG of all models in the config folder `folder`."""
    platform = load_platform(Path(folder))

    @dag(
        dag_id="maintenance",
        description="Compact tables, verify their files, remove old logs",
        doc_md=(
            "For each model, every file of its tables is held against what was written, and tables of many small files "
            "are written anew. Logs that nobody has written to for `maintenance.log_days` are removed."
        ),
        schedule=at_its_hours(platform.maintenance.schedule, platform),
        catchup=False,
        max_active_runs=1,
        default_args=TASK_DEFAULTS,
        tags=["sovereign"],
    )
    def build() -> None:
        @task(map_index_template="{{ model }}")
        def tidy(model: str, run_id: str | None = None) -> dict[str, Any]:
            """Verify and compact one model's tables."""
            from airflow.sdk import get_current_context

            from sovereign_tasks.stages import maintenance as stages

            get_current_context()["model"] = model
            return stages.tidy(model, run_id)

        @task
        def clear_logs() -> dict[str, Any]:
            """Remove old logs."""
            from sovereign_tasks.stages import maintenance as stages

            return stages.clear_logs()

        tidy.expand(model=_models(Path(folder)))
        clear_logs()

    return build()


def _models(folder: Path) -> list[str]:
    """The models whose files can be read: a broken one is an import error of its own."""
    found = []
    for path in model_files(folder):
        try:
            found.append(load_file(path).model)
        except UserError:
            continue
    return sorted(set(found))
