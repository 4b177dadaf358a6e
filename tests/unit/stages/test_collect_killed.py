"""A collection killed at any moment: its cursor never runs ahead of the data, and it ends as if undisturbed."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.stages.context import open_context, run_key
from sovereign_tasks.stages.parts import Parts, collected_state
from sovereign_tasks.store import Store
from tests.unit.collect.collect_helpers import Reply, Server
from tests.unit.stages import nights

MODEL = """
model: siding
description: Assistant for siding crews
sources:
  - name: site
    kind: web
    start: ["http://www.siding.example/"]
    connect_to: {www.siding.example: "%s"}
    requests_per_second: 1000
    licence: owner
    consent: own-content
domain: {keywords: [siding, plank, trim, board, house, nail]}
"""
TOPICS = [
    f"{kind} {wood}" for kind in ("plain", "cut", "dry") for wood in ("cedar", "pine", "oak", "elm", "ash", "fir")
]
MOST_WRITES = 60


def page(text: str) -> Reply:
    return Reply(text, headers={"Content-Type": "text/markdown"}, etag=True)


def serve(server: Server, replies: dict[str, Reply]) -> None:
    """Answer so, after a little while."""
    for path, reply in replies.items():
        server.replies[path] = lambda _, reply=reply: time.sleep(0.01) or reply


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    links = "".join(f'<a href="/{n}">x</a>' for n in range(len(TOPICS)))
    pages = {f"/{n}": page(nights.page(topic, 20 + n)) for n, topic in enumerate(TOPICS)}
    serve(server, pages | {"/": Reply(f"<title>Siding</title>{links}", etag=True), "/5": Reply(status=500)})
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "siding.yaml").write_text(MODEL % server.address)
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path / "config"))
    yield server
    server.close()


def staged(state: Path) -> dict[str, Any]:
    """What the collection left: each item once with its digest, what was left out, and what the ledger is to know."""
    store, run = Store("siding", str(state / "tables")), run_key("build", "siding", "night")
    rows = [
        row
        for name in store.staged_names(run, "raw-site.")
        for row in store.staged(run, name, ["address", "item", "digest"]).to_pylist()
    ]
    left_out = {
        (row["text"], row["reason"])
        for name in store.staged_names(run, "rejected-collect-site.")
        for row in store.staged(run, name).to_pylist()
    }
    parts = Parts(open_context("siding", run), "site")
    seen = collected_state(open_context("siding", run), "site")
    known = {"validators": parts.validators(), "cursor": parts.cursor(), "gone": seen["gone"]}
    return {"rows": sorted(map(str, rows)), "found": sorted(seen["found"]), "left out": left_out, **known}


def remembered(state: Path) -> tuple[Any, ...]:
    """What the ledger knows of the site."""
    ledger = open_ledger(state)
    known = ledger.items("siding", "site"), ledger.validators("siding", "site"), ledger.cursor("siding", "site")
    ledger.engine.dispose()
    return known


def assert_not_ahead(state: Path, before: tuple[Any, ...] = ([], {}, {})) -> None:
    """Every part's state and cursor stand on data that is durable, and the ledger knows nothing of the night yet."""
    store, run = Store("siding", str(state / "tables")), run_key("build", "siding", "night")
    found, left_out, gone, marked = set(), set(), set(), set()
    rows = counted = 0
    for name in store.staged_names(run, "state-site."):
        part, cursor = (
            json.loads(store.staged(run, n)["json"][0].as_py()) for n in (name, name.replace("state-", "cursor-"))
        )
        raw = store.staged(run, name.replace("state-", "raw-"), ["address", "item"]).to_pylist()
        rejected = store.staged(run, name.replace("state-", "rejected-collect-"), ["text"])["text"].to_pylist()
        assert [[row["address"], row["item"]] for row in raw] == part["found"]
        found |= {row["address"] for row in raw}
        left_out |= set(rejected)
        gone |= {one["address"] for one in part["gone"]}
        marked |= {one["address"] for one in part["validators"]}
        rows += part["rows"]
        counted += sum(part["reasons"].values()) - len(rejected)
        if part["whole"]:
            assert "tonight" not in cursor
            continue
        done = [address for address, *_ in cursor["tonight"]["done"]]
        assert len(done) == len(set(done)) == rows
        silent = set(done) - found - left_out  # what the night only counts was there before
        assert len(silent) == counted
        assert silent <= gone | {address for address, _ in before[0]}
        assert set(cursor["tonight"]["new"]) <= marked & (found | left_out)
        assert not set(done) & {address for address, *_ in cursor["tonight"]["left"]}
    assert remembered(state) == before


def collect(state: Path, monkeypatch: pytest.MonkeyPatch, **kill: Any) -> bool:
    monkeypatch.setenv("SOVEREIGN_STATE", str(state))
    state.mkdir(exist_ok=True)
    return nights.run_collect("night", **kill)


def test_killed_after_any_write_or_at_any_moment(site: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert collect(tmp_path / "first", monkeypatch)  # which also starts the server that forks the others
    began = time.monotonic()
    assert collect(tmp_path / "whole", monkeypatch)
    took = time.monotonic() - began
    wanted = staged(tmp_path / "whole")
    assert len(wanted["found"]) == len(TOPICS)  # one of them fails, and the start page comes to it
    assert ("http://www.siding.example/5", "http_error") in wanted["left out"]

    start, writes = tmp_path / "start", range(1, MOST_WRITES, nights.STEP)
    start.mkdir()
    for killed_after, again in nights.killed(start, tmp_path, lambda n: nights.run_collect("night", n), writes):
        assert_not_ahead(again)
        assert collect(again, monkeypatch)
        assert staged(again) == wanted, f"killed after write {killed_after}"
    assert 10 - nights.STEP < killed_after < writes[-1], "the hook was not reached"

    rng = random.Random(7)
    cut_off = 0
    for _ in range(nights.KILLS):
        again, asked = tmp_path / "again", len(site.asked)
        cut_off += not collect(again, monkeypatch, kill_at=rng.uniform(0.2, 1) * took)
        assert_not_ahead(again)
        assert collect(again, monkeypatch)
        assert staged(again) == wanted
        assert len(site.asked) - asked < 2 * len(TOPICS) + 20
        shutil.rmtree(again)
    assert cut_off > nights.KILLS / 4


def test_a_second_night_killed_after_any_write(site: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = tmp_path / "start"
    start.mkdir()
    monkeypatch.setenv("SOVEREIGN_STATE", str(start))
    assert nights.run_night("one")
    before = remembered(start)
    links = "".join(f'<a href="/{n}">x</a>' for n in [*range(len(TOPICS)), "new"])
    changed = {f"/{n}": page(nights.page(TOPICS[n], 60 + n)) for n in range(6)}  # the last did not answer before
    gone = {"/9": Reply(status=404), "/12": Reply(status=410)}
    more = {"/": Reply(f"<title>All siding</title>{links}", etag=True), "/new": page(nights.page("new", 9))}
    serve(site, changed | gone | more)

    shutil.copytree(start, tmp_path / "whole")
    assert collect(tmp_path / "whole", monkeypatch)
    wanted, root = staged(tmp_path / "whole"), "http://www.siding.example"
    assert sorted(address.removeprefix(root) for address, _ in wanted["found"]) == sorted([*changed, *more])
    assert [one["address"].removeprefix(root) for one in wanted["gone"]] == ["/12", "/9"]
    writes, asked = range(1, MOST_WRITES, 3), len(site.asked)  # a part takes four, so each of them has its turn
    for killed_after, again in nights.killed(start, tmp_path, lambda n: nights.run_collect("night", n), writes):
        assert_not_ahead(again, before)
        assert collect(again, monkeypatch)
        assert_not_ahead(again, before)
        assert staged(again) == wanted, f"killed after write {killed_after}"
        assert [a.status for a in site.asked[asked:]].count(304) >= len(TOPICS) - len(changed) - len(gone)
        asked = len(site.asked)
    assert 9 < killed_after < writes[-1], "the hook was not reached"
