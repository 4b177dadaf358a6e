"""The embedded platform: everything `make run` needs on one machine, on SQLite and loopback.

`embedded.Platform` starts, watches and stops; `environment` holds the settings of all its processes,
`offline` the switches against telemetry, `airflow_client` the way to talk to it. Never imports airflow: it
starts processes.
"""

from __future__ import annotations

from sovereign_tasks.platform.airflow_client import AirflowClient
from sovereign_tasks.platform.credentials import load_credentials
from sovereign_tasks.platform.embedded import Platform
from sovereign_tasks.platform.environment import default_state
from sovereign_tasks.platform.interrupts import Interrupted
from sovereign_tasks.platform.lock import find_running
from sovereign_tasks.platform.offline import OFFLINE
from sovereign_tasks.platform.processes import Service

__all__ = [
    "OFFLINE",
    "AirflowClient",
    "Interrupted",
    "Platform",
    "Service",
    "default_state",
    "find_running",
    "load_credentials",
]
