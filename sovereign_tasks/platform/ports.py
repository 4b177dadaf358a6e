"""Free ports on loopback, and the memory of which were used last."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from sovereign_tasks.errors import UserError
from sovereign_tasks.platform.credentials import write_private

HOST = "127.0.0.1"
USUAL = {"airflow": 8080, "mlflow": 5000}
FILE = "ports.json"
_reserved: dict[int, socket.socket] = {}


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of this machine's loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that have just ended do not hold a port, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_port(preferred: int, taken: set[int]) -> int:
    """The preferred port, or the next free one above it that is not in `taken` and that no other process was given."""
    for port in range(preferred, min(preferred + 1000, 65536)):
        if port not in taken and is_free(port) and _reserve(port):
            return port
    raise UserError(f"no free port on {HOST} from {preferred} on; name one that is free")


def _reserve(port: int) -> bool:
    """Keep other processes from choosing a port before a server listens there, for as long as this one lives."""
    if port in _reserved or not sys.platform.startswith("linux"):
        return True
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0sovereign {HOST}:{port}")  # a name without a file, which the kernel frees
    except OSError:
        name.close()
        return False
    _reserved[port] = name
    return True


def choose_ports(state: Path, asked: dict[str, int | None]) -> dict[str, int]:
    """A port for each of `USUAL`: the one asked for, else the last used, else the usual, else the next free.

    Raises UserError if a port that was asked for is taken. Remembers the choice in the state folder.
    """
    remembered = _remembered(state)
    chosen: dict[str, int] = {}
    for name, port in asked.items():
        if port is None:
            continue
        if port in chosen.values() or not is_free(port):
            raise UserError(f"port {port} for {name} is taken by another program; name a free one, or none at all")
        chosen[name] = port
    for name, usual in USUAL.items():
        if name not in chosen:
            chosen[name] = choose_port(remembered.get(name, usual), set(chosen.values()))
    write_private(state / FILE, json.dumps(chosen) + "\n")
    return chosen


def _remembered(state: Path) -> dict[str, int]:
    try:
        stored = json.loads((state / FILE).read_text(encoding="utf-8"))
        return {name: int(stored[name]) for name in USUAL if 0 < int(stored[name]) < 65536}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # Only a preference: a lost or damaged file costs nothing.
