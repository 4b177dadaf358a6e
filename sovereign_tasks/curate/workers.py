"""Curation on several processes, where there are cores for them and items enough to pay for their start."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from multiprocessing import get_context, parent_process

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.curate import Curated, curate
from sovereign_tasks.curate.judging import Released
from sovereign_tasks.records import RawItem

_ITEMS_EACH = 500  # below this a process takes longer to start than it saves
People = Mapping[str, Sequence[str]]
Curate = Callable[[Sequence[RawItem], People], Curated]


@contextmanager
def curators(config: ModelConfig, count: int, *, now: datetime, released: Released) -> Iterator[Curate]:
    """A function that curates a batch of items, on one process per core if `count` items in all are enough."""
    processes = min(len(os.sched_getaffinity(0)), count // _ITEMS_EACH)
    if processes < 2:
        yield lambda items, people: curate(items, config, now=now, people=people, released=released)
        return
    pool = ProcessPoolExecutor(
        processes, mp_context=get_context("forkserver"), initializer=_prepare, initargs=(config, now, released)
    )
    with pool:

        def spread(items: Sequence[RawItem], people: People) -> Curated:
            size = max(1, -(-len(items) // (2 * processes)))  # two turns each, as items differ in size
            shards = [items[i : i + size] for i in range(0, len(items), size)]
            known = [{item.group: people[item.group] for item in shard} for shard in shards]
            parts = list(pool.map(_curate_shard, shards, known))
            return Curated(
                [one for part in parts for one in part.cleaned],
                sorted((d for part in parts for d in part.documents), key=lambda d: d.doc_id),
                sorted((r for part in parts for r in part.rejections), key=lambda r: r.row_id),
            )

        yield spread


def _prepare(config: ModelConfig, now: datetime, released: Released) -> None:
    """Keep what every shard needs, and end with the process that asked: a killed task leaves no worker behind."""
    global _settings
    _settings = config, now, released
    threading.Thread(target=lambda: (parent_process().join(), os._exit(1)), daemon=True).start()


def _curate_shard(items: Sequence[RawItem], people: People) -> Curated:
    config, now, released = _settings
    return curate(items, config, now=now, people=people, released=released)
