"""Airflow with the plugin in process, a ledger with one night in it, and a folder of model files."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sovereign_tasks.ledger import Commit, Ledger, open_ledger
from sovereign_tasks.records import GateDecision, GateRow, Snapshot, StageReport

PROJECT = Path(__file__).parents[3]
PLUGINS = PROJECT / "plugins"
sys.path.append(str(PLUGINS))  # as Airflow does
BUILD, RUN = "4f1c22ab90de7710", "a3f09d2c4b7e4c6f"
AT = datetime(2026, 3, 1, 1, 4, tzinfo=UTC)


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config folder with the bundled model alone, in a timezone of its own."""
    folder = tmp_path / "config"
    folder.mkdir()
    shutil.copy(PROJECT / "config" / "roofing.yaml", folder)
    (folder / "platform.yaml").write_text("timezone: Asia/Kolkata\n")
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:5000/")
    monkeypatch.delenv("MLFLOW_PUBLIC_URI", raising=False)
    return folder


@pytest.fixture
def ledger(state: Path, configs: Path) -> Ledger:
    """An empty ledger."""
    return open_ledger(state)


@pytest.fixture
def night(ledger: Ledger) -> Ledger:
    """A ledger after a first night, its training and its promotion; stages ended in no particular order."""
    for report in (
        StageReport("curate:almanac", 90, 80, {"language": 2, "too_short": 8}, 2.5, {"pii": 17}),
        StageReport("collect:almanac", 96, 90, {"not_found": 6}, 65.0, {"data_docs": ""}),
        StageReport("validate", 80, 80, {}, 8.0, {"data_docs": "/srv/docs/index.html"}),
        StageReport("publish", 40, 40, {}, 0.25, {"purged": {"documents": []}, "events": 40}),
    ):
        ledger.report("roofing", BUILD, report)
    counts = {"holdout": 131, "train": 1712}
    snapshot = Snapshot("roofing", 1, None, BUILD, "9c41be07d2aa" * 4, counts, "cfg", "0.1", AT)
    ledger.commit(Commit("roofing", BUILD, 0, snapshot, {}))
    detail = {"snapshot": 1, "new_examples": 31, "needed": 40}
    ledger.decide("roofing", "retrain", BUILD, "not_due", "31 of 40 needed: not due", **detail)
    row = GateRow("nll against base", "nll", "base", 0.5, 4.9, 4.4, 4.0, 4.8, 0.0, True, "clears")
    ledger.record_gates("r1", GateDecision("roofing", RUN, "1", [row], True))
    ledger.decide("roofing", "promotion", "r1", "promoted", "every gate passed", version="1", run_id=RUN, snapshot=1)
    return ledger


@pytest.fixture(scope="session")
def airflow_app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Airflow's API server with the plugin; settings hold unless other tests have started Airflow already."""
    home = tmp_path_factory.mktemp("airflow")
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API_AUTH__JWT_SECRET": "not a secret, but long enough to sign with: " + "5a" * 32,
    }
    if "airflow" not in sys.modules:
        os.environ.update(settings)
    from airflow.api_fastapi.app import create_app
    from airflow.utils.db import initdb

    initdb()
    return create_app(apps="core")


@pytest.fixture
def client(airflow_app: Any) -> Callable[[str | None], Any]:
    """A client of Airflow in a role, or with no login at all."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    def of(role: str | None) -> TestClient:
        headers = {}
        if role:
            token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="t", role=role))
            headers["Authorization"] = f"Bearer {token}"
        return TestClient(airflow_app, headers=headers)

    return of
