"""An OpenAI-style endpoint on loopback that says what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[dict[str, Any]], str | tuple[int, bytes]]
"""From a request's body to the words of a completion, or to a status and a body."""


@dataclass
class Chat:
    """A server that runs: its address, and the headers and bodies that it was sent."""

    url: str
    sent: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)


@contextmanager
def serve(reply: Reply) -> Iterator[Chat]:
    """Answer POST /v1/chat/completions until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            chat.sent.append(({k.lower(): v for k, v in self.headers.items()}, body))
            told = reply(body) if self.path == "/v1/chat/completions" else (404, b"")
            completion = {"choices": [{"message": {"role": "assistant", "content": told}}]}
            status, data = told if isinstance(told, tuple) else (200, json.dumps(completion).encode())
            self.send_response(status)
            if status == 307:
                self.send_header("Location", data.decode())
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    chat = Chat(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield chat
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
