"""A snapshot as a Hugging Face dataset folder, with its card and a Croissant description: held against what was
published while it is written, and remembered, so that what is erased later can be found there too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.config import PROJECT, config_hash
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.dataset.card import Card, detector_limits, write_card
from sovereign_tasks.dataset.croissant import describe
from sovereign_tasks.dataset.folder import COLUMNS, File, Parts, check_free, made_whole, unfinished
from sovereign_tasks.durable import after_write
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example, Snapshot
from sovereign_tasks.stages.context import Context, among
from sovereign_tasks.stages.lineage import of_snapshot, terms_of_documents
from sovereign_tasks.stages.sealing import check_files
from sovereign_tasks.stages.snapshots import check_rows, newest_labels, read_state
from sovereign_tasks.store import newest_rows

SPLITS = {"train": "train", "holdout": "test"}
SEALED = {"sealed": "sealed"}
"""What is written only when asked for: these rows decide on promotions, so no model may come to learn from them."""
_PERSONAL_DATA = PROJECT / "docs" / "personal-data.md"
_REJECTING = ("collect", "curate", "deduplicate", "examples", "validate")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the folder, rows by the split's name there, and rows by split that stayed behind."""

    folder: Path
    snapshot: int
    rows: dict[str, int]
    withheld: dict[str, int]


def export(context: Context, number: int | None, folder: Path, *, sealed: bool) -> Exported:
    """Write a snapshot, the newest where none is named, to a folder that is absent or complete.

    Raises UserError where the folder holds something, or a file or a row is not what was published.
    """
    ledger, model, folder = context.ledger, context.model, folder.expanduser().absolute()
    check_free(folder)
    snapshots = ledger.snapshots(model)
    if not snapshots:
        raise UserError(f"{model} has no snapshot to export; run `run {model}` first.")
    snapshot = snapshots[-1] if number is None else ledger.snapshot(model, number)
    splits = SPLITS | (SEALED if sealed else {})
    if not any(snapshot.counts.get(split) for split in splits):
        raise UserError(f"{model} snapshot {snapshot.number} has no rows in {' or '.join(splits)} to export.")
    check_files(context, ("examples", "membership", "documents"))
    # An erasure beside it would not find what is just being written.
    with (
        ledger.lease(f"publish/{model}", f"export {uuid4().hex}"),
        _recorded(context, folder, snapshot.number),
        made_whole(folder) as temporary,
    ):
        written = _write_rows(context, snapshot, splits, temporary)
        if not written.files:
            raise UserError(f"{model} snapshot {snapshot.number}: all of its rows were deleted for good since.")
        card = _card(context, snapshot, splits, written)
        (temporary / "README.md").write_text(write_card(card), encoding="utf-8")
        croissant = describe(
            f"{model}-{snapshot.number}",
            f"{context.config.description}. Snapshot {snapshot.number}, content {snapshot.content_hash}.",
            number=snapshot.number,
            creator=f"the owner of {model}",
            published=snapshot.created_at,
            address=f"sovereign://{model}/snapshot/{snapshot.number}",
            licences=card.licences,
            files=written.files,
        )
        (temporary / "croissant.json").write_text(json.dumps(croissant, indent=2) + "\n", encoding="utf-8")
    after_write()
    return Exported(folder, snapshot.number, card.rows, dict(card.withheld))


@contextmanager
def _recorded(context: Context, folder: Path, number: int) -> Iterator[None]:
    """Have the folder in the ledger before there is a row in it: an erasure looks there if this process is killed."""
    ledger, model = context.ledger, context.model
    is_known = any(export.folder == str(folder) for export in ledger.exports(model))
    ledger.record_export(model, str(folder), number)
    try:
        yield
    except BaseException:
        if not is_known and not unfinished(folder).exists():  # one that is known may have been moved elsewhere
            ledger.forget_export(model, str(folder))
        raise


@dataclass(frozen=True, slots=True)
class _Written:
    """The files by split, rows by language, and the documents that the rows rest on."""

    files: dict[str, list[File]]
    languages: dict[str, int]
    documents: set[str]


def _write_rows(context: Context, snapshot: Snapshot, splits: Mapping[str, str], folder: Path) -> _Written:
    """Write the rows in the order of the tables, each held against its digest."""
    builds = context.ledger.builds(context.model, until_snapshot=snapshot.number)
    state = read_state(context, snapshot, ["example_id", "change", "split", "digest", "dated"])
    rows = versions.members(state)
    columns = (rows[name].to_pylist() for name in ("example_id", "split", "dated"))
    labels = newest_labels(context)
    members = {i: (split, labels[i], dated) for i, split, dated in zip(*columns, strict=True)}
    known = terms_of_documents(context, builds).select(["doc_id", "licence", "consent"]).to_pydict()
    terms = dict(zip(known["doc_id"], zip(known["licence"], known["consent"], strict=True), strict=True))
    digests: dict[str, list[str]] = {}
    languages: Counter[str] = Counter()
    documents: set[str] = set()
    with ExitStack() as stack:
        parts = {there: Parts(folder, here) for there, here in splits.items()}
        for part in parts.values():
            stack.callback(part.abandon)
        for examples in _members_of(context, builds, members):
            fresh = [e for e in examples if e.example_id not in digests]
            digests |= {e.example_id: [versions.row_digest(e, members[e.example_id][0])] for e in fresh}
            for split, part in parts.items():
                own = [e for e in fresh if members[e.example_id][0] == split]
                languages.update(e.language for e in own)
                documents.update(doc_id for e in own for doc_id in e.doc_ids)
                part.write(pa.Table.from_pylist([_row(e, members[e.example_id], terms) for e in own], schema=COLUMNS))
        check_rows(context, snapshot, state, digests)
        files = {splits[split]: part.close() for split, part in parts.items()}
    return _Written({split: own for split, own in files.items() if own}, dict(languages.most_common()), documents)


def _members_of(context: Context, builds: list[str], members: Mapping[str, Any]) -> Iterator[list[Example]]:
    for part in context.store.scan("examples", builds, Example.schema.names):
        inside = pa.array([example_id in members for example_id in part["example_id"].to_pylist()], pa.bool_())
        yield Example.from_table(part.filter(inside))


def _row(
    example: Example, told: tuple[str, str, datetime | None], terms: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """A row of COLUMNS; several licences of one row are joined by semicolons."""
    _, label, dated = told
    of = {terms[doc_id] for doc_id in example.doc_ids if doc_id in terms}
    return {
        **{name: getattr(example, name) for name in ("messages", "kind", "source", "language", "doc_ids")},
        "example_id": example.example_id,
        "label": label,
        "dated": dated or example.dated,
        "licence": "; ".join(sorted({licence for licence, _ in of})),
        "consent": "; ".join(sorted({consent for _, consent in of})),
    }


def _card(context: Context, snapshot: Snapshot, splits: Mapping[str, str], written: _Written) -> Card:
    lineage = of_snapshot(context, snapshot.number, splits)
    builds = context.ledger.builds(context.model, until_snapshot=snapshot.number)
    erasures = {decision["run"] for decision in context.ledger.decisions(context.model, "erasure")}
    nights = [build_id for build_id in builds if build_id not in erasures]
    return Card(
        description=context.config.description.rstrip("."),
        snapshot=snapshot,
        files=written.files,
        splits=splits,
        withheld={split: count for split, count in snapshot.counts.items() if split not in splits},
        deleted=sum(lineage.deleted.values()),
        languages=written.languages,
        kinds=lineage.kinds,
        origins=[
            {
                **{name: getattr(o, name) for name in ("source", "licence", "consent", "documents", "rows")},
                "collected": [f"{at:%Y-%m-%d}" for at in o.collected or ()],
            }
            for o in lineage.origins
        ],
        nights=len(nights),
        stages=_stages(context, nights),
        replaced=_replaced(context, builds, written.documents),
        limits=_limits(context, snapshot),
    )


def _stages(context: Context, nights: list[str]) -> list[tuple[str, int, int, dict[str, int]]]:
    """What each stage took in, gave and left out, over these nights and all sources."""
    totals = {stage: (Counter(), Counter()) for stage in _REJECTING}
    for build_id in nights:
        for report in context.ledger.reports(context.model, build_id):
            if (stage := report.stage.partition(":")[0]) in totals:
                rows, rejected = totals[stage]
                rows.update(rows_in=report.rows_in, rows_out=report.rows_out)
                rejected.update(report.rejected)
    return [(stage, rows["rows_in"], rows["rows_out"], dict(left)) for stage, (rows, left) in totals.items()]


def _replaced(context: Context, builds: list[str], doc_ids: set[str]) -> dict[str, int]:
    """Pieces of personal data by class that were replaced in these documents."""
    rows = context.store.read("documents", builds, ["doc_id", "revision", "pii"])
    newest = newest_rows(rows.filter(pc.not_equal(rows["revision"], "")), "doc_id").filter(among("doc_id", doc_ids))
    counts: Counter[str] = Counter()
    for pii in newest["pii"].to_pylist():
        counts.update(json.loads(pii))
    return dict(counts.most_common())


def _limits(context: Context, snapshot: Snapshot) -> list[str]:
    """What a reader should not rely on, as far as the installation itself knows it."""
    config, personal = context.config, context.config.curation.personal_data
    names = "rules alone" if personal.names == "rules" else "rules and Presidio"
    limits = [
        f"Names of people are looked for by {names}; placeholders are {personal.placeholders}.",
        f"Texts that are alike below a similarity of {config.curation.near_duplicate:g} both stay.",
    ]
    if config_hash(config.domain, config.curation, config.dataset) != snapshot.config_hash:
        limits.append(
            "Settings of the domain, of curation or of the dataset were changed since this snapshot was published; the "
            "two lines above tell those of today."
        )
    try:
        return limits + detector_limits(_PERSONAL_DATA.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{_PERSONAL_DATA} is missing, which the card quotes; restore the project's files.") from None
