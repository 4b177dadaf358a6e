"""MLflow's own metrics of the machine during a training: processor, memory, disk, network, and NVIDIA's cards.

How often they are taken is MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL, in seconds; 10 without it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from sovereign_tasks.promote import address, connect

log = logging.getLogger(__name__)
RETRY_SECONDS = 60.0
LAST_SECONDS = 5.0  # that a training which is over waits for what is left to be sent


@contextmanager
def system_metrics(run_id: str) -> Iterator[None]:
    """Send them to a run, under `system/`, until the body ends; a later try of the run goes on where they ended.

    Nothing that goes wrong with them reaches the body.
    """
    monitor = _start(run_id)
    try:
        yield
    finally:
        if monitor:
            ending = threading.Thread(target=monitor.finish, daemon=True)  # it may wait for a server that hangs
            ending.start()
            ending.join(LAST_SECONDS)


class _Monitor(SystemMetricsMonitor):
    """One that outlives a server that is away; the library's gives up."""

    def monitor(self) -> None:
        """Take and send metrics until it is told to finish."""
        while not self._shutdown_event.is_set():
            super().monitor()
            self._shutdown_event.wait(RETRY_SECONDS)


def _start(run_id: str) -> _Monitor | None:
    try:
        with connect():
            monitor = _Monitor(run_id, resume_logging=True, tracking_uri=address())
    except Exception as e:  # whatever it is, a training is worth more
        log.warning("There will be no system metrics of this training (%s).", type(e).__name__)
        return None
    monitor.start()
    return monitor
