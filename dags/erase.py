"""A person's erasure: wait for the night -> erase -> retrain due."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, AssetAlias, Param, dag, task

from dags.common import TASK_DEFAULTS, tell_due
from sovereign_tasks.config import load_file


def erase(path: str) -> DAG:
    """The erasure DAG of the model file at `path`."""
    config = load_file(Path(path))
    name = config.model
    due_alias = AssetAlias(f"{name}_erasure_retrain_due")

    @dag(
        dag_id=config.erase_dag,
        description=f"Erase what a person asks for from {name}",
        doc_md=(
            "Started by `python -m sovereign_tasks erase`, which reads the request from standard input and seals it in "
            "the ledger: the run has only its id. The task `erase` ends with a certificate that holds no personal data."
        ),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args=TASK_DEFAULTS,
        params={"request": Param("", type="string", title="Id of a request, as `erase` gives it")},
        tags=["sovereign", name],
    )
    def build() -> None:
        @task.sensor(poke_interval=10, timeout=6 * 3600, mode="reschedule")
        def no_night_runs(ti: Any = None) -> bool:
            """Wait until no night of the model is under way."""
            return ti.get_dr_count(config.build_dag, states=["running"]) == 0

        @task
        def erase(params: dict[str, Any] | None = None) -> dict[str, Any]:
            """Erase, and give the certificate."""
            from sovereign_tasks.stages import erasure as stages

            return stages.erase(name, (params or {})["request"])

        @task(outlets=[due_alias])
        def retrain_due(certificate: dict[str, Any], outlet_events: Any = None) -> dict[str, Any]:
            """Emit the snapshot's asset event if the champion has learned from what was erased."""
            return tell_due(name, {"model": name, "build_id": certificate["request"]}, due_alias, outlet_events)

        erased = erase()
        no_night_runs() >> erased
        retrain_due(erased)

    return build()
