"""Work in a process that kills itself between two writes, of MLflow's or of the ledger's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import requests
from sqlalchemy.engine.default import DefaultDialect

from tests import forks


def killed(work: Callable[[str], object], run: str, after: int) -> bool:
    """Do work in a process that kills itself once so many writes are durable, in MLflow or the ledger."""
    return not forks.run(_work, work, run, after)


def _work(work: Callable[[str], object], run: str, after: int) -> None:
    _die_after(after)
    work(run)


def _die_after(writes: int) -> None:
    left = writes

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    send, commit = requests.Session.send, DefaultDialect.do_commit

    def send_and_count(session: requests.Session, request: requests.PreparedRequest, **options: object) -> object:
        answer = send(session, request, **options)
        if request.method != "GET" and not request.url.endswith("/search"):
            count()
        return answer

    def commit_and_count(dialect: DefaultDialect, connection: object) -> None:
        commit(dialect, connection)
        count()

    requests.Session.send, DefaultDialect.do_commit = send_and_count, commit_and_count
