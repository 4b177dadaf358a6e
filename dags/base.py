"""A base from scratch, by hand: check the corpus -> train tokenizer and model -> retrain due."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, AssetAlias, Param, dag, task

from dags.common import TASK_DEFAULTS, run_or_wait, tell_due
from sovereign_tasks.config import load_file
from sovereign_tasks.training_config import SCRATCH


def base(path: str) -> DAG | None:
    """The base DAG of the model file at `path`; None for a model whose owner brings its base."""
    config = load_file(Path(path))
    name = config.model
    if config.training.base_model != SCRATCH:
        return None
    due_alias = AssetAlias(f"{name}_base_retrain_due")

    @dag(
        dag_id=config.base_dag,
        description=f"Make a base model for {name} from its own text",
        doc_md=(
            "Trains a tokenizer and a model of the size that `training.scratch` states on the documents of a snapshot. "
            "The task `base` ends with the perplexity before and after. The next retraining uses what was made last, "
            "and is due if that is another base than the last one's. A task that was killed goes on where it was."
        ),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args=TASK_DEFAULTS,
        params={"snapshot": Param(None, type=["null", "integer"], title="Snapshot number; empty for the newest")},
        tags=["sovereign", name],
    )
    def build() -> None:
        @task
        def corpus(run_id: str | None = None, params: dict[str, Any] | None = None) -> dict[str, Any]:
            """See that a base can be made of the snapshot's text."""
            from sovereign_tasks.stages import base as stages

            return stages.check_corpus(name, run_id, (params or {}).get("snapshot"))

        @task(pool="gpu", queue="gpu")
        def base(checked: dict[str, Any]) -> dict[str, Any]:
            """Train the tokenizer and the model."""
            from sovereign_tasks.stages import base as stages

            return run_or_wait(stages.make_base, name, checked["run"], checked["snapshot"])

        @task(outlets=[due_alias])
        def retrain_due(made: dict[str, Any], outlet_events: Any = None) -> dict[str, Any]:
            """Emit the snapshot's asset event if the last training had another base."""
            return tell_due(name, {"model": name, "build_id": made["run"]}, due_alias, outlet_events)

        retrain_due(base(corpus()))

    return build()
