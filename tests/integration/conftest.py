"""A real MLflow server for the tests of a module."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import requests


@pytest.fixture(scope="module")
def server(running: tuple[str, subprocess.Popen[bytes]]) -> str:
    """Its address."""
    return running[0]


@pytest.fixture
def server_process(running: tuple[str, subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """The first of its processes, which leads their group."""
    return running[1]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An address that answers, and the process behind it."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    argv += ["--artifacts-destination", (folder / "artifacts").as_uri()]
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(argv, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            for _ in range(240):
                try:
                    if requests.get(f"{uri}/health", timeout=1).ok:
                        break
                except requests.RequestException:
                    time.sleep(0.5)
            else:
                pytest.fail((folder / "log").read_text())
            yield uri, process
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)
