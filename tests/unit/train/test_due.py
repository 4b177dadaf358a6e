"""When a training is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sovereign_tasks.config import RetrainConfig
from sovereign_tasks.records import Taint
from sovereign_tasks.train.due import decide

NOW = datetime(2026, 1, 31, tzinfo=UTC)
CONFIG = RetrainConfig(min_new_examples=3, max_age_days=30, max_erased=5)


@pytest.mark.parametrize(
    ("new", "changes", "due", "reason"),
    [
        (3, {}, True, "3 new training examples (0 gone) of 3 needed: due"),
        (2, {}, False, "2 new training examples (0 gone) of 3 needed: not due"),
        (0, {"changed": "the base has changed"}, True, "needed, but the base has changed since the last training: due"),
        (0, {"changed": "it", "held_out": 0}, False, "the snapshot holds out no example to judge a model by"),
        (0, {"taint": Taint(4, on_request=False)}, False, "needed: not due"),
        (0, {"taint": Taint(1, on_request=True)}, True, "learned from 1 rows that were erased on request: due"),
        (1, {"last_training": NOW - timedelta(days=30)}, True, "but the last training is 30 days old: due"),
        (0, {"last_training": NOW - timedelta(days=30)}, False, "needed: not due"),
    ],
)
def test_it_is_due_for_one_stated_reason(new: int, changes: dict, due: bool, reason: str) -> None:
    learned = {"a", "b"}
    settings = {"held_out": 20, "last_training": NOW - timedelta(days=1)} | changes
    verdict = decide(learned | set("cde"[:new]), learned, now=NOW, config=CONFIG, **settings)
    assert (verdict.due, verdict.new_examples) == (due, new)
    assert reason in verdict.reason
