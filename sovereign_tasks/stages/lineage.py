"""Where a model's knowledge comes from, and what a source reached: read off ids, terms and the ledger, never texts.

A snapshot's rows and terms are those that it had when it was published; what was deleted for good since is counted
apart, for all that is known of it then is that it was there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import StageReport, TrainingRun
from sovereign_tasks.stages.context import Context, among
from sovereign_tasks.stages.corpus import base_corpus
from sovereign_tasks.stages.serving import find_champion
from sovereign_tasks.store import newest_rows

TERMS = ["source", "licence", "consent"]
LONGEST_TAG = 250  # characters
SAMPLED_OUT = "sampled_out"
"""In a training's report, what comes before the cap that left rows out."""
REPLAY = "replay"
"""In a training's report, the owner's file that was replayed from, by hash and count."""
CANARIES = "canaries"
"""In a training's report, its lineage and its tags, how many it learned beside its rows."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What one source gave on the same terms: documents, and by split the rows that rest on them.

    A row that rests on documents under several terms counts under each. `collected` is the first and the last time
    that any of these documents was fetched; `now` what the settings say of the source today where that is different.
    """

    source: str
    licence: str
    consent: str
    documents: int
    rows: dict[str, int]
    collected: tuple[datetime, datetime] | None
    now: str


@dataclass(frozen=True, slots=True)
class SnapshotLineage:
    """A snapshot: its rows by split and kind, the documents they rest on, and where these come from.

    `parents` are the snapshots before it, the nearest first; `deleted` counts rows by split that are gone for good.
    """

    number: int
    parents: list[int]
    content_hash: str
    config_hash: str
    code_version: str
    created_at: datetime
    rows: dict[str, int]
    deleted: dict[str, int]
    kinds: dict[str, dict[str, int]]
    documents: int
    origins: list[Origin]


@dataclass(frozen=True, slots=True)
class BaseLineage:
    """A base: `snapshot` is the one whose documents taught it, None where it was not made here.

    `documents` counts those that are still kept.
    """

    name: str
    base_hash: str
    snapshot: int | None
    documents: int
    origins: list[Origin]


@dataclass(frozen=True, slots=True)
class EarlierTraining:
    """A training that a later one began with: its version if it was judged, and the snapshot it learned from."""

    version: str | None
    run_id: str
    snapshot: int


@dataclass(frozen=True, slots=True)
class VersionLineage:
    """A trained version down to its sources; `replayed` counts the everyday examples it also learned from.

    `replay` is the hash of the owner's file that these are from, empty for the bundled ones. Of the `train_rows` that
    the snapshot had then, `sampled` were within the training's caps; None where no report tells. `started_from` are the
    trainings whose adapters it goes back to, the nearest first.
    """

    model: str
    version: str | None
    run_id: str
    trained_at: datetime
    verdict: str
    adapter_hash: str
    replayed: int
    replay: str
    train_rows: int | None
    sampled: int | None
    base: BaseLineage
    snapshot: SnapshotLineage
    started_from: list[EarlierTraining]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The version that a training became, the key of its run in the ledger, and what became of it."""

    version: str | None
    run: str
    verdict: str


NOT_JUDGED = Judgement(None, "", "not judged")


def of_version(context: Context, version: str | None = None) -> VersionLineage:
    """What a version learned from, the champion where none is named; a `UserError` if there is none."""
    ledger, model, known = context.ledger, context.model, judgements(context)
    if version is None:
        run_id = find_champion(ledger, model).run_id
    else:
        run_id = next((i for i, judged in known.items() if judged.version == version), "")
    at, made = next(((at, t) for at, t in ledger.trainings(model) if t.run_id == run_id), (None, None))
    if made is None:
        there = ", ".join(sorted((judged.version for judged in known.values()), key=int))
        raise UserError(f"{model} has no version {version}; " + (f"there are {there}." if there else "there is none."))
    if not made.snapshot:
        raise UserError(f"{model}: that version is the base {made.base} itself, and has learned from no snapshot.")
    judged = known.get(run_id, NOT_JUDGED)
    report = next((r for r in ledger.reports(model, judged.run) if r.stage == "train"), None)
    return VersionLineage(
        model=model,
        version=judged.version,
        run_id=run_id,
        trained_at=at,
        verdict=judged.verdict,
        adapter_hash=made.adapter_hash,
        replayed=report.notes.get("replayed", 0) if report else 0,
        replay=report.notes.get(REPLAY, {}).get("sha256", "") if report else "",
        train_rows=report.rows_in if report else None,
        sampled=_sampled(report) if report else None,
        base=of_base(context, made.base, made.base_hash),
        snapshot=of_snapshot(context, made.snapshot),
        started_from=[
            EarlierTraining(known.get(t.run_id, NOT_JUDGED).version, t.run_id, t.snapshot)
            for t in ledger.ancestors(made)
        ],
    )


def judgements(context: Context) -> dict[str, Judgement]:
    """What became of every training that was judged, by its MLflow run."""
    moves = context.ledger.moves(context.model)
    champions = [move["detail"]["run_id"] for move in moves]
    words = dict.fromkeys(champions, "promoted earlier") | dict.fromkeys(champions[:1], "champion")
    return {
        d["detail"]["run_id"]: Judgement(
            version=d["detail"]["version"],
            run=d["run"],
            verdict=words.get(d["detail"]["run_id"], f"{d['outcome']} by its gates"),
        )
        for d in context.ledger.decisions(context.model, "gate")
    }


def of_snapshot(context: Context, number: int, splits: Collection[str] | None = None) -> SnapshotLineage:
    """What a snapshot, or these splits of it, holds and where it comes from.

    Raises UserError if there is none of that number.
    """
    snapshot, store = context.ledger.snapshot(context.model, number), context.store
    builds = context.ledger.builds(context.model, until_snapshot=number)
    events = store.read("membership", builds, ["example_id", "change", "split"])
    members = versions.members(newest_rows(events, "example_id"))
    if splits is not None:
        members = members.filter(among("split", splits))
    rows = store.read("examples", builds, ["example_id", "kind", "doc_ids"])
    rows = rows.filter(pc.is_in(rows["example_id"], members["example_id"].combine_chunks()))
    split = members["split"].take(pc.index_in(rows["example_id"], members["example_id"].combine_chunks()))
    gone = members.filter(pc.invert(pc.is_in(members["example_id"], rows["example_id"].combine_chunks())))
    kinds: dict[str, dict[str, int]] = {}
    for (kind, of), count in sorted(Counter(zip(rows["kind"].to_pylist(), split.to_pylist(), strict=True)).items()):
        kinds.setdefault(kind, {})[of] = count
    pairs = rests_on(rows)
    pairs = pairs.append_column("split", split.take(pairs["row"]))
    parents = [s.number for s in context.ledger.snapshots(context.model) if s.number < number]
    return SnapshotLineage(
        number=number,
        parents=parents[::-1],
        content_hash=snapshot.content_hash,
        config_hash=snapshot.config_hash,
        code_version=snapshot.code_version,
        created_at=snapshot.created_at,
        rows={s: n for s, n in snapshot.counts.items() if splits is None or s in splits},
        deleted=dict(sorted(Counter(gone["split"].to_pylist()).items())),
        kinds=kinds,
        documents=pc.count_distinct(pairs["doc_id"]).as_py(),
        origins=_origins(context, builds, pairs),
    )


def of_base(context: Context, folder: str, base_hash: str) -> BaseLineage:
    """What a base in a folder learned from, if it was made here."""
    known = next((b for b in context.ledger.bases(context.model) if b["base_hash"] == base_hash), None)
    if known is None or known["snapshot"] is None:
        return BaseLineage(Path(folder).name, base_hash, None, 0, [])
    builds = context.ledger.builds(context.model, until_snapshot=known["snapshot"])
    taught, _ = base_corpus(context, known["snapshot"], ["doc_id"])
    doc_ids = pa.array([row["doc_id"] for row in taught], pa.string())
    blank = pa.array([""] * len(doc_ids), pa.string())
    pairs = pa.table({"row": pa.array(range(len(doc_ids)), pa.int64()), "doc_id": doc_ids, "split": blank})
    origins = _origins(context, builds, pairs)
    return BaseLineage(Path(folder).name, base_hash, known["snapshot"], len(doc_ids), origins)


def rests_on(examples: pa.Table) -> pa.Table:
    """Pairs of (row, doc_id): the position of an example, and each document that it rests on."""
    doc_ids = examples["doc_ids"].combine_chunks()
    return pa.table({"row": pc.list_parent_indices(doc_ids), "doc_id": pc.list_flatten(doc_ids)})


def terms_of_documents(context: Context, builds: Sequence[str]) -> pa.Table:
    """Source, licence and consent of every document by the last of these builds that had it, also of what is gone."""
    rows = context.store.read("documents", builds, ["doc_id", "revision", *TERMS])
    return newest_rows(rows.filter(pc.not_equal(rows["revision"], "")), "doc_id")


def plain_lineage(
    lineage: SnapshotLineage,
    base: BaseLineage,
    sampled: int,
    *,
    replay: dict[str, Any] | None = None,
    start: TrainingRun | None = None,
    canaries: int = 0,
) -> dict[str, Any]:
    """What a training learns from, for places that are shown around: counts, terms and hashes alone.

    `sampled` of the train rows are within its caps; `replay` is the owner's file that it replays from, `start` the
    training whose adapter it begins with; `canaries` rest on no document and are among no rows.
    """
    return {
        "snapshot": lineage.number,
        "parent": lineage.parents[0] if lineage.parents else None,
        "content_hash": lineage.content_hash,
        "config_hash": lineage.config_hash,
        "code_version": lineage.code_version,
        "rows": lineage.rows,
        "sampled": sampled,
        "kinds": lineage.kinds,
        "documents": lineage.documents,
        "sources": [_plain_origin(origin) for origin in lineage.origins],
        "base": {
            "base_hash": base.base_hash,
            "snapshot": base.snapshot,
            "documents": base.documents,
            "sources": [_plain_origin(origin) for origin in base.origins],
        },
        "started_from": start and {"run": start.run_id, "snapshot": start.snapshot, "adapter": start.adapter_hash},
    } | {name: told for name, told in ((REPLAY, replay), (CANARIES, canaries)) if told}


def terms_learned(snapshots: Sequence[SnapshotLineage], base: BaseLineage) -> dict[str, str]:
    """The sources, licences and bases of consent that were learned from, as tags; one that is long is left out."""
    learned = [origin for one in snapshots for origin in one.origins if origin.rows.get("train")] + base.origins
    names = {f"{term}s": ", ".join(sorted({getattr(origin, term) for origin in learned})) for term in TERMS}
    return {name: value for name, value in names.items() if len(value) <= LONGEST_TAG}


def _plain_origin(origin: Origin) -> dict[str, Any]:
    told = {name: getattr(origin, name) for name in (*TERMS, "documents", "rows")}
    return told | {"collected": [at.date().isoformat() for at in origin.collected or ()]}


def _origins(context: Context, builds: Sequence[str], pairs: pa.Table) -> list[Origin]:
    """Documents, rows and times by terms, of (row, doc_id, split)."""
    terms = terms_of_documents(context, builds)
    custody = context.store.read("custody", builds, ["doc_id", "fetched_at"]).group_by("doc_id")
    times = custody.aggregate([("fetched_at", "min"), ("fetched_at", "max")])
    pairs = _look_up(pairs, terms, TERMS)
    for name in TERMS:  # of a row whose document is not there any more, say so instead of leaving it out
        column = pc.fill_null(pairs[name], "no longer kept")
        pairs = pairs.set_column(pairs.schema.get_field_index(name), name, column)
    pairs = _look_up(pairs, times, ["fetched_at_min", "fetched_at_max"])
    measured = [("doc_id", "count_distinct"), ("fetched_at_min", "min"), ("fetched_at_max", "max")]
    counted: dict[tuple[str, ...], dict[str, int]] = {}
    for row in pairs.group_by([*TERMS, "split"]).aggregate([("row", "count_distinct")]).to_pylist():
        by_split = counted.setdefault(tuple(row[name] for name in TERMS), {})
        by_split[row["split"]] = row["row_count_distinct"]
    return [
        Origin(
            **{name: row[name] for name in TERMS},
            documents=row["doc_id_count_distinct"],
            rows={s: n for s, n in sorted(counted[tuple(row[name] for name in TERMS)].items()) if s},
            collected=_span(row["fetched_at_min_min"], row["fetched_at_max_max"]),
            now=_terms_now(context, row),
        )
        for row in pairs.group_by(TERMS).aggregate(measured).sort_by([(n, "ascending") for n in TERMS]).to_pylist()
    ]


def _look_up(pairs: pa.Table, rows: pa.Table, columns: list[str]) -> pa.Table:
    """Pairs with columns of the row that has their doc_id, null where there is none."""
    at = pc.index_in(pairs["doc_id"], rows["doc_id"].combine_chunks())
    for name in columns:
        pairs = pairs.append_column(name, rows[name].combine_chunks().take(at.combine_chunks()))
    return pairs


def _span(first: datetime | None, last: datetime | None) -> tuple[datetime, datetime] | None:
    return (first, last) if first and last else None


def _terms_now(context: Context, row: dict[str, Any]) -> str:
    source = next((s for s in context.config.sources if s.name == row["source"]), None)
    if source is None:
        return "not in the settings"
    now = {name: getattr(source, name) for name in ("licence", "consent")}
    return ", ".join(f"{name} {value}" for name, value in now.items() if value != row[name])


def _sampled(report: StageReport) -> int:
    return report.rows_in - sum(n for reason, n in report.rejected.items() if reason.startswith(f"{SAMPLED_OUT}:"))
