"""`python -m sovereign_tasks.demo`: write the documents and serve site and forum until told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from sovereign_tasks.demo import DemoServer, write_documents


def main() -> int:
    """Serve until SIGTERM or SIGINT; 0 then, and 2 with one sentence when it can't start."""
    parser = argparse.ArgumentParser(prog="python -m sovereign_tasks.demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8321, help="on 127.0.0.1 (default 8321)")
    parser.add_argument("--day", type=int, choices=(1, 2), default=1, help="which of the two days to serve (default 1)")
    parser.add_argument("--documents", type=Path, required=True, help="folder to write the documents to")
    parser.add_argument("--log", type=Path, help="file to append one JSON line a request to")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        write_documents(options.documents, options.day)
        if options.log:
            options.log.parent.mkdir(parents=True, exist_ok=True)
        server = DemoServer(options.day, options.port, options.log)
    except (OSError, OverflowError) as error:
        where = f"port {options.port}, {options.documents}"
        print(f"The demo can't start ({where}): {error}. Choose another --port or folder.", file=sys.stderr)
        return 2
    with server:
        print(f"serving day {options.day} at {server.url}", flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
