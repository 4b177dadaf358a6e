"""A night held against its suite: rows that fail go to quarantine, and a batch that fails stops the night."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.dataset.validate import PII_LEFT
from sovereign_tasks.records import Document, Example, Rejection
from sovereign_tasks.stages.accept import STAGE, hold
from sovereign_tasks.stages.context import Context, among, count_reasons, live_documents, open_context, timed
from sovereign_tasks.stages.parts import PartWriter, collected_state, staged_parts
from sovereign_tasks.store import model_folder

if TYPE_CHECKING:
    import pandas as pd

    from sovereign_tasks.dataset.suite import Batch, Volume

REMEMBERED = 90  # builds to look back for the usual night


def validate(night: dict[str, Any]) -> dict[str, Any]:
    """Hold the night against the model's Great Expectations suite; failing rows go to quarantine.

    Raises UserError when the batch fails in what nobody has accepted: nothing may be published then.
    """
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    if context.is_committed:
        return night
    store, builds = context.store, context.ledger.builds(model)
    with timed(context, STAGE) as figures:
        removed = set(store.staged(build_id, "removed")["doc_id"].to_pylist())
        live = live_documents(context, builds, ["source"])
        kept = {i for part in _tables(context, "kept", ["doc_id"]) for i in part["doc_id"].to_pylist()}
        fresh = _rests_on(_tables(context, "examples", ["example_id", "doc_ids"]))
        failing: dict[str, str] = {}
        if fresh or removed or _curated(context)[0]:
            failing, figures["notes"] = _run_suite(context, night, live, removed)
        broken = kept & failing.keys()
        events = pa.concat_tables(_tables(context, "events", ["example_id", "change"]))
        joining = events.filter(pc.field("change") == 1)["example_id"].to_pylist()
        older = set(joining) - fresh.keys()
        known = store.read("examples", builds if older else [], ["example_id", "doc_ids"])
        rests_on = _rests_on([known.filter(among("example_id", older))]) | fresh
        for example_id, doc_ids in rests_on.items():
            causes = sorted((failing[i] for i in broken & set(doc_ids)), key=lambda why: not why.endswith(PII_LEFT))
            if causes and (example_id not in failing or causes[0].endswith(PII_LEFT)):
                failing[example_id] = causes[0]
        rejections = _set_aside(context, failing, rests_on)
        dropped = len(failing.keys() & (kept | fresh.keys()))
        figures.update(
            rows_in=len(kept) + len(fresh),
            rows_out=len(kept) + len(fresh) - dropped,
            rejected=count_reasons(rejections),
        )
        gone = sorted(removed | _standing(live, broken))
        store.stage(build_id, "rejected-validate", Rejection.to_table(rejections))
        store.stage(build_id, "valid-removed", pa.table({"doc_id": pa.array(gone, pa.string())}))
    return night


def _tables(context: Context, name: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """What was handed on under a name; documents come in parts, and at least an empty one."""
    if name != "kept":
        yield context.store.staged(context.run, name, columns)
        return
    empty = Document.schema.empty_table()
    yield empty.select(columns) if columns else empty
    yield from staged_parts(context, name, columns)


def _run_suite(
    context: Context, night: dict[str, Any], live: pa.Table, removed: set[str]
) -> tuple[dict[str, str], dict[str, Any]]:
    """The failing rows by the expectation that each fails, and the notes of the stage's report."""
    from sovereign_tasks.dataset import suite
    from sovereign_tasks.dataset.validate import validate as run_suite

    frames = _derive(context)
    lost = removed - _deleted(context, night["sources"])

    def figures(failing: set[str]) -> list[suite.Figure]:
        if night.get("erased"):  # what a person may demand is not held up by the size of it
            return []
        return suite.figures(_describe(context, frames["documents"], failing, live, removed, lost), context.config)

    folder = model_folder(context.model, "validation")
    validated = run_suite(frames, figures, context.config, folder, context.run)
    return validated.failing, {
        "expectations": validated.evaluated,
        "data_docs": validated.data_docs,
        "accepted": hold(context, [asdict(failure) for failure in validated.failures], validated.data_docs),
        "volume": asdict(_measure_volume(frames["documents"], validated.failing, live)),
    }


def _derive(context: Context) -> dict[str, pd.DataFrame]:
    """What the suite looks at, derived part by part; only the columns' own frame where one of them is wrong."""
    import pandas as pd

    from sovereign_tasks.curate.recheck import recheck
    from sovereign_tasks.dataset import suite

    region, seen = context.config.curation.personal_data.region, set[int]()

    def count_pii(text: str) -> int:
        return len(recheck(text, region))

    names = {"documents": "kept", "examples": "examples"}
    columns = suite.compare_columns({kind: next(_tables(context, n)).schema for kind, n in names.items()})
    if not columns["type"].equals(columns["wanted"]):
        return {"columns": columns}
    documents = [suite.measure_documents(t, count_pii, seen) for t in _tables(context, "kept")]
    examples = [suite.measure_examples(t, count_pii) for t in _tables(context, "examples")]
    return {"columns": columns, "documents": pd.concat(documents), "examples": pd.concat(examples)}


def _describe(
    context: Context,
    documents: pd.DataFrame,
    failing: set[str],
    live: pa.Table,
    removed: set[str],
    lost: set[str],
) -> Batch:
    """The night in figures, without the rows that fail; `lost` is what goes though no author deleted it."""
    from sovereign_tasks.dataset import suite

    reports = {r.stage: r for r in context.ledger.reports(context.model, context.run)}
    compared = reports["deduplicate"]
    passing = {i: s for i, s in zip(documents["row_id"], documents["source"], strict=True) if i not in failing}
    broken = failing & set(documents["row_id"])
    stays = live.filter(~among("doc_id", removed | broken | passing.keys()))["source"].value_counts()
    after = Counter(passing.values()) + Counter({row["values"]: row["counts"] for row in stays.to_pylist()})
    curated, rejected = _curated(context)
    volumes = [m["volume"] for m in context.ledger.manifests(context.model, REMEMBERED) if m.get("volume")]
    return suite.Batch(
        curated=curated,
        rejected=rejected,
        compared=compared.rows_in - compared.rejected.get("unchanged", 0),
        copies=sum(n for reason, n in compared.rejected.items() if reason.endswith("duplicate")),
        kept=len(documents),
        equal=int(documents["equal"].sum()),
        before=live.num_rows,
        removed=len((lost | _standing(live, broken)) - passing.keys()),
        after=after,
        volume=_measure_volume(documents, failing, live),
        earlier=[suite.Volume(**volume) for volume in volumes],
    )


def _measure_volume(documents: pd.DataFrame, failing: Iterable[str], live: pa.Table) -> Volume:
    """The volume of documents that pass and were not there before, at sources of which something was."""
    from sovereign_tasks.dataset.suite import measure_volume

    new = ~documents["row_id"].isin({*failing, *_standing(live, documents["row_id"])})
    return measure_volume(documents[new & documents["source"].isin(live["source"].unique().to_pylist())])


def _standing(live: pa.Table, doc_ids: Iterable[str]) -> set[str]:
    """Which of these documents were there before."""
    return set(live.filter(among("doc_id", doc_ids))["doc_id"].to_pylist())


def _set_aside(context: Context, failing: Mapping[str, str], rests_on: Mapping[str, list[str]]) -> list[Rejection]:
    """Hand on what passes, part by part, and give what fails; its text only where no personal data is left in it."""
    rejections = {i: _rejection(i, failing[i], rests_on) for i in failing}
    passing = PartWriter(context, "valid-kept")
    for part in staged_parts(context, "kept"):
        fails = among("doc_id", failing)
        passing.write(part.filter(~fails))
        for d in Document.from_table(part.filter(fails)):
            rejections[d.doc_id] = _rejection(d.doc_id, failing[d.doc_id], rests_on, d.source, d.text)
    for name in ("examples", "events"):
        rows, fails = context.store.staged(context.run, name), among("example_id", failing)
        context.store.stage(context.run, f"valid-{name}", rows.filter(~fails))
        for e in Example.from_table(rows.filter(fails)) if name == "examples" else ():
            text = f"{e.question}\n\n{e.answer}"
            rejections[e.example_id] = _rejection(e.example_id, failing[e.example_id], rests_on, e.source, text)
    return [rejections[row_id] for row_id in sorted(rejections)]


def _rejection(
    row_id: str, measured: str, rests_on: Mapping[str, list[str]], source: str = "", text: str = ""
) -> Rejection:
    shown = "" if measured.endswith(PII_LEFT) else text
    return Rejection(STAGE, row_id, source, "expectation", measured, shown, rests_on.get(row_id, [row_id]))


def _deleted(context: Context, sources: list[str]) -> set[str]:
    """Documents that their authors deleted: however many those are, they go."""
    gone = [one for source in sources for one in collected_state(context, source)["gone"]]
    return {one["doc_id"] for one in gone if one["by_author"]}


def _curated(context: Context) -> tuple[int, int]:
    """How many items came to curation tonight, and how many of them it rejected."""
    reports = [r for r in context.ledger.reports(context.model, context.run) if r.stage.startswith("curate:")]
    return sum(r.rows_in for r in reports), sum(sum(r.rejected.values()) for r in reports)


def _rests_on(tables: Iterable[pa.Table]) -> dict[str, list[str]]:
    """The documents under every example."""
    pairs = (zip(t["example_id"].to_pylist(), t["doc_ids"].to_pylist(), strict=True) for t in tables)
    return {example_id: doc_ids for table in pairs for example_id, doc_ids in table}
