"""A small domain on disk, and nights of it run in processes of their own, which may be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import forks
from tests.conftest import KEY

MODEL = """
model: siding
description: Assistant for siding crews
sources:
  - {name: house, kind: files, folder: "%s", licence: owner, consent: own-content}
domain: {keywords: [siding, plank, trim, board, house, nail]}
dataset: {holdout_share: 0.3, sealed_share: 0, min_answer_chars: 20}
retrain: {min_new_examples: 5}
training: {base_model: scratch}
evidence: {min_groups: 20, max_uses: 20}
"""
EACH = "SOVEREIGN_SOAK_NIGHTS" in os.environ
STEP = 1 if EACH else 3
"""From one durable write after which a night is killed to the next: `make soak` takes each."""
KILLS = 20 if EACH else 7
"""Random moments at which a stage is killed."""


def page(topic: str, years: int) -> str:
    """A document with three questions, all about its own topic."""
    return f"""# {topic.title()} siding

Houses with {topic} siding stand in every street of the county, and each of them asks for its own kind of care.

## How long does {topic} siding last?

A wall of {topic} siding lasts about {years} years when the boards are nailed well and the trim is kept dry.

## What does {topic} siding cost to look after?

Plan {years * 3} dollars a year for {topic} siding: the money goes into wash, caulk and one loose board a season.

## When should {topic} siding be painted?

Paint {topic} siding every {years // 4} years, in dry weather and never on boards that hold water from the night.
"""


def write_first_day(folder: Path) -> None:
    """Ten documents."""
    folder.mkdir(parents=True)
    for n, topic in enumerate("cedar pine vinyl steel brick stone fiber stucco redwood composite".split()):
        (folder / f"{topic}.md").write_text(page(topic, 20 + 4 * n))


def write_second_day(folder: Path) -> None:
    """One document is new, one changed, one gone."""
    (folder / "aluminum.md").write_text(page("aluminum", 37))
    (folder / "cedar.md").write_text(page("cedar", 33))
    (folder / "pine.md").unlink()


def write_config(folder: Path, documents: Path) -> None:
    """The model's file."""
    folder.mkdir(parents=True)
    (folder / "siding.yaml").write_text(MODEL % documents)


def spend_first_night(folder: Path, changes: dict[str, str]) -> Path:
    """A folder with documents, a model's file in which some words are replaced, and the state after a first night."""
    write_first_day(folder / "documents")
    write_config(folder / "config", folder / "documents")
    file, state = folder / "config" / "siding.yaml", folder / "state"
    for old, new in changes.items():
        file.write_text(file.read_text().replace(old, new))
    state.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"STATE": state, "KEY": KEY, "CONFIG": folder / "config"}.items():
            patch.setenv(f"SOVEREIGN_{name}", str(value))
        assert run_night("one")
    return folder


def run_night(run_id: str, kill_after: int | None = None, kill_at: float | None = None, until: str = "") -> bool:
    """Run a night's tasks in order in a process of its own; False if it was killed.

    `kill_after` counts durable writes, `kill_at` seconds from the start; `until` names the last task to run. A night
    that was killed goes on with the task it was in, as the scheduler's retry does.
    """
    return forks.run(_work, run_id, until, kill_after=kill_after, kill_at=kill_at)


def killed(start: Path, folder: Path, work: Callable[[int], bool], after: Iterable[int]) -> Iterator[tuple[int, Path]]:
    """Copies of a state in which `work` was killed after so many durable writes, until it is through before that.

    SOVEREIGN_STATE names the copy, which goes when the next is asked for.
    """
    with pytest.MonkeyPatch.context() as patch:
        for writes in after:
            again = folder / f"killed-{writes}"
            shutil.copytree(start, again)
            patch.setenv("SOVEREIGN_STATE", str(again))
            if work(writes):
                break
            yield writes, again
            shutil.rmtree(again)


def race(run_ids: list[str]) -> list[int]:
    """Prepare nights one by one, then publish all at once; exit codes: 0 published, 3 refused in one sentence."""
    for run_id in run_ids:
        run_night(run_id, until="validate")
    racing = [forks.start(_publish, run_id) for run_id in run_ids]
    for process in racing:
        process.join()
    return [process.exitcode for process in racing]


def _publish(run_id: str) -> None:
    from sovereign_tasks.errors import TransientError, UserError

    while True:
        try:
            return _work(run_id, "")
        except TransientError:
            time.sleep(0.2)  # the scheduler waits longer
        except UserError as error:
            print(error)
            sys.exit(3)


def run_erasure(request: str, kill_after: int) -> bool:
    """Carry out a request in a process of its own, which ends itself after so many durable writes; False if it did."""
    return forks.run(_erase, request, kill_after=kill_after)


def _erase(request: str) -> None:
    from sovereign_tasks.stages.erasure import erase

    erase("siding", request)


def run_export(folder: Path) -> bool:
    """Export in a process of its own, which ends itself with every row written and no file named; False if it did."""
    return forks.run(_export, folder)


def _export(folder: Path) -> None:
    from sovereign_tasks.dataset import folder as folders
    from sovereign_tasks.stages.context import open_context
    from sovereign_tasks.stages.export import export

    folders.PART_ROWS = folders._GROUP_ROWS = 1
    folders.Parts.close = lambda part: os.kill(os.getpid(), signal.SIGKILL)
    export(open_context("siding", ""), None, folder, sealed=False)


def run_here(run_id: str) -> None:
    """As `run_night`, in this process, so that what a task raises is seen."""
    _work(run_id, "")


def run_collect(run_id: str, kill_after: int | None = None, kill_at: float | None = None) -> bool:
    """Collect from a night's sources, in parts of three items, in a process of its own; False if it was killed.

    `kill_after` counts durable writes, `kill_at` seconds from the start. Called again, it goes on.
    """
    return forks.run(_collect, run_id, kill_after=kill_after, kill_at=kill_at)


def _collect(run_id: str) -> None:
    from sovereign_tasks.collect import night
    from sovereign_tasks.stages import gather

    night.PART_ITEMS = 3
    begun = Path(os.environ["SOVEREIGN_STATE"], "begun")
    if begun.exists():  # as the scheduler does, which retries the task that was killed and none before it
        jobs = json.loads(begun.read_text())
    else:
        jobs = gather.begin("siding", run_id)
        begun.write_text(json.dumps(jobs))
    for job in jobs:
        gather.collect(job)


def _work(run_id: str, until: str) -> None:
    from sovereign_tasks.collect import night as collecting
    from sovereign_tasks.stages import assemble, curation, due, gather, publish, select, validate

    if batch := os.environ.get("SOVEREIGN_TEST_BATCH"):
        curation._BATCH = collecting.PART_ITEMS = int(batch)
    marks = Path(os.environ["SOVEREIGN_STATE"], "tasks")
    marks.mkdir(exist_ok=True)

    def once(name: str, task, *arguments: Any) -> Any:
        """Run a task unless an earlier try finished it; its result is what the scheduler would have kept."""
        mark = marks / f"{run_id}-{name}.json"
        if mark.exists():
            return json.loads(mark.read_text())
        result = task(*arguments)
        mark.write_text(json.dumps(result))
        return result

    jobs = once("begin", gather.begin, "siding", run_id)
    for name, task in (("collect", gather.collect), ("curate", curation.curate)):
        jobs = [once(f"{name}-{job['source']}", task, job) for job in jobs]
        if name == until:
            return
    night = once("deduplicate", select.deduplicate, jobs)
    for task in (assemble.derive, validate.validate, publish.publish, due.check_due):
        night = once(task.__name__, task, night)
        if task.__name__ == until:
            break
