"""What the platform is made of: the command of each component, and how one sees that it is well."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime

import requests

from sovereign_tasks.platform.databases import Database
from sovereign_tasks.platform.ports import HOST
from sovereign_tasks.platform.processes import Child, Service

PYTHON = (sys.executable, "-P", "-m")
"""-P: nothing that lies in the folder a component starts in can be imported by it."""

AIRFLOW = (
    Service("api-server", (*PYTHON, "airflow", "api-server")),
    # Without --skip-serve-logs it opens a log server on all interfaces.
    Service("scheduler", (*PYTHON, "airflow", "scheduler", "--skip-serve-logs")),
    Service("dag-processor", (*PYTHON, "airflow", "dag-processor")),
)
"""Airflow's components; a triggerer is not among them, since nothing here defers."""


def mlflow_server(database: Database, port: int) -> Service:
    """The MLflow server on its database, with the artifacts in a folder beside it."""
    artifacts = database.path.parent / "artifacts"
    argv = (*PYTHON, "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1")
    stores = ("--backend-store-uri", database.url, "--artifacts-destination", artifacts.as_uri())
    hosts = ("--allowed-hosts", f"{HOST}:{port},localhost:{port}")
    return Service("mlflow", (*argv, *stores, *hosts), f"http://{HOST}:{port}/health")


def airflow_migration(url: str) -> Service:
    """Bring the Airflow database at this address to this release's schema, or make it."""
    env = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}
    return Service("airflow-migrate", (*PYTHON, "airflow", "db", "migrate"), env=env)


def mlflow_migration(url: str) -> Service:
    """Bring the MLflow database at this address to this release's schema."""
    return Service("mlflow-migrate", (*PYTHON, "mlflow", "db", "upgrade", url))


class Health:
    """Asks running components how they are."""

    def __init__(self, airflow_url: str) -> None:
        self._report_url = f"{airflow_url}/api/v2/monitor/health"
        self._http = requests.Session()
        self._http.trust_env = False

    def healthy(self, children: Mapping[str, Child]) -> set[str]:
        """The names of those that are well; a service that has no health address always is."""
        components = {service.name for service in AIRFLOW} & set(children)
        well = {name for name in set(children) - components if self._is_up(children[name].service.health)}
        report = self._report() if components else None
        if report is not None:
            well |= {name for name in components if _beats(report, children[name])}
        return well

    def _is_up(self, address: str | None) -> bool:
        if address is None:
            return True
        try:
            return self._http.get(address, timeout=5).status_code < 500
        except requests.RequestException:
            return False

    def _report(self) -> dict[str, dict[str, str | None]] | None:
        try:
            answer = self._http.get(self._report_url, timeout=5)
            return answer.json() if answer.ok else None
        except requests.RequestException:
            return None


def _beats(report: dict[str, dict[str, str | None]], child: Child) -> bool:
    name = child.service.name.replace("-", "_")
    if name == "api_server":
        return True  # It made the report.
    latest = report[name][f"latest_{name}_heartbeat"]
    # Its own heartbeat: that of a predecessor killed a moment ago still counts as healthy.
    own = latest is not None and datetime.fromisoformat(latest).timestamp() >= child.started
    return own and report[name]["status"] == "healthy"
