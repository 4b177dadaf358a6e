"""A model's nightly build: collect -> curate -> deduplicate -> examples -> validate -> publish -> retrain due?"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, AssetAlias, dag, task

from dags.common import TASK_DEFAULTS, at_its_hours, tell_due
from sovereign_tasks.config import load_file, load_platform

LONGEST_TASK = timedelta(hours=6)  # beyond all caps of its own, something hangs


def build_dataset(path: str) -> DAG:
    """The build DAG of the model file at `path`."""
    config, platform = load_file(Path(path)), load_platform(Path(path).parent)
    name = config.model
    due_alias = AssetAlias(f"{name}_retrain_due")

    @dag(
        dag_id=config.build_dag,
        description=f"Nightly dataset of {name}: {config.description}",
        doc_md=(
            f"{config.description}.\n\nCollects what is new at each source, cleans and scrubs it, drops duplicates, "
            "derives examples, validates them and publishes a snapshot. When enough is new, `retrain_due` emits the "
            f"asset `{name}_snapshot`, which starts the retraining. A source that can't be collected from leaves the "
            "night to the others, and `all_collected` fails with the reason."
        ),
        schedule=at_its_hours(config.retrain.schedule, platform),
        catchup=False,
        max_active_runs=1,
        default_args=TASK_DEFAULTS | {"execution_timeout": LONGEST_TASK},
        tags=["sovereign", name],
    )
    def build() -> None:
        @task
        def begin(run_id: str | None = None) -> list[dict[str, Any]]:
            """Open the night: one job per source."""
            from sovereign_tasks.stages import gather as stages

            return stages.begin(name, run_id)

        @task(pool="network", map_index_template="{{ source }}")
        def collect(job: dict[str, Any]) -> dict[str, Any]:
            """Fetch what is new at one source."""
            from airflow.sdk import get_current_context

            from sovereign_tasks.stages import gather as stages

            context = get_current_context()
            context["source"], task = job["source"], context["ti"]
            return stages.collect(job, last_try=task.try_number > task.max_tries)

        @task(map_index_template="{{ source }}")
        def curate(job: dict[str, Any]) -> dict[str, Any]:
            """Clean and scrub one source's items."""
            from airflow.sdk import get_current_context

            from sovereign_tasks.stages import curation as stages

            get_current_context()["source"] = job["source"]
            return stages.curate(job)

        @task
        def deduplicate(jobs: list[dict[str, Any]]) -> dict[str, Any]:
            """Decide which documents stay, in one fixed order."""
            from sovereign_tasks.stages import select as stages

            return stages.deduplicate(list(jobs))

        @task
        def examples(night: dict[str, Any]) -> dict[str, Any]:
            """Derive questions and answers, split them, keep training rows off the holdout."""
            from sovereign_tasks.stages import assemble as stages

            return stages.derive(night)

        @task
        def validate(night: dict[str, Any]) -> dict[str, Any]:
            """Hold the batch against the Great Expectations suite."""
            from sovereign_tasks.stages import validate as stages

            return stages.validate(night)

        @task
        def publish(night: dict[str, Any]) -> dict[str, Any]:
            """Make the night visible in one transaction."""
            from sovereign_tasks.stages import publish as stages

            return stages.publish(night)

        @task(outlets=[due_alias])
        def retrain_due(night: dict[str, Any], outlet_events: Any = None) -> dict[str, Any]:
            """Emit the snapshot's asset event if the ledger says that enough is new."""
            return tell_due(name, night, due_alias, outlet_events)

        @task
        def all_collected(night: dict[str, Any]) -> None:
            """Fail, once all else is published, if a source could not be collected from."""
            from sovereign_tasks.stages import gather as stages

            stages.report_failed(night)

        curated = curate.expand(job=collect.expand(job=begin()))
        published = publish(validate(examples(deduplicate(curated))))
        retrain_due(published)
        all_collected(published)

    return build()
