"""What piles up is made small again: tables of many files, and logs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from sovereign_tasks.config import load_platform
from sovereign_tasks.stages.context import open_context, run_key, timed
from sovereign_tasks.stages.sealing import check_files, seal
from sovereign_tasks.store import SCHEMAS, state_folder

DAY = 86_400.0


def tidy(model: str, run_id: str) -> dict[str, Any]:
    """Write a model's tables of many small files anew as fewer, after holding them against what was written."""
    context = open_context(model, run_key("maintenance", model, run_id))
    with context.ledger.lease(f"publish/{model}", context.run), timed(context, "maintenance") as figures:
        files = check_files(context, SCHEMAS, mine=True)
        spared = context.store.compact(load_platform().maintenance.small_files)
        seal(context)
        figures.update(rows_in=files, rows_out=files - spared, notes={"files_spared": spared})
    return {"model": model, "files_spared": spared}


def clear_logs() -> dict[str, Any]:
    """Remove logs of components and tasks that nobody has written to for `maintenance.log_days`."""
    oldest = time.time() - load_platform().maintenance.log_days * DAY
    removed = 0
    for folder in {state_folder() / "logs", Path(os.environ.get("AIRFLOW_HOME", state_folder() / "airflow")) / "logs"}:
        for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path.stat().st_mtime < oldest:
                path.unlink()
                removed += 1
    return {"logs_removed": removed}
