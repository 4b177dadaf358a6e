"""What a source, a document, a licence or a basis of consent reached: snapshots, bases and versions.

A snapshot is reached by the rows that it had when it was published, on the terms of then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.errors import UserError
from sovereign_tasks.stages.context import Context, among
from sovereign_tasks.stages.corpus import base_corpus
from sovereign_tasks.stages.lineage import NOT_JUDGED, TERMS, judgements, rests_on
from sovereign_tasks.store import newest_rows

BY = {"source": "source", "document": "doc_id", "licence": "licence", "consent": "consent"}
"""What can be asked for, and the column that has it."""


@dataclass(frozen=True, slots=True)
class ReachedSnapshot:
    """A snapshot, and its rows by split that rest on what was asked for."""

    number: int
    created_at: datetime
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class ReachedBase:
    """A base made here, and how many of the documents that taught it are of what was asked for."""

    name: str
    base_hash: str
    snapshot: int
    documents: int


@dataclass(frozen=True, slots=True)
class ReachedVersion:
    """A trained version: rows by split of its snapshot, and documents of its base.

    It learned from `train` alone, or a sample of it. `earlier_rows` are the train rows of the snapshot that has most of
    them among those learned from by the trainings that it goes back to.
    """

    version: str | None
    run_id: str
    snapshot: int
    trained_at: datetime
    verdict: str
    rows: dict[str, int]
    base_documents: int
    earlier_rows: int


@dataclass(frozen=True, slots=True)
class Reach:
    """All that was reached; `documents` counts those that were ever kept and were not deleted for good since."""

    model: str
    by: str
    value: str
    documents: int
    snapshots: list[ReachedSnapshot]
    bases: list[ReachedBase]
    versions: list[ReachedVersion]


def reach(context: Context, by: str, value: str) -> Reach:
    """What was reached by documents with a value of BY; a `UserError` where nothing has it."""
    ledger, model = context.ledger, context.model
    builds, snapshots = ledger.builds(model), ledger.snapshots(model)
    documents = context.store.read("documents", builds, ["doc_id", "revision", *TERMS])
    documents = documents.filter(pc.not_equal(documents["revision"], ""))
    documents = documents.append_column("asked", pc.equal(documents[BY[by]], value))
    events = context.store.read("membership", builds, ["example_id", "change", "split", "source"])
    named = events.filter(pc.field("source") == value)["example_id"] if by == "source" else events["example_id"][:0]
    asked = documents.filter(documents["asked"])["doc_id"].unique()
    if not len(asked) and not len(named):
        raise UserError(_unknown(context, by, value, documents, events))
    examples = context.store.read("examples", builds, ["example_id", "doc_ids"])
    pairs = rests_on(examples)
    published = {s.number: builds.index(s.build_id) for s in snapshots}

    rows: dict[int, dict[str, int]] = {}
    for start, end in _periods(documents, len(builds)):
        doc_ids = _asked_before(documents, end)
        resting = examples["example_id"].take(pairs.filter(pc.is_in(pairs["doc_id"], doc_ids))["row"].unique())
        ids = pa.chunked_array([*resting.chunks, *named.chunks], pa.string()).unique()
        counts = _members(events.filter(pc.is_in(events["example_id"], ids)), len(builds))
        for number, at in published.items():
            if start <= at < end:
                rows[number] = {split: int(by_build[at]) for split, by_build in counts.items() if by_build[at]}

    bases = {b["base_hash"]: _base(context, b, documents, published[b["snapshot"]]) for b in ledger.bases(model)}
    reached = [ReachedSnapshot(s.number, s.created_at, rows[s.number]) for s in snapshots if rows[s.number]]
    judged = judgements(context)
    made = [
        ReachedVersion(
            version=judged.get(t.run_id, NOT_JUDGED).version,
            run_id=t.run_id,
            snapshot=t.snapshot,
            trained_at=at,
            verdict=judged.get(t.run_id, NOT_JUDGED).verdict,
            rows=rows[t.snapshot],
            base_documents=bases[t.base_hash].documents if t.base_hash in bases else 0,
            earlier_rows=max((rows[e.snapshot].get("train", 0) for e in ledger.ancestors(t)), default=0),
        )
        for at, t in reversed(ledger.trainings(model))
    ]
    return Reach(
        model=model,
        by=by,
        value=value,
        documents=len(asked),
        snapshots=reached,
        bases=[b for b in bases.values() if b.documents],
        versions=[v for v in made if v.rows or v.base_documents or v.earlier_rows],
    )


def _asked_before(documents: pa.Table, end: int) -> pa.Array:
    """The documents that are asked for, on the terms that they had before this build."""
    then = newest_rows(documents.filter(pc.field("sequence") < end), "doc_id")
    return then.filter(then["asked"])["doc_id"].combine_chunks()


def _base(context: Context, base: dict[str, Any], documents: pa.Table, published: int) -> ReachedBase:
    asked = set(_asked_before(documents, published + 1).to_pylist())
    taught, _ = base_corpus(context, base["snapshot"], ["doc_id"])
    count = sum(row["doc_id"] in asked for row in taught)
    return ReachedBase(Path(base["path"]).name, base["base_hash"], base["snapshot"], count)


def _periods(documents: pa.Table, builds: int) -> list[tuple[int, int]]:
    """Ranges of builds in which the same documents are asked for: one, unless terms of a document were changed."""
    both = documents.group_by("doc_id").aggregate([("asked", "min"), ("asked", "max")])
    turning = both.filter(pc.not_equal(both["asked_min"], both["asked_max"]))["doc_id"].to_pylist()
    turns = documents.filter(among("doc_id", turning))["sequence"].unique().to_pylist()
    ends = sorted({*turns, builds} - {0})
    return list(zip([0, *ends], ends, strict=False))


def _members(events: pa.Table, builds: int) -> dict[str, np.ndarray]:
    """By split, how many of these examples are in after each build; events are in the order of builds."""
    example = events["example_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.argsort(example, kind="stable")
    example, inside = example[order], events["change"].to_numpy()[order] == 1
    before = np.zeros(len(inside), bool)
    before[1:] = inside[:-1] & (example[1:] == example[:-1])
    build, split = events["sequence"].to_numpy()[order], events["split"].to_numpy()[order]
    left = np.roll(split, 1)  # where an example stood by its event before; a later one may carry another split
    counts = {}
    for name in sorted(set(split)):
        joined, gone = build[inside & (split == name)], build[before & (left == name)]
        counts[name] = np.cumsum(np.bincount(joined, minlength=builds) - np.bincount(gone, minlength=builds))
    return counts


def _unknown(context: Context, by: str, value: str, documents: pa.Table, events: pa.Table) -> str:
    if by == "document":
        if value in context.ledger.tombstones(context.model):
            return (
                f"{context.model}: the document {value} was deleted for good, and what rested on it is not known any "
                "more; the remarks of that night say which runs had learned from it."
            )
        return f"{context.model} never kept a document {value}; `export` and `quarantine list` show ids."
    known = {*documents[by].to_pylist(), *(events["source"].to_pylist() if by == "source" else ())} - {""}
    named = f"there are {', '.join(sorted(known))}" if known else "no night has kept a document yet"
    return f"{context.model} learned nothing from the {by} {value!r}; {named}."
