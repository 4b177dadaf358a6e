from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.platform.lock import StateLock, find_running, write_card

CARD = {"pid": 4711, "started": "now", "airflow": "http://127.0.0.1:28080", "mlflow": "http://127.0.0.1:25000"}


def test_a_second_hold_is_refused_with_the_addresses(tmp_path: Path) -> None:
    first = StateLock(tmp_path)
    first.acquire()
    with pytest.raises(UserError, match="just starting"):
        StateLock(tmp_path).acquire()
    write_card(tmp_path, **CARD)
    with pytest.raises(UserError, match=r"process 4711.*:28080.*:25000"):
        StateLock(tmp_path).acquire()
    assert find_running(tmp_path) == CARD
    first.release()
    assert find_running(tmp_path) is None
    StateLock(tmp_path).acquire()


def test_a_card_left_by_a_killed_holder_means_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from sovereign_tasks.platform.lock import *\n"
        "lock = StateLock(Path(sys.argv[1])); lock.acquire()\n"
        "write_card(lock.state, pid=1, airflow='a', mlflow='m'); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    assert find_running(tmp_path) is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert (tmp_path / "platform.json").exists()
    assert find_running(tmp_path) is None
    lock = StateLock(tmp_path)
    lock.acquire()
    lock.release()


def test_asking_about_a_folder_without_a_platform_creates_nothing(state: Path) -> None:
    assert find_running(state / "none") is None
    assert find_running(state) is None
    assert list(state.iterdir()) == []
