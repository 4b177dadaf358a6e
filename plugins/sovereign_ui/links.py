"""Links that a task shows beside its details; light enough for DAG files to import."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

MLFLOW_RUN_URL = "mlflow_run_url"
"""XCom key under which a task leaves the address of its MLflow run."""

GATE_REPORT_URL = "gate_report_url"
"""XCom key under which a task leaves the address of the report of its gates."""


class MlflowRunLink(BaseOperatorLink):
    """From a training task to the MLflow run that it recorded."""

    name = "MLflow run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address the task left; empty where it left none."""
        return XCom.get_value(ti_key=ti_key, key=MLFLOW_RUN_URL) or ""


class GateReportLink(BaseOperatorLink):
    """From a gate task to the page that says why its version passed or was refused."""

    name = "Report of the gates"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address the task left; empty where it left none."""
        return XCom.get_value(ti_key=ti_key, key=GATE_REPORT_URL) or ""
