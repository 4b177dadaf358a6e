"""A whole loop over sources full of personal data: it is in the raw bytes, and nowhere else."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from planted import ADDRESSES, ALL, NEVER_ITEMS, Site, spellings, write_documents, write_kind, write_mail, write_tables

from sovereign_tasks.platform import load_credentials
from sovereign_tasks.platform.environment import marker
from sovereign_tasks.platform.processes import find_marked
from tests.leaks import Needles, scan

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
MODEL = """
model: siding
description: Assistant for siding crews
sources:
  - {{name: house, kind: files, folder: "{folder}/documents", licence: owner, consent: own-content}}
  - {{name: letters, kind: mail, folder: "{folder}/mail", own: ["@sidingcrew.example.org"], attachments: documents,
     licence: owner, consent: contract}}
  - {{name: tickets, kind: table, path: "{folder}/tables/tickets.csv", licence: owner, consent: contract}}
  - {{name: headless, kind: table, path: "{folder}/tables/headless.csv", licence: owner, consent: contract}}
  - {{name: quoting, kind: quoting, path: "{folder}/kind/quoted.txt", licence: owner, consent: contract}}
  - {{name: shop, kind: web, start: ["http://shop.example/"], licence: owner, consent: own-content,
     requests_per_second: 20, connect_to: {{shop.example: "127.0.0.1:{port}"}}}}
domain: {{keywords: [siding, plank, trim, board, house, nail]}}
dataset: {{holdout_share: 0.5, min_answer_chars: 20}}
retrain: {{min_new_examples: 5}}
training:
  base_model: scratch
  scratch: {{vocabulary: 400, hidden: 32, layers: 1, heads: 2, steps: 30}}
  epochs: 1
  max_length: 256
evidence: {{min_groups: 20}}
gates:
  - {{metric: general_nll, no_worse_than: base, by: 9}}
"""


@pytest.fixture
def site() -> Iterator[int]:
    """The port of a site on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder with a short path: sockets are made in it."""
    with tempfile.TemporaryDirectory(prefix="leaks-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def night(tmp_path: Path, state: Path, site: int, scratch: Path) -> str:
    """What the command line said of a loop over all sources, once its platform has ended."""
    sources = tmp_path / "sources"
    write_documents(sources / "documents")
    write_mail(sources / "mail")
    write_tables(sources / "tables")
    write_kind(sources / "kind")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "siding.yaml").write_text(MODEL.format(folder=sources, port=site))
    (tmp_path / "config" / "platform.yaml").write_text('source_kinds: {quoting: "quoting:Quoting"}\n')
    for name in ("tmp", "home"):
        (scratch / name).mkdir()
    surroundings = {
        "TMPDIR": str(scratch / "tmp"),
        # Compiled kernels hold no text: to compile them anew takes a minute, to look through them several.
        "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
        "TORCHINDUCTOR_CACHE_DIR": f"{tempfile.gettempdir()}/torchinductor_{getpass.getuser()}",
        "HOME": str(scratch / "home"),
        "PYTHONPATH": str(sources / "kind"),
        "SOVEREIGN_CONFIG": str(tmp_path / "config"),
    }
    output = scratch / "output.txt"
    with output.open("wb") as file:
        command = subprocess.Popen(
            [sys.executable, "-m", "sovereign_tasks", "run", "siding", "--up", "--once"],
            cwd=ROOT,
            env=os.environ | surroundings,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            code = command.wait(900)
        finally:
            command.terminate()
            command.wait(60)
    assert find_marked(marker(state)) == []
    said = output.read_text()
    assert code == 2, said  # two sources can't be collected from
    assert "version 1: every gate passed" in said, said
    return said


def test_what_is_personal_stays_in_raw(tmp_path: Path, state: Path, scratch: Path, night: str) -> None:
    needles = Needles(spellings(), [load_credentials(state).fernet_key])
    planted = {hit.needle for hit in scan(tmp_path / "sources", needles).hits}
    inside, around = scan(state, needles), scan(scratch, needles)
    raw = {hit for hit in inside.hits if hit.path.startswith("tables/siding/raw/")}
    addresses = {hit for hit in inside.hits if hit.path.startswith("ledger.db") and hit.needle in ADDRESSES}
    assert planted == ALL.keys() - {"page-text", "page-query", "dead-link", "moved-link"}, "the site gives those"
    assert {hit.needle for hit in raw} == ALL.keys() - NEVER_ITEMS.keys()
    assert {path for path, _ in inside.unread if not path.startswith("tables/siding/raw/")} == set()
    assert around.unread == {}
    assert not list(state.glob("tables/*/staging"))
    assert not state.stat().st_mode & 0o077
    secrets = [state / "secrets.json", state / "airflow" / "passwords.json", state / "ledger.db"]
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    leaks = {*inside.hits, *around.hits} - raw - addresses
    assert not leaks, "\n".join(map(str, sorted(leaks)))
