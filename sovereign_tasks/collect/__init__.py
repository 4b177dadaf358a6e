"""The collection room: what changed at a source since it was last asked, as `RawItem`s.

A kind of source is one module with `collect(source, state, *, contact, now, progress) -> Collected`, its
settings in config.py, and one line in `COLLECTORS`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sovereign_tasks.collect import files, reddit, web
from sovereign_tasks.config import Source
from sovereign_tasks.records import Collected, SourceState

COLLECTORS: dict[str, Callable[..., Collected]] = {
    "web": web.collect,
    "reddit": reddit.collect,
    "files": files.collect,
}


def collect(
    source: Source, state: SourceState, *, contact: str, now: datetime, progress: Callable[[int, int], None]
) -> Collected:
    """Ask a source for what is new, changed or gone, given what the ledger remembers of it.

    `contact` is named to every server; `now` becomes the items' fetched_at; `progress` is told (done, known to
    do). Raises `UserError` for what the owner can mend, `TransientError` for a source that is down.
    """
    return COLLECTORS[source.kind](source, state, contact=contact, now=now, progress=progress)
