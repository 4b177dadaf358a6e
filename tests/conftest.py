"""Shared fixtures: every test has a state folder and an installation key of its own."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run beside one another
KEY = "5a" * 32


def fix_key(state: Path) -> None:
    """Give a platform that is yet to be started the key of all tests: by it rows are held out, and canaries made."""
    from sovereign_tasks.platform.credentials import generate_credentials

    (state / "secrets.json").write_text(json.dumps(asdict(generate_credentials()) | {"installation_key": KEY}))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh state folder and a fixed installation key."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("SOVEREIGN_STATE", str(folder))
    monkeypatch.setenv("SOVEREIGN_KEY", KEY)
    monkeypatch.delenv("SOVEREIGN_LEDGER", raising=False)
    monkeypatch.delenv("SOVEREIGN_TABLES", raising=False)
    return folder
