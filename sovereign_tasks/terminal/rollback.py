"""`rollback` and `promote`: a champion by a person's word, an earlier one again or the first."""

from __future__ import annotations

import os
import uuid

from rich.console import Console

from sovereign_tasks import promote
from sovereign_tasks.config import ModelConfig
from sovereign_tasks.stages.provisional import promote_provisionally
from sovereign_tasks.stages.rollback import roll_back
from sovereign_tasks.terminal.run import find_platform
from sovereign_tasks.terminal.user import current_user


def go_back(console: Console, config: ModelConfig, version: str, reason: str) -> None:
    """Roll back to a version, or to the one before the champion where it is empty."""
    _find_mlflow(console)
    made = roll_back(config.model, f"by hand {uuid.uuid4()}", version, reason, current_user())
    console.print(
        f"Version {made['version']} of {config.model} is the champion again; it took over from version "
        f"{made['took_over_from']}."
    )


def make_first(console: Console, config: ModelConfig, version: str, reason: str) -> None:
    """Make a version the first champion while there is too little evidence to prove it."""
    _find_mlflow(console)
    promote_provisionally(config.model, version, reason, current_user())
    console.print(f"Version {version} of {config.model} is champion, provisionally: the next has to be proven better.")


def _find_mlflow(console: Console) -> None:
    if promote.VARIABLE not in os.environ:  # as it is where Airflow and MLflow run elsewhere
        os.environ[promote.VARIABLE] = find_platform(console).mlflow_url
