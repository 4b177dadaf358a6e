"""One platform per state folder: the lock, and the card that says where the running one is."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from sovereign_tasks.errors import UserError
from sovereign_tasks.platform.credentials import write_private

LOCK = "platform.lock"
CARD = "platform.json"


class StateLock:
    """An exclusive hold on a state folder; the kernel ends it with the process, however that ends."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._file: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds the folder."""
        return self._file is not None

    def acquire(self) -> None:
        """Take the folder, or raise a UserError that says where the platform that has it is."""
        file = os.open(self.state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise UserError(_already_running(self.state)) from None
        self._file = file

    def release(self) -> None:
        """Remove the card and let go; the lock file stays, since removing it would let two in."""
        if self._file is not None:
            (self.state / CARD).unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


def write_card(state: Path, **card: Any) -> None:
    """Say where the running platform is; no secrets here."""
    write_private(state / CARD, json.dumps(card, indent=1) + "\n")


def find_running(state: Path) -> dict[str, Any] | None:
    """The card of the platform that holds this folder (pid, started, airflow, mlflow), or None."""
    try:
        file = os.open(state / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_card(state)
    finally:
        os.close(file)
    return None


def read_card(state: Path) -> dict[str, Any]:
    """The card as it lies there; empty while a platform is only just starting."""
    try:
        return json.loads((state / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _already_running(state: Path) -> str:
    card = read_card(state)
    if not card:
        return f"a platform is just starting on {state}; wait for it, or set SOVEREIGN_STATE to another folder"
    return (
        f"the platform already runs on {state} (process {card['pid']}): Airflow at {card['airflow']}, "
        f"MLflow at {card['mlflow']}; stop that one first, or set SOVEREIGN_STATE to another folder"
    )
