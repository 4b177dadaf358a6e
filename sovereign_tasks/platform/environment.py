"""The environment of every process of the platform: all settings of Airflow and MLflow in one place."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from sovereign_tasks.platform.credentials import Credentials
from sovereign_tasks.platform.offline import OFFLINE
from sovereign_tasks.platform.ports import HOST

MARKER = "SOVEREIGN_PLATFORM"
"""Set in every process the platform starts, and so in their descendants: how leftovers are known for sure."""

_INTERVAL = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"


def default_state(project: Path) -> Path:
    """The state folder: SOVEREIGN_STATE if set, else `state` in the project."""
    return Path(os.environ.get("SOVEREIGN_STATE") or project / "state").expanduser().resolve()


def marker(state: Path) -> str:
    """A name for this state folder on this machine, for `MARKER`; the folder must exist."""
    stat = state.stat()
    return hashlib.sha256(f"{state.resolve()}:{stat.st_dev}:{stat.st_ino}".encode()).hexdigest()[:32]


def environment(
    state: Path,
    project: Path,
    credentials: Credentials,
    ports: Mapping[str, int],
    timezone: str = "system",
    inherited: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """All environment variables for a child process.

    `timezone` is an IANA name, or `system` for the machine's. Settings for another Airflow or MLflow that are
    found in `inherited` do not reach these.
    """
    home = state / "airflow"
    airflow = f"http://{HOST}:{ports['airflow']}"
    mlflow = f"http://{HOST}:{ports['mlflow']}"
    kept = {name: value for name, value in inherited.items() if not name.startswith(("AIRFLOW__", "MLFLOW_"))}
    return {
        **kept,
        **OFFLINE,
        MARKER: marker(state),
        # Airflow rewrites its processes' titles; so their environment, and the marker, stays readable.
        "SPT_NOENV": "1",
        "SOVEREIGN_STATE": str(state),
        "SOVEREIGN_KEY": credentials.installation_key,
        "PYTHONPATH": _joined(str(project), inherited.get("PYTHONPATH"), os.pathsep),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "NO_PROXY": _joined(f"{HOST},localhost", inherited.get("NO_PROXY"), ","),
        "no_proxy": _joined(f"{HOST},localhost", inherited.get("no_proxy"), ","),
        "MLFLOW_TRACKING_URI": mlflow,
        "MLFLOW_REGISTRY_URI": mlflow,
        _INTERVAL: inherited.get(_INTERVAL, "5"),  # a short training has some of them too
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(home / "airflow.cfg"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # One DAG file per model file, so that a broken one is an import error of its own, in its own words.
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [{"name": "models", "classpath": "dags.bundle.ModelBundle", "kwargs": {}}]
        ),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "dag_bundles"),
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACKS": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": timezone,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{airflow}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": credentials.fernet_key,
        # SQLite has one writer at a time, and on a busy machine its turn may take longer than the usual 5 s.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=60",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(ports["airflow"]),
        "AIRFLOW__API__BASE_URL": airflow,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": credentials.api_secret_key,
        "AIRFLOW__API__INSTANCE_NAME": "Sovereign",
        "AIRFLOW__API_AUTH__JWT_SECRET": credentials.jwt_secret,
        # By default 1 s between scheduling rounds, and 5 s at the end of each task: too slow here.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # A task waits about a minute for an api-server that is still starting, or being restarted; it gives up
        # and fails after some 9 s by default.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "40",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN": "0.5",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "3",
        # A task that was cut off by a crash is taken up again within a minute, not within five.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
    }


def _joined(first: str, rest: str | None, separator: str) -> str:
    return f"{first}{separator}{rest}" if rest else first
