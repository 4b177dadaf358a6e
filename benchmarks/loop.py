"""The whole loop on the bundled domain: seconds and memory from start to champion, work and orchestration apart.

    make bench                      # all benchmarks
    python benchmarks/loop.py       # this one, in a state folder of its own that is removed afterwards

The peer is the same work without orchestration: the seconds that the stages report for themselves, one after
another. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from sovereign_tasks.config import PROJECT
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.platform.environment import marker
from sovereign_tasks.platform.processes import find_marked, proportional_memory

MODEL = "roofing"


def main() -> int:
    """Run the loop once and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", type=int, choices=(1, 2), default=1, help="day of the bundled sites (default: 1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sovereign-bench-", ignore_cleanup_errors=True) as folder:
        state = Path(folder)
        seconds, memory = run(state, options.day)
        print(json.dumps(measure(state, seconds, memory)))
    return 0


def run(state: Path, day: int) -> tuple[float, int]:
    """Seconds of one run from the command to its end, and the most memory (PSS, bytes) that it held at once."""
    command = [sys.executable, "-m", "sovereign_tasks", "run", MODEL, "--up", "--once", "--day", str(day)]
    started, peak = time.monotonic(), 0
    environment = os.environ | {"SOVEREIGN_STATE": str(state)}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=sys.stderr) as process:
        own = psutil.Process(process.pid)
        while process.poll() is None:
            held = {p.pid: p for p in find_marked(marker(state))} | {own.pid: own}
            peak = max(peak, proportional_memory(held.values()))
            time.sleep(1)
    if process.returncode:
        raise SystemExit(f"the run ended with exit code {process.returncode}")
    return time.monotonic() - started, peak


def measure(state: Path, seconds: float, memory: int) -> dict:
    """The figures of a finished run, read from its ledger."""
    ledger = Ledger(f"sqlite:///{state}/ledger.db")
    build = ledger.builds(MODEL)[-1]
    runs = [build, *(d["run"] for d in ledger.decisions(MODEL, "gate")[:1])]
    work = {r.stage: r.seconds for run in runs for r in ledger.reports(MODEL, run)}
    ledger.engine.dispose()
    total = sum(work.values())
    return {
        "claim": "from start to a champion on the bundled domain, on this machine",
        "value": round(seconds, 1),
        "unit": "s",
        "peer": "the stages' own work, one after another",
        "peer_value": round(total, 1),
        "ratio": round(seconds / total, 2),
        "orchestration_seconds": round(seconds - total, 1),
        "peak_memory_gb": round(memory / 1e9, 2),
        "stages": work,
    }


if __name__ == "__main__":
    sys.exit(main())
