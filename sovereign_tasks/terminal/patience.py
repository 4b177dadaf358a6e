"""A client of Airflow that sits out a short outage, such as a restart of the api-server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from sovereign_tasks.errors import UserError
from sovereign_tasks.platform import AirflowClient


class PatientClient(AirflowClient):
    """Asks again, for at most `patience` seconds, while nobody answers; `on_outage` hears once of each outage.

    What starts something is not repeated, since it may have been carried out unanswered. `check` is called between
    the tries, to restart what died.
    """

    def __init__(
        self,
        base_url: str,
        password: str,
        *,
        check: Callable[[], None],
        on_outage: Callable[[float], None],
        patience: float = 60.0,
    ) -> None:
        super().__init__(base_url, password)
        self._check, self._on_outage, self._patience = check, on_outage, patience

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed, which ends its tasks and gives its turn to the next one."""
        self._send("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}", json={"state": "failed"})

    def _request(self, method: str, path: str, **request: Any) -> Any:
        repeatable = method != "POST" or path == "/auth/token"
        until, told = time.monotonic() + self._patience, False
        while True:
            try:
                return super()._request(method, path, **request)
            except UserError:
                if not repeatable or time.monotonic() > until:
                    raise
            if not told:
                told = True
                self._on_outage(self._patience)
            self._check()
            time.sleep(0.5)
