"""A small client of Airflow's REST API: what the terminal needs of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import requests

from sovereign_tasks.errors import UserError

TIMEOUT = 30.0
PAGE = 100


class AirflowClient:
    """Speaks to one Airflow api-server as its admin; a token is fetched when needed and again when it ends.

    Every call raises UserError with Airflow's own words when it is refused or nobody answers.
    """

    def __init__(self, base_url: str, password: str, username: str = "admin") -> None:
        self.base_url = base_url.rstrip("/")
        self._login = {"username": username, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False  # A loopback address never goes through a proxy.

    def health(self) -> dict[str, Any]:
        """State and last heartbeat of each component; needs no login."""
        return self._send("GET", "/api/v2/monitor/health", login=False)

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run and return its run_id."""
        body = {"logical_date": None, "conf": conf or {}}
        return self._send("POST", f"/api/v2/dags/{_part(dag_id)}/dagRuns", json=body)["dag_run_id"]

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """The DAG's record, or None while Airflow has not parsed such a DAG."""
        return self._send("GET", f"/api/v2/dags/{_part(dag_id)}", absent_ok=True)

    def dag_run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One run, with its state."""
        return self._send("GET", f"/api/v2/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}")

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """All runs of a DAG, the oldest first."""
        return self._pages(f"/api/v2/dags/{_part(dag_id)}/dagRuns", "dag_runs", order_by="run_after")

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """All task instances of a run, mapped ones each for itself."""
        path = f"/api/v2/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}/taskInstances"
        return self._pages(path, "task_instances")

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Let a task of a run, and what follows it, run again."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "include_downstream": True}
        path = f"/api/v2/dags/{_part(dag_id)}/clearTaskInstances"
        self._send("POST", path, json=body | {"only_failed": False})

    def import_errors(self) -> list[dict[str, Any]]:
        """What could not be parsed in the DAG folder: `filename` and `stack_trace` of each."""
        return self._pages("/api/v2/importErrors", "import_errors")

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run."""
        self._send("PATCH", f"/api/v2/dags/{_part(dag_id)}", json={"is_paused": False})

    def set_pool(self, name: str, slots: int, description: str = "") -> None:
        """Create a pool, or give an existing one this size."""
        pool = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        path = f"/api/v2/pools/{_part(name)}"
        present = self._send("GET", path, absent_ok=True)
        if present is None:
            self._send("POST", "/api/v2/pools", json=pool)
        elif any(present[key] != value for key, value in pool.items()):
            self._send("PATCH", path, json=pool)

    def _pages(self, path: str, key: str, **params: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self._send("GET", path, params={**params, "limit": PAGE, "offset": len(found)})
            found += page[key]
            if not page[key] or len(found) >= page["total_entries"]:
                return found

    def _send(self, method: str, path: str, *, login: bool = True, absent_ok: bool = False, **request: Any) -> Any:
        if login and "Authorization" not in self._session.headers:
            self._authorize()
        answer = self._request(method, path, **request)
        if answer.status_code == 401 and login:
            self._authorize()
            answer = self._request(method, path, **request)
        if answer.status_code == 404 and absent_ok:
            return None
        if not answer.ok:
            raise UserError(f"Airflow refused {method} {path} with status {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def _authorize(self) -> None:
        answer = self._request("POST", "/auth/token", json=self._login)
        if answer.status_code != 201:
            raise UserError(f"Airflow at {self.base_url} refused the login (status {answer.status_code})")
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _request(self, method: str, path: str, **request: Any) -> requests.Response:
        try:
            return self._session.request(method, self.base_url + path, timeout=TIMEOUT, **request)
        except requests.RequestException as error:
            raise UserError(f"Airflow at {self.base_url} does not answer: {type(error).__name__}") from error


def _part(value: str) -> str:
    return quote(value, safe="")
