"""`accept` and `status` of a stopped night, on a server that answers as Airflow does."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from rich.console import Console

from sovereign_tasks.config import load_model
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger, open_ledger
from sovereign_tasks.platform import AirflowClient
from sovereign_tasks.stages.context import run_key
from sovereign_tasks.store import Store
from sovereign_tasks.terminal import status
from sovereign_tasks.terminal.run import Session

AIRFLOWS_OWN = """
import sys
from airflow.api_fastapi.core_api.datamodels.task_instances import ClearTaskInstancesBody
print(ClearTaskInstancesBody.model_validate_json(sys.argv[1]).model_dump_json())
"""
FAILURE = {"expectation": "e:rejected_share", "observed": 0.95, "said": "rejected_share is 0.95"}


class Airflow(BaseHTTPRequestHandler):
    """Has two runs, and keeps what it is asked to clear."""

    cleared: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def do_GET(self) -> None:
        self._answer(200, {"dag_runs": [{"dag_run_id": "one"}, {"dag_run_id": "two"}], "total_entries": 2})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/auth/token":
            self.cleared.append((self.path, body))
        self._answer(201 if self.path == "/auth/token" else 200, {"access_token": "token"})

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What a running platform is asked to clear."""
    monkeypatch.setattr(Airflow, "cleared", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Airflow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = AirflowClient(f"http://127.0.0.1:{server.server_port}", "pw")
    monkeypatch.setattr(status, "find_platform", lambda console: Session(None, client, "", ""))  # type: ignore[arg-type]
    yield Airflow.cleared
    server.shutdown()
    server.server_close()


def stopped(state: Path, run_id: str) -> tuple[Ledger, str]:
    """A ledger with a night that its validation stopped, and the night's id."""
    ledger, build_id = open_ledger(state), run_key("build", "roofing", run_id)
    Store("roofing").stage(build_id, "events", pa.table({"example_id": ["e"]}))
    ledger.fail("roofing", build_id, "validate", "it was stopped")
    ledger.decide("roofing", "validation", build_id, "stopped", "rejected_share is 0.95.", failures=[FAILURE])
    return ledger, build_id


def said(write: Any, *arguments: Any) -> str:
    out = io.StringIO()
    write(Console(file=out, width=300), *arguments)
    return out.getvalue()


def as_airflow_reads(body: dict[str, Any], state: Path) -> dict[str, Any]:
    """The body with Airflow's own defaults; in a process of its own, since importing Airflow settles its home."""
    argv = [sys.executable, "-c", AIRFLOWS_OWN, json.dumps(body)]
    environment = os.environ | {"AIRFLOW_HOME": str(state / "airflow")}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_an_accepted_night_goes_on_from_its_validation(state: Path, airflow: list) -> None:
    ledger, build_id = stopped(state, "two")
    assert "goes on from `validate`" in said(status.accept_night, ledger, build_id, "all pages are [new]")
    ((path, body),) = airflow
    assert path == "/api/v2/dags/roofing_build/clearTaskInstances"
    asked = as_airflow_reads(body, state)
    assert (asked["dag_run_id"], asked["task_ids"], asked["include_downstream"]) == ("two", ["validate"], True)
    assert (asked["dry_run"], asked["only_failed"], asked["include_upstream"]) == (False, False, False)
    (decision,) = ledger.decisions("roofing", "accept", build_id)
    assert (decision["reason"], decision["detail"]["failures"]) == ("all pages are [new]", [FAILURE])
    assert decision["detail"]["by"]
    assert "(all pages are [new]), and is to go on" in said(status.print_status, ledger, load_model("roofing"))


def test_a_night_that_airflow_forgot(state: Path, airflow: list) -> None:
    ledger, build_id = stopped(state, "three")
    with pytest.raises(UserError, match="Airflow no longer has the run of the night"):
        said(status.accept_night, ledger, build_id, "right")
    assert airflow == []


def test_without_a_platform_it_says_what_to_do(state: Path) -> None:
    ledger, build_id = stopped(state, "two")
    text = said(status.accept_night, ledger, build_id, "right")
    assert "start one with `up` and give the same command again" in text
    assert "clear the task `validate` and what follows it in the failed run of roofing_build" in text
    assert ledger.decisions("roofing", "accept", build_id)


def test_status_names_a_stopped_night_before_any_was_published(state: Path) -> None:
    ledger, build_id = stopped(state, "two")
    text = said(status.print_status, ledger, load_model("roofing"))
    assert f'python -m sovereign_tasks accept {build_id} --reason "…"' in text
    assert "no night has run" not in text
