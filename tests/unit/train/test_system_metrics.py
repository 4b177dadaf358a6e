"""What MLflow watches of the machine."""

from __future__ import annotations

import pytest
import torch

from sovereign_tasks.train.system_metrics import _Monitor


def test_cards_are_watched_where_there_are_any_and_not_missed_where_there_are_none(
    capfd: pytest.CaptureFixture[str],
) -> None:
    monitor = _Monitor("a-run", tracking_uri="http://127.0.0.1:9")
    assert ("GPUMonitor" in {type(one).__name__ for one in monitor.monitors}) == torch.cuda.is_available()
    assert "WARNING" not in capfd.readouterr().err
