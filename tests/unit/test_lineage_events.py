"""Run events as OpenLineage has them, in a file that survives kills and keeps words that are not ours out."""

from __future__ import annotations

import json
import logging
import multiprocessing
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.lineage_events import FILE, dataset, told
from sovereign_tasks.records import Example

# What OpenLineage 2-0-2 and its facets require of an event.
FACET = {
    "type": "object",
    "required": ["_producer", "_schemaURL"],
    "properties": {
        "_producer": {"type": "string", "format": "uri", "pattern": "^[a-z]+:"},
        "_schemaURL": {
            "type": "string",
            "pattern": r"^https://openlineage\.io/spec/facets/\d-\d-\d/\w+\.json#/\$defs/\w+$",
        },
    },
}
DATASET = {
    "type": "object",
    "required": ["namespace", "name"],
    "properties": {
        "namespace": {"type": "string"},
        "name": {"type": "string"},
        "outputFacets": {"additionalProperties": FACET},
        "facets": {
            "additionalProperties": FACET,
            "properties": {
                "version": {"required": ["datasetVersion"]},
                "schema": {"properties": {"fields": {"type": "array", "items": {"required": ["name", "type"]}}}},
                "tags": {"properties": {"tags": {"type": "array", "items": {"required": ["key", "value", "source"]}}}},
            },
        },
    },
}
EVENT = {
    "type": "object",
    "required": ["eventTime", "producer", "schemaURL", "run", "job", "eventType"],
    "additionalProperties": False,
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"},
        "producer": {"type": "string", "pattern": "^[a-z]+:"},
        "schemaURL": {"const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"},
        "run": {
            "type": "object",
            "required": ["runId"],
            "properties": {
                "runId": {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"},
                "facets": {
                    "additionalProperties": FACET,
                    "properties": {"errorMessage": {"required": ["message", "programmingLanguage"]}},
                },
            },
        },
        "job": {"type": "object", "required": ["namespace", "name"]},
        "inputs": {"type": "array", "items": DATASET},
        "outputs": {"type": "array", "items": DATASET},
    },
}


def read_events(state: Path, model: str = "siding") -> list[dict[str, Any]]:
    """All events of a model, each as OpenLineage wants it."""
    events = [json.loads(line) for line in (state / "models" / model / FILE).read_text().splitlines()]
    for event in events:
        jsonschema.validate(event, EVENT)
    return events


def test_a_job_starts_and_ends_with_what_it_made(state: Path) -> None:
    source = dataset("siding", "source/house", tags={"licence": "owner"})
    with told("siding", "build", "b1", [source]) as made:
        made.append(dataset("siding", "snapshot", version="1", columns=Example.schema, rows=3))
    start, end = read_events(state)
    assert (start["eventType"], start["outputs"]) == ("START", [])
    assert (end["eventType"], end["job"]["name"], end["inputs"]) == ("COMPLETE", "siding.build", [source])
    (snapshot,) = end["outputs"]
    assert snapshot["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert [f["name"] for f in snapshot["facets"]["schema"]["fields"]] == Example.schema.names
    assert start["run"]["runId"] == end["run"]["runId"]
    with told("siding", "build", "b1", []), told("siding", "train", "b1", []):
        pass
    ids = [event["run"]["runId"] for event in read_events(state)[2:]]
    assert (ids[0] == start["run"]["runId"], len(set(ids))) == (True, 2)
    assert (state / "models" / "siding" / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("error", "words"),
    [(UserError("house: no such folder."), "house: no such folder."), (ValueError("Ann"), "ValueError")],
)
def test_a_failure_is_told_in_our_words_alone(state: Path, error: Exception, words: str) -> None:
    with pytest.raises(type(error)), told("siding", "train", "r1", []):
        raise error
    end = read_events(state)[-1]
    assert (end["eventType"], end["run"]["facets"]["errorMessage"]["message"]) == ("FAIL", words)


def test_a_line_that_was_cut_off_goes_before_the_next(state: Path) -> None:
    with told("siding", "build", "b1", []):
        pass
    with (state / "models" / "siding" / FILE).open("a") as file:
        file.write('{"eventType": "STA')
    with told("siding", "build", "b2", []):
        pass
    assert [e["eventType"] for e in read_events(state)] == ["START", "COMPLETE", "START", "COMPLETE"]


def _tell_many(number: int) -> None:
    for run in range(20):
        with told("siding", "build", f"{number}-{run}", [dataset("siding", "source/house", tags={"t": "x" * 5000})]):
            pass


def test_writers_at_once_lose_nothing(state: Path) -> None:
    workers = [multiprocessing.get_context("fork").Process(target=_tell_many, args=(n,)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(read_events(state)) == 120


def test_work_goes_on_where_events_can_not_be_written(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    (state / "models" / "siding" / FILE).mkdir(parents=True)
    with caplog.at_level(logging.WARNING), told("siding", "build", "b1", []) as made:
        made.append(dataset("siding", "documents"))
    assert "build of siding: its COMPLETE event was not written" in caplog.text
