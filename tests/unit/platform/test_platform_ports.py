from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.platform import ports
from sovereign_tasks.platform.ports import choose_port, choose_ports, is_free

NOTHING_ASKED = {"airflow": None, "mlflow": None}


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "USUAL", {"airflow": 28080, "mlflow": 25000})


def test_a_listener_makes_a_port_taken_and_its_end_frees_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        # A connection that the server ends leaves TIME_WAIT behind, which holds nobody back.
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    assert is_free(port)


def test_a_listener_on_all_interfaces_counts() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_the_next_free_port_is_taken(busy: int) -> None:
    chosen = choose_port(busy, {busy + 1})
    assert chosen > busy + 1
    assert is_free(chosen)


def test_what_another_process_chose_is_taken_before_it_listens(busy: int) -> None:
    choose = "import sys; from sovereign_tasks.platform.ports import *; print(choose_port(int(sys.argv[1]), set()))"
    command = [sys.executable, "-c", f"{choose}; sys.stdout.flush(); sys.stdin.read()", str(busy)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        first = int(other.stdout.readline())
        assert is_free(first)
        assert choose_port(first, set()) > first
        other.stdin.close()
    assert choose_port(first, set()) == first


def test_the_choice_is_remembered_while_free(tmp_path: Path, busy: int) -> None:
    first = choose_ports(tmp_path, {"airflow": None, "mlflow": busy - 1} if is_free(busy - 1) else NOTHING_ASKED)
    assert choose_ports(tmp_path, NOTHING_ASKED) == first
    (tmp_path / "ports.json").write_text(json.dumps({"airflow": busy, "mlflow": first["mlflow"]}))
    moved = choose_ports(tmp_path, NOTHING_ASKED)
    assert moved["airflow"] > busy
    assert moved["mlflow"] == first["mlflow"]


def test_one_port_never_serves_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "USUAL", {"airflow": 28080, "mlflow": 28080})
    chosen = choose_ports(tmp_path, NOTHING_ASKED)
    assert chosen["airflow"] != chosen["mlflow"]


def test_an_asked_for_port_that_is_taken_is_refused_by_name(tmp_path: Path, busy: int) -> None:
    with pytest.raises(UserError, match=f"port {busy} for mlflow is taken"):
        choose_ports(tmp_path, {"airflow": None, "mlflow": busy})


@pytest.mark.parametrize("damage", ["", "[]", '{"airflow": "x", "mlflow": 1}', '{"airflow": 0, "mlflow": 99999}'])
def test_a_damaged_memory_costs_nothing(tmp_path: Path, damage: str) -> None:
    (tmp_path / "ports.json").write_text(damage)
    assert choose_ports(tmp_path, NOTHING_ASKED).keys() == {"airflow", "mlflow"}
