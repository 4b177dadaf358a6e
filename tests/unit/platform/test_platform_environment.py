from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sovereign_tasks.platform.credentials import Credentials, load_credentials
from sovereign_tasks.platform.environment import default_state, environment, marker
from sovereign_tasks.platform.offline import OFFLINE

PORTS = {"airflow": 28080, "mlflow": 25000}


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return load_credentials(tmp_path)


def test_everything_is_on_loopback_with_its_own_secrets(tmp_path: Path, credentials: Credentials) -> None:
    made = environment(tmp_path, tmp_path / "project", credentials, PORTS, inherited={"HOME": "/root"})
    assert made["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:25000"
    assert made["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:28080"
    assert made["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert made["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{tmp_path}/airflow/airflow.db?timeout=60"
    assert made["AIRFLOW__CORE__DAGS_FOLDER"] == str(tmp_path / "project" / "dags")
    assert made["SOVEREIGN_KEY"] == credentials.installation_key
    assert made["SOVEREIGN_STATE"] == str(tmp_path)
    assert made["AIRFLOW__CORE__DEFAULT_TIMEZONE"] == "system"
    assert made["HOME"] == "/root"
    assert OFFLINE.items() <= made.items()


def test_settings_of_another_installation_stay_out(tmp_path: Path, credentials: Credentials) -> None:
    inherited = {
        "AIRFLOW__CELERY__BROKER_URL": "redis://elsewhere",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "MLFLOW_RUN_ID": "x",
        "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "30",
        "HF_HUB_OFFLINE": "0",
        "AIRFLOW_CONN_REDDIT": "kept",
        "PYTHONPATH": "/theirs",
        "NO_PROXY": "intranet",
    }
    made = environment(tmp_path, tmp_path / "project", credentials, PORTS, "Europe/Berlin", inherited)
    assert "AIRFLOW__CELERY__BROKER_URL" not in made
    assert "MLFLOW_RUN_ID" not in made
    assert made["MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"] == "30"
    assert made["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert made["AIRFLOW__CORE__DEFAULT_TIMEZONE"] == "Europe/Berlin"
    assert made["HF_HUB_OFFLINE"] == "1"
    assert made["AIRFLOW_CONN_REDDIT"] == "kept"
    assert made["PYTHONPATH"].split(os.pathsep) == [str(tmp_path / "project"), "/theirs"]
    assert made["NO_PROXY"].split(",") == ["127.0.0.1", "localhost", "intranet"]


def test_the_state_folder_follows_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOVEREIGN_STATE", raising=False)
    assert default_state(tmp_path) == tmp_path / "state"
    monkeypatch.setenv("SOVEREIGN_STATE", str(tmp_path / "other"))
    assert default_state(tmp_path) == tmp_path / "other"


def test_the_marker_belongs_to_the_very_folder(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert marker(one) == marker(tmp_path / "other" / ".." / "one")
    assert marker(one) != marker(other)


def test_the_switches_work_in_the_libraries_themselves() -> None:
    code = (
        "from huggingface_hub import constants as h; import praw, datasets.config as d;"
        "from mlflow.telemetry.utils import is_telemetry_disabled as off;"
        "r = praw.Reddit(client_id='x', client_secret='x', user_agent='x', reddit_url='http://127.0.0.1:9');"
        "print(h.HF_HUB_OFFLINE, h.HF_HUB_DISABLE_TELEMETRY, h.HF_HUB_DISABLE_UPDATE_CHECK, d.HF_HUB_OFFLINE,"
        " not r.config.check_for_updates, off())"
    )
    # PYTEST_CURRENT_TEST alone would already silence MLflow.
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **OFFLINE}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"] * 6


def test_airflow_knows_the_switches_it_is_given(state: Path) -> None:
    code = (
        "from airflow.configuration import conf;"
        "print(conf.getboolean('api', 'enable_swagger_ui'), conf.getboolean('metrics', 'otel_on'),"
        " conf.get('core', 'hostname_callable'))"
    )
    env = {**os.environ, **OFFLINE, "AIRFLOW_HOME": str(state)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split()[-3:] == ["False", "False", "socket.gethostname"], done.stderr
