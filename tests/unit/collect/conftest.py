"""Fixtures of the collection room: a real server, and a web source that is allowed to reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from collect_helpers import HOST, ROOT, Server

from sovereign_tasks.collect.web import WebSource


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def web_source(server: Server) -> Callable[..., WebSource]:
    def make(**settings: object) -> WebSource:
        defaults = {
            "name": "site",
            "kind": "web",
            "start": [f"{ROOT}/"],
            "licence": "owner",
            "consent": "own-content",
            "requests_per_second": 10_000.0,
            "timeout_seconds": 5.0,
            "connect_to": {HOST: server.address},
        }
        return WebSource(**(defaults | settings))

    return make
