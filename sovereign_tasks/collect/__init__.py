"""The collection room: what changed at a source since it was last asked, as `RawItem`s."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime

from sovereign_tasks.collect.fetch.faults import Refused
from sovereign_tasks.collect.night import Night
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import Collected, SourceState
from sovereign_tasks.sources import SourceConfig


def collect(
    source: SourceConfig,
    state: SourceState,
    *,
    contact: str,
    now: datetime,
    hand_on: Callable[[Collected], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Ask a source for what is new, changed or gone, given what the ledger remembers of it.

    `contact` is named to every server; `now` becomes the items' fetched_at; `hand_on` takes what came, in parts;
    `progress` is told (done, known to do). Raises `UserError` for what the owner can mend, `TransientError` for a
    source that is down.
    """
    night = Night(source, state, contact=contact, now=now, hand_on=hand_on, progress=progress)
    kind = sys.modules[type(source).__module__]  # a kind's settings and its collect stand in one module
    try:
        night.end(kind.collect(source, night))
    except Refused as e:
        said = f"source {source.name}: what was asked for can't be used: {e.reason} {e.measured}".rstrip()
        raise (TransientError if e.transient else UserError)(f"{said}.") from None
