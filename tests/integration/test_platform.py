"""The embedded platform for real: Airflow and MLflow start, work, are watched, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests
from waiting import eventually

from sovereign_tasks.errors import UserError
from sovereign_tasks.platform import AirflowClient, find_running
from sovereign_tasks.platform.environment import marker
from sovereign_tasks.platform.processes import find_marked

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
DAG = """
import os, subprocess, time
from airflow.sdk import dag, task

@dag(schedule=None)
def nap():
    @task(pool="gpu")
    def sleep(dag_run=None):
        # As training may: a helper process in a session of its own.
        helper = subprocess.Popen(["sleep", "900"], start_new_session=True)
        again = os.path.exists(dag_run.conf["started"])
        open(dag_run.conf["started"], "a").write("once more\\n")
        time.sleep(0 if again else dag_run.conf["seconds"])
        helper.kill()
        return os.environ["MLFLOW_TRACKING_URI"]
    sleep()

nap()
"""
BUNDLE = """
from pathlib import Path
from airflow.dag_processing.bundles.local import LocalDagBundle

class ModelBundle(LocalDagBundle):
    def __init__(self, **kwargs):
        super().__init__(path=str(Path(__file__).parents[1] / "flows"), **kwargs)
"""
HOLD = """
import sys
from pathlib import Path
from sovereign_tasks.errors import UserError
from sovereign_tasks.platform import Interrupted, Platform, Service
state, project = map(Path, sys.argv[1:3])
web = Service("web", (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", sys.argv[3], "-d", str(project)),
              f"http://127.0.0.1:{sys.argv[3]}/")
try:
    with Platform(state, project, services=[web], on_event=lambda *event: print(*event, flush=True)) as platform:
        print("up", flush=True)
        platform.watch()
except Interrupted as error:
    sys.exit(128 + error.signum)
except UserError as error:
    print("error:", error, flush=True)
    sys.exit(2)
"""


class Held:
    """A platform in a process of its own, as a command line would hold it."""

    def __init__(self, state: Path, project: Path) -> None:
        self.state = state
        self.output = state.parent / f"output-{time.monotonic_ns()}.txt"
        port = str(25000 + os.getpid() % 5000)
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", HOLD, str(state), str(project), port],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def lines(self) -> list[str]:
        return self.output.read_text().splitlines()

    def up(self) -> Held:
        eventually(lambda: "up" in self.lines() or self.process.poll() is not None)
        assert self.process.poll() is None, self.output.read_text()
        return self

    @property
    def client(self) -> AirflowClient:
        card = find_running(self.state)
        assert card is not None
        return AirflowClient(card["airflow"], json.loads((self.state / "secrets.json").read_text())["admin_password"])

    def start_nap(self, seconds: float) -> str:
        client = self.client
        eventually(lambda: client.dag("nap"))
        started = self.state.parent / f"started-{time.monotonic_ns()}"
        run_id = client.trigger("nap", {"seconds": seconds, "started": str(started)})
        eventually(started.exists)
        return run_id


def _state_of(held: Held, run_id: str) -> str | None:
    try:
        return held.client.dag_run("nap", run_id)["state"]
    except UserError:
        return None  # The api-server is being restarted.


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "dags").mkdir(parents=True)
    (folder / "dags" / "__init__.py").touch()  # a package, so that it comes before the project's own of that name
    (folder / "dags" / "bundle.py").write_text(BUNDLE)
    (folder / "flows").mkdir()
    (folder / "flows" / "nap.py").write_text(DAG)
    (folder / "sovereign_tasks").symlink_to(ROOT / "sovereign_tasks")
    return folder


@pytest.fixture
def hold(state: Path, project: Path) -> Iterator[Callable[[], Held]]:
    held: list[Held] = []

    def start() -> Held:
        held.append(Held(state, project))
        return held[-1]

    yield start
    for one in held:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait(60)
    assert find_marked(marker(state)) == []


def test_a_life(hold: Callable[[], Held], state: Path) -> None:
    held = hold().up()
    client = held.client
    card = find_running(state)
    assert card is not None

    health = client.health()
    assert {health[name]["status"] for name in ("metadatabase", "scheduler", "dag_processor")} == {"healthy"}
    assert requests.get(card["mlflow"] + "/health", timeout=5).ok
    assert requests.get(card["airflow"] + "/api/v2/dags", timeout=5).status_code == 401
    pools = {pool["name"]: pool["slots"] for pool in client._pages("/api/v2/pools", "pools")}
    assert pools["gpu"] >= 1
    assert pools["network"] == 4

    run_id = held.start_nap(0)
    eventually(lambda: client.dag_run("nap", run_id)["state"] == "success")
    assert [task["pool"] for task in client.task_instances("nap", run_id)] == ["gpu"]
    assert client.import_errors() == []

    # Only loopback is listened on, and nothing outside is spoken to.
    sockets = [one for process in find_marked(marker(state)) for one in process.net_connections("inet")]
    assert {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    assert {one.raddr.ip for one in sockets if one.raddr} <= {"127.0.0.1"}

    # Nobody else can read the state.
    assert state.joinpath("airflow", "airflow.db").stat().st_mode & 0o077 == 0
    assert state.joinpath("mlflow", "mlflow.db").stat().st_mode & 0o077 == 0
    log = next(state.glob("airflow/logs/dag_id=nap/**/*.log"))
    assert log.stat().st_mode & 0o077 == 0

    # A second one is told where the first is.
    second = hold()
    assert second.process.wait(60) == 2
    assert card["airflow"] in second.output.read_text()
    assert held.process.poll() is None

    # What dies is started again, and so is what it ran.
    run_id = held.start_nap(900)
    scheduler = next(one for one in find_marked(marker(state)) if "scheduler" in one.cmdline())
    scheduler.kill()
    eventually(lambda: "scheduler restarting" in held.lines())
    eventually(lambda: client.dag_run("nap", run_id)["state"] == "success")

    # A task outlives the api-server, and can speak to the next one.
    run_id = held.start_nap(20)
    next(one for one in find_marked(marker(state)) if "api_server" in "".join(one.cmdline())).kill()
    eventually(lambda: "api-server restarting" in held.lines())
    eventually(lambda: _state_of(held, run_id) == "success")

    # SIGTERM in the middle of a task leaves nothing, and the task runs again after the next start.
    run_id = held.start_nap(900)
    held.process.send_signal(signal.SIGTERM)
    eventually(lambda: "scheduler stopping" in held.lines())
    held.process.send_signal(signal.SIGTERM)
    assert held.process.wait(60) == 128 + signal.SIGTERM
    assert find_marked(marker(state)) == []
    assert find_running(state) is None

    again = hold().up()
    assert find_running(state) is not None
    assert "airflow-migrate starting" not in again.lines()
    assert {**(find_running(state) or {}), "pid": 0, "started": ""} == {**card, "pid": 0, "started": ""}
    eventually(lambda: again.client.dag_run("nap", run_id)["state"] == "success")


def test_a_killed_parent_is_cleaned_up_after(hold: Callable[[], Held], state: Path) -> None:
    held = hold().up()
    run_id = held.start_nap(900)
    held.process.kill()
    held.process.wait()
    left = find_marked(marker(state))
    assert any(process.cmdline() == ["sleep", "900"] for process in left)

    again = hold().up()
    assert "leftovers stopped" in again.lines()
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in left)
    # What was cut off runs again, though the task has no retries.
    eventually(lambda: again.client.dag_run("nap", run_id)["state"] == "success")
    again.process.send_signal(signal.SIGINT)
    assert again.process.wait(60) == 128 + signal.SIGINT


@pytest.mark.parametrize("seen", ["mlflow starting", "airflow-migrate starting", "api-server starting"])
def test_ctrl_c_while_starting(hold: Callable[[], Held], state: Path, seen: str) -> None:
    held = hold()
    eventually(lambda: seen in held.lines())
    held.process.send_signal(signal.SIGINT)
    assert held.process.wait(60) == 128 + signal.SIGINT
    assert find_marked(marker(state)) == []


def test_a_component_that_fails_shows_why(state: Path, project: Path) -> None:
    code = HOLD.replace('sys.executable, "-m", "http.server"', 'sys.executable, "-m", "no.such.server"')
    done = subprocess.run(
        [sys.executable, "-c", code, str(state), str(project), "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "error: web ended with exit code 1 instead of starting" in done.stdout
    assert "no.such.server" in done.stdout
    assert "Traceback" not in done.stderr
    assert find_marked(marker(state)) == []
