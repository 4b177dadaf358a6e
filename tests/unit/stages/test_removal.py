"""What its author deleted is gone from every file, also when the removal was cut off; a wiped source stops a night."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sovereign_tasks.demo import DemoServer, threads
from sovereign_tasks.evaluate.probes import Probes
from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.ledger.tables import LEASES
from sovereign_tasks.records import EvalReport, GateDecision, TrainingRun
from sovereign_tasks.stages import snapshots
from sovereign_tasks.stages.context import open_context
from sovereign_tasks.stages.probes import read_probes
from sovereign_tasks.stages.remarks import remarks, who_learned
from sovereign_tasks.stages.scores import read_reports, write_reports
from sovereign_tasks.store import model_folder

from . import nights

FORUM = """
model: siding
description: The bundled forum alone
sources:
  - name: forum
    kind: reddit
    subreddits: [RoofingTalk]
    agreement: bundled demonstration forum
    licence: owner
    consent: own-content
    endpoint: "http://${SOVEREIGN_DEMO}/reddit"
domain: {keywords: [roof, shingle, leak, gutter, flashing, nail, bid, attic, vent, slate, metal, tile, moss]}
dataset: {holdout_share: 0.3}
"""


@pytest.fixture
def forum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a night on a day of the bundled forum; `kill_after` and `until` as in `nights.run_night`."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "siding.yaml").write_text(FORUM)
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(folder))

    def run(day: int, run_id: str, kill_after: int | None = None, until: str = "") -> bool:
        with DemoServer(day) as server:
            monkeypatch.setenv("SOVEREIGN_DEMO", f"127.0.0.1:{server.port}")
            return nights.run_night(run_id, kill_after, until=until)

    return run


def deleted_words() -> list[bytes]:
    """What is said in the posts that are there on the first day and not on the second."""
    second = {thread.id for thread in threads(2)}
    words = [text.encode() for t in threads(1) if t.id not in second for text in (t.title, t.body)]
    assert words
    return words


def files_with(state: Path, words: list[bytes]) -> list[str]:
    """Files below the state folder that hold any of the words, compressed tables read as tables."""
    import pyarrow.parquet as pq

    found = []
    for path in state.rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data += str(pq.read_table(path).to_pylist()).encode()
        if any(word in data for word in words):
            found.append(str(path.relative_to(state)))
    return found


def test_a_deleted_thread_is_nowhere_after_the_next_night(state: Path, forum) -> None:
    words = deleted_words()
    assert forum(1, "one")
    assert files_with(state / "tables", words)
    assert forum(2, "two")
    assert files_with(state, words) == []
    ledger = open_ledger(state)
    assert ledger.tombstones("siding")
    assert ledger.unpurged("siding") == []


def test_what_was_measured_on_a_deleted_row_goes_with_it(state: Path, forum) -> None:
    assert forum(1, "one")
    context = open_context("siding", "run")
    splits = snapshots.load_splits(context, context.ledger.snapshot("siding", 1))
    ids = sorted(example.example_id for rows in splits.values() for example in rows)
    answers = [f"answer {n}" for n in range(len(ids))]
    report = EvalReport("candidate", "holdout", ids, ids, {"nll": [1.0] * len(ids)}, answers)
    write_reports(context, {"candidate": {"holdout": report}})
    given = [{"example_id": i, "candidate": True, "base": False} for i in ids]
    path = model_folder("siding", "runs", "run") / "probes.json"
    path.write_text(json.dumps(asdict(Probes(verbatim=given))))
    assert forum(2, "two")
    gone = {*ids} & context.ledger.tombstones("siding")
    assert gone
    left = read_reports(context)["candidate"]["holdout"]
    assert left.example_ids == [i for i in ids if i not in gone]
    assert left.answers == [answer for i, answer in zip(ids, answers, strict=True) if i not in gone]
    assert [row["example_id"] for row in read_probes(context).verbatim] == left.example_ids


def test_a_removal_is_counted_against_the_models_that_learned_from_it(state: Path, forum) -> None:
    forum(1, "one")
    ledger = open_ledger(state)
    training = TrainingRun("siding", "run-1", 1, "base", "h", "c", 1, "adapter", "h", {})
    ledger.record_training("retrain", training)
    ledger.record_training("older", replace(training, run_id="run-0", snapshot=1))
    forum(2, "two")
    manifest = ledger.manifest("siding", ledger.builds("siding")[-1])
    assert manifest["learned"]["run-1"] == manifest["learned"]["run-0"] > 0
    assert manifest["learned"]["run-1"] <= len(manifest["purged"]["examples"])
    assert who_learned(ledger, "siding", {"run-1": 2}) == ["run run-1 learned from 2"]
    ledger.record_gates("retrain", GateDecision("siding", "run-1", "4", [], passed=True))
    (said,) = remarks(ledger, "siding", ledger.builds("siding")[-1])
    assert f"version 4 learned from {manifest['learned']['run-1']}" in said


def test_a_removal_that_was_cut_off_anywhere_is_carried_out(state: Path, forum, tmp_path: Path) -> None:
    words = deleted_words()
    forum(1, "one")
    assert files_with(state / "tables" / "siding" / "quarantine", words)
    forum(2, "two", until="validate")
    start = tmp_path / "start"
    shutil.copytree(state, start)
    committed = []
    writes = itertools.chain([8], itertools.count(9, nights.STEP))
    for killed_after, again in nights.killed(start, tmp_path, lambda n: forum(2, "two", kill_after=n), writes):
        ledger = open_ledger(again)
        committed.append(len(ledger.builds("siding")) == 2)
        with ledger.engine.begin() as c:  # as a minute later: a killed holder's lease is not renewed
            c.execute(LEASES.update().values(expires_at=datetime(2020, 1, 1, tzinfo=UTC)))
        ledger.engine.dispose()
        # A night that was given up on and is followed by another owes its removals all the same.
        assert forum(2, "three" if committed[-1] and killed_after % 2 else "two")
        assert files_with(again, words) == [], f"killed after write {killed_after}"
    assert committed[:2] == [False, True], "the first write of the removal was passed over"


def test_a_source_that_lost_everything_stops_the_night(state: Path, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "documents"
    nights.write_first_day(folder)
    nights.write_config(tmp_path / "config", folder)
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path / "config"))
    nights.run_night("one")
    for path in folder.glob("*.md"):
        path.write_text("Cookies, please. Cookies.\n")
    with pytest.raises(AssertionError, match="ended with 1"):
        nights.run_night("two")
    ledger = open_ledger(state)
    assert len(ledger.builds("siding")) == 1
    assert sum(ledger.snapshots("siding")[-1].counts.values()) == 30
