"""A model's retraining: preflight -> base -> train -> evaluate -> gate -> (approve) -> promote, on a due snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, dag, task
from sovereign_ui.links import GATE_REPORT_URL, GateReportLink, MlflowRunLink

from dags import approval
from dags.common import PATIENT, TASK_DEFAULTS, due_snapshot, run_or_wait
from sovereign_tasks.config import load_file


def retrain(path: str) -> DAG:
    """The retrain DAG of the model file at `path`."""
    config = load_file(Path(path))
    name = config.model
    asset, trials = due_snapshot(name), list(config.training.trials())

    @dag(
        dag_id=config.retrain_dag,
        description=f"Train, judge and perhaps promote a version of {name}",
        doc_md=(
            f"Starts when a snapshot of {name} is due, or by hand on any snapshot. A candidate is promoted only if "
            "every gate of its YAML passes; every gate row is kept, passed or not. Where `approval.needed` is set, a "
            "person then decides in the task `approve`."
        ),
        schedule=[asset],
        catchup=False,
        max_active_runs=1,
        default_args=TASK_DEFAULTS,
        params={"snapshot": Param(None, type=["null", "integer"], title="Snapshot number; empty for the newest")},
        tags=["sovereign", name],
    )
    def build() -> None:
        # In the pool, so that the memory it finds free is not another training's for the moment.
        @task.short_circuit(ignore_downstream_trigger_rules=True, pool="gpu", queue="gpu")
        def preflight(
            run_id: str | None = None, params: dict[str, Any] | None = None, triggering_asset_events: Any = None
        ) -> dict[str, Any] | bool:
            """Verify the snapshot, reckon what training needs, refuse what can't fit; skip what was trained already."""
            from sovereign_tasks.stages import retrain as stages

            by_hand, number = not triggering_asset_events, (params or {}).get("snapshot")
            return run_or_wait(stages.preflight, name, run_id, number, by_hand) or False

        @task(pool="gpu", queue="gpu")
        def base(checked: dict[str, Any]) -> dict[str, Any]:
            """Find the base model, or make the small one from scratch."""
            from sovereign_tasks.stages import base as stages
            from sovereign_tasks.stages.search import announce_search

            prepared = run_or_wait(stages.prepare_base, name, checked["run"], checked["snapshot"])
            if len(trials) > 1:
                announce_search(name, prepared)
            return prepared

        @task(pool="gpu", queue="gpu", map_index_template="{{ trial }}", **PATIENT)
        def search(prepared: dict[str, Any], trial: str, ti: Any = None) -> dict[str, Any]:
            """Tune an adapter with one of several settings; one that does not go well leaves the others to go on."""
            from airflow.sdk import get_current_context

            from sovereign_tasks.stages import search as stages

            get_current_context()["trial"] = trial
            where = (prepared["run"], prepared["snapshot"], prepared["base"], trial)
            tried = run_or_wait(stages.try_settings, name, *where)
            if "failed" not in tried:  # which is no skip: Airflow would skip what comes after it too
                # What shows a mapped task's links asks for none of them as it ends.
                ti.xcom_push(key=MlflowRunLink().xcom_key, value=tried["url"])
            return tried

        # After a search, the best that was found.
        @task(pool="gpu", queue="gpu", trigger_rule="all_done_min_one_success", **PATIENT)
        def train(prepared: dict[str, Any], ti: Any = None) -> dict[str, Any]:
            """Tune an adapter on the snapshot and log it to MLflow."""
            from sovereign_tasks.stages import train as stages

            trained = run_or_wait(stages.train, name, prepared["run"], prepared["snapshot"], prepared["base"])
            ti.xcom_push(key="mlflow_run_url", value=trained["url"])
            return trained

        @task(pool="gpu", queue="gpu", **PATIENT)
        def evaluate(trained: dict[str, Any]) -> dict[str, Any]:
            """Score candidate, base and champion on the same rows."""
            from sovereign_tasks.stages import retrain as stages

            return run_or_wait(stages.evaluate, name, trained["run"])

        @task.short_circuit(**PATIENT)
        def gate(evaluated: dict[str, Any], ti: Any = None) -> dict[str, Any] | bool:
            """Hold the candidate against every gate; a refusal skips the promotion."""
            from sovereign_tasks.stages import retrain as stages
            from sovereign_tasks.stages.story import report_url

            judged = stages.judge(name, evaluated["run"])
            ti.xcom_push(key=GATE_REPORT_URL, value=report_url(name, evaluated["run"]))
            return judged or False

        @task(**PATIENT)
        def promote(judged: dict[str, Any]) -> dict[str, Any]:
            """Move the alias champion to the candidate."""
            from sovereign_tasks.stages import retrain as stages

            return stages.promote(name, judged["run"])

        prepared = base(preflight())
        trained = train(prepared)
        trained.operator.operator_extra_links = (MlflowRunLink(),)
        if len(trials) > 1:
            tried = search.partial(prepared=prepared).expand(trial=trials)
            tried.operator.operator_extra_links = (MlflowRunLink(),)
            tried >> trained
        judged = gate(evaluate(trained))
        judged.operator.operator_extra_links = (GateReportLink(),)
        promoted = promote(judged)
        if config.approval.needed:
            judged >> approval.ask(name, config.approval.hours) >> promoted

    return build()
