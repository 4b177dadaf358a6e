"""A real MLflow server for the tests of a module, or one for a test alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from mlflow_server import MlflowServer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One that is not stopped."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One for this test alone, which may stop it."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(running: MlflowServer) -> str:
    """Its address."""
    return running.uri


@pytest.fixture
def server_process(running: MlflowServer) -> subprocess.Popen[bytes]:
    """The first of its processes, which leads their group."""
    return running.process
