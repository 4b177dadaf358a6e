"""A client that sits out an outage of Airflow, on a real server that comes late."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.platform.ports import choose_port
from sovereign_tasks.terminal.patience import PatientClient


class Airflow(BaseHTTPRequestHandler):
    """Gives out a token, and says of every run that it is running."""

    def do_GET(self) -> None:
        self._answer(200, {"state": "running"})

    def do_POST(self) -> None:
        self._answer(201, {"access_token": "token"})

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def _answer(self, status: int, body: dict[str, str]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


class Late:
    """A server that starts at the second look, as a platform restarts what died."""

    def __init__(self) -> None:
        self.port, self.looks = choose_port(23000, set()), 0
        self.outages: list[float] = []
        self._server: ThreadingHTTPServer | None = None

    def check(self) -> None:
        self.looks += 1
        if self.looks == 2:
            self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Airflow)
            threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def client(self, patience: float) -> PatientClient:
        return PatientClient(
            f"http://127.0.0.1:{self.port}",
            "secret",
            check=self.check,
            on_outage=self.outages.append,
            patience=patience,
        )

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()


@pytest.fixture
def late() -> Iterator[Late]:
    server = Late()
    yield server
    server.stop()


def test_an_outage_is_sat_out_with_one_word(late: Late) -> None:
    assert late.client(60).dag_run("siding_build", "one")["state"] == "running"
    assert (late.looks, late.outages) == (2, [60])


def test_patience_ends(late: Late) -> None:
    with pytest.raises(UserError, match="does not answer"):
        late.client(0).dag_run("siding_build", "one")


def test_a_run_is_never_started_twice(late: Late) -> None:
    client = late.client(60)
    client.dag_run("siding_build", "one")
    late.stop()
    with pytest.raises(UserError, match="does not answer"):
        client.trigger("siding_build")
    assert late.looks == 2
