"""What runs found, as JSON files beside their adapters: written whole or not at all, and rid of what is erased."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sovereign_tasks.stages.context import Context
from sovereign_tasks.store import model_folder


def run_file(context: Context, name: str, run: str = "") -> Path:
    """Where a run, this one unless another is named, keeps a file."""
    return model_folder(context.model, "runs", run or context.run) / name


def write_json(path: Path, plain: Any) -> None:
    """Write a run's file, whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(plain), encoding="utf-8")
    part.rename(path)


def keep(context: Context, name: str, without: Callable[[set[str]], Any]) -> None:
    """Write this run's file of what `without` leaves of its findings, given the ids of the rows that are erased."""
    for _ in range(2):  # what is erased between reading the tombstones and writing
        write_json(run_file(context, name), without(context.ledger.tombstones(context.model)))


def read_json(path: Path) -> Any:
    """What a run's file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def forget(context: Context, name: str, drop: Callable[[Any], tuple[Any, int]]) -> int:
    """Pass what the files of this name hold through `drop`, which says what stays and how much goes; how much went."""
    runs, removed = model_folder(context.model, "runs"), 0
    for part in runs.glob(f"*/{Path(name).stem}*.part"):
        part.unlink(missing_ok=True)
    for path in sorted(runs.glob(f"*/{name}")):
        kept, gone = drop(read_json(path))
        if gone:
            write_json(path, kept)
            removed += gone
    return removed
