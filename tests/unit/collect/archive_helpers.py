"""What the tests of the kinds that read local files share."""

from __future__ import annotations

import pytest
from collect_helpers import EMPTY, Gathered, after, run

from sovereign_tasks.records import SourceState
from sovereign_tasks.sources import SourceConfig


def resumes_anywhere(source: SourceConfig, monkeypatch: pytest.MonkeyPatch, state: SourceState = EMPTY) -> Gathered:
    """Cut a night off after every part and go on: the end state is that of the whole night, and nothing comes twice."""
    monkeypatch.setattr("sovereign_tasks.collect.night.PART_ITEMS", 1)
    whole = run(source, state)
    assert len(whole.parts) > 2
    for stop in range(1, len(whole.parts)):
        first = run(source, state, stop_after=stop)
        assert len(first.parts) == stop
        rest = run(source, after(state, first))
        assert after(after(state, first), rest) == after(state, whole)
        taken = [(i.address, i.item, i.body, i.parent) for i in first.items + rest.items]
        assert sorted(taken) == sorted((i.address, i.item, i.body, i.parent) for i in whole.items)
        gone = [(g.address, g.item) for g in first.gone + rest.gone]
        assert sorted(gone) == sorted((g.address, g.item) for g in whole.gone)
    return whole


def accounted(got: Gathered) -> bool:
    """Whether every row is an item or under a reason."""
    return got.rows == len(got.items) + sum(got.reasons.values())
