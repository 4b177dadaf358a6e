from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from sovereign_tasks.platform.environment import MARKER
from sovereign_tasks.platform.processes import (
    Service,
    find_marked,
    kill_session,
    proportional_memory,
    spawn,
    sweep,
    tail,
)

# A parent that starts a child in a session of its own, and itself has rewritten its title as Airflow does.
FAMILY = """
import subprocess, sys, time
from setproctitle import setproctitle
setproctitle("a title that is long enough to run over the environment " * 20)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session={apart})
print("ready", flush=True)
time.sleep(600)
"""


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(400):
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def value(tmp_path: Path) -> str:
    return f"test-{os.getpid()}-{tmp_path.name}"


def start(tmp_path: Path, value: str, apart: bool = True):
    service = Service("family", (sys.executable, "-c", FAMILY.format(apart=apart)))
    child = spawn(service, {**os.environ, MARKER: value, "SPT_NOENV": "1"}, tmp_path)
    assert eventually(lambda: "ready" in tail(child.log))
    assert eventually(lambda: len(find_marked(value)) == 2)
    return child


def test_sweep_ends_children_that_left_the_session(tmp_path: Path, value: str) -> None:
    child = start(tmp_path, value)
    found = find_marked(value)
    assert len({os.getsid(process.pid) for process in found}) == 2
    assert proportional_memory(found) > 2**20
    assert sweep(value) == 2
    assert find_marked(value) == []
    child.popen.wait()


def test_sweep_finds_orphans_and_spares_strangers(tmp_path: Path, value: str) -> None:
    child = start(tmp_path, value)
    stranger = start(tmp_path, value + "-other")
    os.kill(child.popen.pid, signal.SIGKILL)
    child.popen.wait()
    assert sweep(value) == 1
    assert stranger.popen.poll() is None
    assert len(find_marked(value + "-other")) == 2
    assert sweep(value + "-other") == 2
    stranger.popen.wait()


def test_a_dead_leaders_session_is_cleared(tmp_path: Path, value: str) -> None:
    child = start(tmp_path, value, apart=False)
    os.kill(child.popen.pid, signal.SIGKILL)
    child.popen.wait()
    (orphan,) = find_marked(value)
    kill_session(child, value)
    assert eventually(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)


def test_a_log_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        child = spawn(Service("brief", ("/bin/sh", "-c", "echo hello; umask")), dict(os.environ), tmp_path)
    finally:
        os.umask(before)
    child.popen.wait()
    assert child.log.read_text().split() == ["hello", "0077"]
    assert child.log.stat().st_mode & 0o777 == 0o600


def test_tail_is_bounded_and_needs_no_file(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert tail(log) == ""
    log.write_text("\n".join(f"{number} " + "x" * 1000 for number in range(1000)))
    lines = tail(log, 3).splitlines()
    assert [line.split()[0] for line in lines] == ["997", "998", "999"]
    assert max(map(len, lines)) == 300
