from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sovereign_tasks.platform.logins import FILE, PASSWORDS, USERS


def write(state: Path, users: str, passwords: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {USERS: users, PASSWORDS: passwords, FILE: str(state / "passwords.json")}
    argv = [sys.executable, "-m", "sovereign_tasks.platform.logins"]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, cwd=Path(__file__).parents[3])


def test_written_whole_and_private(state: Path) -> None:
    assert write(state, "admin:admin, eve:viewer", '{"admin": "a", "eve": "b"}').returncode == 0
    (path,) = state.iterdir()
    assert json.loads(path.read_text()) == {"admin": "a", "eve": "b"}
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("passwords", "said"),
    [
        ('{"admin": "secret"}', "AIRFLOW_USERS names eve, without a password in AIRFLOW_PASSWORDS; add one there."),
        ('{"admin": "secret", "eve": ""}', "AIRFLOW_PASSWORDS must be a JSON object"),
        ('{"admin": "secret"', "AIRFLOW_PASSWORDS must be a JSON object"),
        ('["secret"]', "AIRFLOW_PASSWORDS must be a JSON object"),
    ],
)
def test_refused_in_one_sentence_and_the_old_ones_stay(state: Path, passwords: str, said: str) -> None:
    (state / "passwords.json").write_text("old")
    done = write(state, "admin:admin,eve:viewer", passwords)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {said}")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr
    assert (state / "passwords.json").read_text() == "old"
