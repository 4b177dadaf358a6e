"""Child processes: started in sessions of their own, found by their marker, ended with all descendants."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from sovereign_tasks.platform.environment import MARKER

GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


@dataclass(frozen=True)
class Service:
    """A long-running child process; `health` is an address that answers below 500 once it is up."""

    name: str
    argv: tuple[str, ...]
    health: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Child:
    """A started service, with its log file."""

    service: Service
    popen: subprocess.Popen[bytes]
    log: Path
    started: float
    restarts: int = 0


def spawn(service: Service, env: Mapping[str, str], logs: Path) -> Child:
    """Start a service in a session of its own, its output appended to `logs/<name>.log`."""
    log = logs / f"{service.name}.log"
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        popen = subprocess.Popen(
            service.argv,
            env={**env, **service.env},
            cwd=logs,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
        )
    return Child(service, popen, log, time.time())


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, each cut at 300 characters."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64_000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(line[:300] for line in text.splitlines()[-lines:])


def find_marked(value: str) -> list[psutil.Process]:
    """Every process whose environment carries the marker, and all their descendants; never this one."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    alive: dict[int, psutil.Process] = {}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter(["ppid"]):
        alive[process.pid] = process
        with suppress(*GONE):
            if process.environ().get(MARKER) == value:
                found[process.pid] = process
    grown = True
    while grown:
        more = {pid: one for pid, one in alive.items() if one.info["ppid"] in found and pid not in found}
        found.update(more)
        grown = bool(more)
    return [process for pid, process in found.items() if pid not in spared]


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL, in the given order; psutil checks that a pid is still the process that was found."""
    for process in processes:
        with suppress(*GONE):
            process.kill()


def sweep(value: str) -> int:
    """Kill whatever carries the marker until nothing does; returns how many processes there were."""
    seen: set[int] = set()
    for _ in range(100):
        left = find_marked(value)
        if not left:
            break
        seen.update(process.pid for process in left)
        kill(left)
        psutil.wait_procs(left, timeout=0.2)
    return len(seen)


def kill_session(child: Child, value: str) -> None:
    """Kill what a dead service has left behind in its session."""
    for process in find_marked(value):
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == child.popen.pid:
                kill([process])


def terminate(child: Child) -> None:
    """SIGTERM to the service's own process group."""
    with suppress(ProcessLookupError):
        if child.popen.poll() is None:
            os.killpg(child.popen.pid, signal.SIGTERM)


def proportional_memory(processes: Iterable[psutil.Process]) -> int:
    """Bytes of memory held, shared pages counted once (PSS; the resident size where there is no PSS)."""
    total = 0
    for process in processes:
        with suppress(*GONE):
            full = process.memory_full_info()
            total += getattr(full, "pss", full.rss)
    return total
