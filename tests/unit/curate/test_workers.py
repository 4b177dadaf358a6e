"""Several processes curate as one does, and none outlives the process that asked for them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.curate import curate, workers
from sovereign_tasks.records import RawItem

from .conftest import NOW

TEXT = (
    "A roof of slate lasts a hundred years if its gutters are kept clean, said Dana Whitfield of crew {n}. Shingles "
    "last a third of that, and what they cost is known before the work begins. Moss should be brushed off in spring."
)


@pytest.fixture
def items(item: Callable[..., RawItem]) -> list[RawItem]:
    return [
        item(TEXT.format(n=n), address=f"https://a.example/{n}", group=f"g{n % 3}", author="Dana Whitfield")
        for n in range(9)
    ]


@pytest.fixture
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ITEMS_EACH", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.mark.usefixtures("_eager")
def test_two_processes_curate_as_one_does(config: ModelConfig, items: list[RawItem]) -> None:
    people = {f"g{n}": ["Dana Whitfield"] for n in range(3)}
    with workers.curators(config, len(items), now=NOW, released=()) as curate_items:
        children = len(psutil.Process().children(recursive=True))
        spread = curate_items(items, people)
        assert len(psutil.Process().children(recursive=True)) > children
    assert spread == curate(items, config, now=NOW, people=people)


def test_few_items_start_no_process(config: ModelConfig, items: list[RawItem]) -> None:
    with workers.curators(config, len(items), now=NOW, released=()) as curate_items:
        assert len(curate_items(items, {f"g{n}": [] for n in range(3)}).documents) == 9


def _ask(config: ModelConfig, items: list[RawItem], told: multiprocessing.Queue) -> None:
    workers._ITEMS_EACH = 2
    os.sched_getaffinity = lambda _: {0, 1}
    with workers.curators(config, len(items), now=NOW, released=()) as curate_items:
        curate_items(items, {f"g{n}": [] for n in range(3)})
        mine = [p for p in psutil.process_iter() if "SOVEREIGN_TEST_MARK" in _environment(p)]
        told.put([p.pid for p in mine if p.pid != os.getpid()])
        time.sleep(60)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def test_no_worker_outlives_a_process_that_was_killed(
    config: ModelConfig, items: list[RawItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOVEREIGN_TEST_MARK", "1")
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    asker = context.Process(target=_ask, args=(config, items, told))
    asker.start()
    workers_of_it = told.get(timeout=120)
    os.kill(asker.pid, signal.SIGKILL)
    asker.join()
    assert len(workers_of_it) >= 2
    left = [psutil.Process(pid) for pid in workers_of_it if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(left, timeout=30)
    assert alive == []
