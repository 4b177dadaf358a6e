"""What the platform refuses before it starts anything; tests/integration starts it for real."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.platform import AirflowClient, Platform, Service, embedded, find_running, gpus
from sovereign_tasks.platform.environment import MARKER, marker


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"cannot write to the state folder {tmp_path}/file/state: Not a directory"):
        Platform(tmp_path / "file" / "state", tmp_path).__enter__()


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 2**20))
    with pytest.raises(UserError, match=rf"disk of the state folder {tmp_path}/state is full: 5 MB"):
        Platform(tmp_path / "state", tmp_path).__enter__()
    assert find_running(tmp_path / "state") is None


def test_a_taken_port_starts_nothing(tmp_path: Path) -> None:
    events: list[tuple[str, str]] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        platform = Platform(tmp_path, tmp_path, airflow_port=port, on_event=lambda *event: events.append(event))
        with pytest.raises(UserError, match=f"port {port} for airflow is taken"):
            platform.__enter__()
    assert events == []
    assert find_running(tmp_path) is None


def test_nobody_at_the_address_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UserError, match=f"Airflow at http://127.0.0.1:{port} does not answer"):
        AirflowClient(f"http://127.0.0.1:{port}", "x").runs("any")


def test_what_keeps_dying_is_given_up_with_the_end_of_its_log(state: Path, tmp_path: Path) -> None:
    events: list[tuple[str, str]] = []
    platform = Platform(state, tmp_path, on_event=lambda *event: events.append(event))
    platform.environment = {**os.environ, MARKER: marker(state)}
    (state / "logs").mkdir()
    platform._launch(Service("frail", ("/bin/sh", "-c", "echo out of luck; exit 3")))

    def watch() -> None:
        while True:
            platform._children["frail"].popen.wait()
            platform.check()

    with pytest.raises(UserError, match=r"(?s)frail keeps dying, also after 3 restarts.*out of luck"):
        watch()
    assert events.count(("frail", "restarting")) == 3

    # One that ran well for a long time is not blamed for deaths of long ago.
    platform._children["frail"].started -= 3600
    platform.check()
    assert platform._children["frail"].restarts == 1
    platform._children["frail"].popen.wait()


def test_gpus_are_those_that_cuda_would_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho '  MIG 1g'\necho 'GPU 1: A (UUID: GPU-2)'\n")
    tool.chmod(0o755)
    assert gpus.count_gpus() == 2
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert gpus.count_gpus() == 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpus.count_gpus() == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.count_gpus() == 0


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, sovereign_tasks.platform;"
        "print([m for m in ('airflow', 'mlflow', 'torch', 'pandas', 'sqlalchemy') if m in sys.modules])"
    )
    root = Path(embedded.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
