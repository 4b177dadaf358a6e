"""What ran, on what, and what it made, as OpenLineage run events: lines of a file of this installation, never sent."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from sovereign_tasks import __version__
from sovereign_tasks.errors import Paused, TransientError, UserError
from sovereign_tasks.store import model_folder

log = logging.getLogger(__name__)
PRODUCER = f"urn:sovereign:{__version__}"
NAMESPACE = "sovereign"
FILE = "openlineage.jsonl"
_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = {
    "schema": "1-1-1/SchemaDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
    "tags": "1-0-0/TagsDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
}
_TAIL = 1 << 20  # bytes; no event is as long


@contextmanager
def told(model: str, job: str, run: str, inputs: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Tell that a job of a model starts, and how it ends; the body adds the datasets that it makes to the list.

    The same run tried again has the same id. An event that can't be written is a warning: no work is lost for it.
    """
    run_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{NAMESPACE}://{model}/{job}/{run}"))
    outputs: list[dict[str, Any]] = []

    def tell(kind: str, **facets: Any) -> None:
        event = {
            "eventType": kind,
            "eventTime": datetime.now(UTC).isoformat(),
            "producer": PRODUCER,
            "schemaURL": _EVENT,
            "run": {"runId": run_id, "facets": facets},
            "job": {"namespace": NAMESPACE, "name": f"{model}.{job}", "facets": {}},
            "inputs": list(inputs),
            "outputs": outputs,
        }
        try:
            _append(model_folder(model) / FILE, json.dumps(event))
        except (OSError, UserError) as e:
            log.warning("%s of %s: its %s event was not written: %s", job, model, kind, e)

    tell("START")
    try:
        yield outputs
    except Paused:
        raise  # it goes on
    except Exception as e:
        words = str(e) if isinstance(e, UserError | TransientError) else type(e).__name__  # others may quote texts
        tell("FAIL", **_facet("errorMessage", message=words, programmingLanguage="Python"))
        raise
    tell("COMPLETE")


def dataset(
    model: str,
    name: str,
    *,
    version: str = "",
    columns: pa.Schema | None = None,
    tags: Mapping[str, str] | None = None,
    rows: int | None = None,
) -> dict[str, Any]:
    """A dataset of a model as events name it; `rows` is how many were written to it."""
    facets: dict[str, Any] = {}
    if version:
        facets |= _facet("version", datasetVersion=version)
    if columns is not None:
        facets |= _facet("schema", fields=[{"name": f.name, "type": str(f.type)} for f in columns])
    if tags:
        facets |= _facet("tags", tags=[{"key": k, "value": v, "source": "USER"} for k, v in tags.items()])
    told_of = {"namespace": NAMESPACE, "name": f"{model}/{name}", "facets": facets}
    return told_of if rows is None else told_of | {"outputFacets": _facet("outputStatistics", rowCount=rows)}


def _facet(name: str, **values: Any) -> dict[str, Any]:
    version, _, kind = _FACETS[name].partition("/")
    where = f"{_SPEC}/facets/{version}/{kind}.json#/$defs/{kind}"
    return {name: {"_producer": PRODUCER, "_schemaURL": where, **values}}


def _append(path: Path, line: str) -> None:
    """Add a line whole; what a killed writer left of its own goes first."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        start = max(0, os.fstat(descriptor).st_size - _TAIL)
        tail = os.pread(descriptor, _TAIL, start)
        os.ftruncate(descriptor, start + tail.rfind(b"\n") + 1)
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)
