"""What a person asks to have erased, from the preview to the certificate.

An erasure is a build without sources: the documents go as what their authors deleted does, in one transaction, and
what it owes is carried out after it. What lies beside the tables follows: scores of single rows, exports, log lines.
A request is sealed in the ledger until all of that is done; a try that was cut off is gone on with.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.dataset.folder import unfinished
from sovereign_tasks.errors import UserError
from sovereign_tasks.stages import assemble, select, validate
from sovereign_tasks.stages.base import unknown_bases
from sovereign_tasks.stages.commit import examples_on
from sovereign_tasks.stages.context import Context, among, open_context, run_key, timed
from sovereign_tasks.stages.forgetting import forget_findings
from sovereign_tasks.stages.people import IN_WORDS, Line, find_items, locate, words_pattern
from sovereign_tasks.stages.publish import publish
from sovereign_tasks.stages.snapshots import read_state
from sovereign_tasks.stages.taints import champion_taint, find_taints
from sovereign_tasks.stages.tombstones import ERASED
from sovereign_tasks.stages.weights import unfinished_trainings
from sovereign_tasks.store import state_folder

STAGE = "erase"


@dataclass(frozen=True)
class Preview:
    """What an erasure would touch; `sources` counts documents, `rows` those of tables, `models` rows by MLflow run."""

    documents: list[str]
    sources: dict[str, int]
    rows: dict[str, int]
    examples: int
    snapshots: list[int]
    models: dict[str, int]


def preview(context: Context, request: Sequence[Line]) -> Preview:
    """Find what a request concerns, and touch nothing."""
    doc_ids = list(locate(context, request))
    builds, store = context.ledger.builds(context.model), context.store
    wanted = among("doc_id", doc_ids)
    rows, sources = {}, {}
    for table in ("raw", "custody", "cleaned", "documents"):
        found = store.read(table, builds, ["doc_id", "source"]).filter(wanted)
        rows[table] = found.num_rows
        sources |= dict(zip(found["doc_id"].to_pylist(), found["source"].to_pylist(), strict=True))
    examples = examples_on(context, builds, set(doc_ids))
    reached = []
    for snapshot in context.ledger.snapshots(context.model):
        members = versions.members(read_state(context, snapshot, ["example_id", "change"]))
        if members.filter(among("example_id", examples)).num_rows:
            reached.append(snapshot.number)
    models = find_taints(context, doc_ids, examples)
    counted = dict(sorted(Counter(filter(None, (sources[i] for i in doc_ids if i in sources))).items()))
    return Preview(doc_ids, counted, rows, len(examples), reached, models)


def ask(context: Context, request: list[Line]) -> str:
    """Seal a request in the ledger, unless it is there, and give its id; UserError where it concerns nothing."""
    if not locate(context, request):
        raise UserError(f"{context.model} has nothing that the request concerns; nothing was asked.")
    for known in context.ledger.open_requests(context.model):
        if context.ledger.request(context.model, known) == request:
            return known
    return context.ledger.open_request(context.model, request)


def erase(model: str, request: str) -> dict[str, Any]:
    """Carry out a request, and give its certificate; one that is done already is not done again."""
    context = open_context(model, run_key("erase", model, request))
    if done := context.ledger.decisions(model, "erasure", context.run):
        context.ledger.close_request(model, request)
        return done[0]["detail"]
    lines = context.ledger.request(model, request)
    if lines is None:
        raise UserError(f"{model} has no open request {request}; `erase {model}` opens one.")
    with context.ledger.lease(f"erase/{model}", context.run), timed(context, STAGE) as figures:
        _remove(context, lines)
        purged = context.ledger.manifest(model, context.run)["purged"]
        certificate = _certify(context, lines, purged)
        figures.update(rows_in=len(purged["documents"]), rows_out=0, notes={"examples": len(purged["examples"])})
        reason = f"{len(purged['documents'])} documents and {len(purged['examples'])} examples were erased on request"
        context.ledger.decide(model, "erasure", context.run, "erased", reason, **certificate)
        context.ledger.close_request(model, request)
    return certificate


def _remove(context: Context, lines: list[Line]) -> None:
    """Publish a build in which all that the request concerns is gone, and carry out what that owes."""
    night = {"model": context.model, "build_id": context.run, "sources": [], "failed": {}, "erased": True}
    if not context.is_committed:
        night["withdrawn"] = [value for kind, value in lines if kind == "source"]
        for source in night["withdrawn"]:  # no later night collects from it
            context.ledger.decide(context.model, "withdrawal", source, "withdrawn", "its consent was withdrawn")
        night["parent"] = context.ledger.sequence(context.model)
        _decide(context, lines, night)
    publish(night)


def _decide(context: Context, lines: list[Line], night: dict[str, Any]) -> None:
    found = locate(context, lines)
    known = find_items(context, found)
    unknown = sorted(found.keys() - {item["doc_id"] for item in known})
    others = [{"doc_id": doc_id, "source": "", "address": "", "item": ""} for doc_id in unknown]
    context.store.clear_staging()
    context.store.stage(context.run, "erased", pa.Table.from_pylist([*known, *others], schema=ERASED))
    validate.validate(assemble.derive(select.settle(night, found.keys())))


def _certify(context: Context, lines: list[Line], purged: dict[str, list[str]]) -> dict[str, Any]:
    """Remove what lies beside the tables, and say what was done; the certificate holds no personal data."""
    model, ledger = context.model, context.ledger
    with ledger.lease(f"publish/{model}", context.run):  # an export that runs is not touched
        gone, kept = _drop_exports(context)
    taints = ledger.taints(model)
    tainted = sorted({t.run_id for _, t in ledger.trainings(model) if {t.run_id, t.base_hash} & taints.keys()})
    snapshots = ledger.snapshots(model)
    return {
        "request": context.run,
        "asked_by": sorted({kind for kind, _ in lines}),
        "documents": len(purged["documents"]),
        "examples": len(purged["examples"]),
        "scores": forget_findings(context, purged["examples"]),
        "log_lines": _drop_log_lines([value for kind, value in lines if kind in (*IN_WORDS, "url")]),
        "unfinished_trainings": _drop_unfinished(context),
        "exports_removed": gone,
        "copies_elsewhere": kept,
        "trainings_tainted": tainted,
        "newest_snapshot": snapshots[-1].number if snapshots else None,
        "champion_tainted": champion_taint(context) is not None,
        "left_to_you": "backups of the state folder and of the tables, and the copies named above"
        f"{_own_file(context)}; a champion that is tainted answers until another is promoted",
    }


def _own_file(context: Context) -> str:
    """That the owner's chats were not looked into, where there are any: they come by no source, and have no ids."""
    return ", and the file of training.replay, which was not looked into" if context.config.training.replay else ""


def _drop_exports(context: Context) -> tuple[int, list[str]]:
    """Remove exports below the state folder, and what killed ones left there.

    Those elsewhere are named, since they are not ours to touch.
    """
    removed, elsewhere = 0, []
    for export in context.ledger.exports(context.model):
        folder = Path(export.folder)
        if folder.is_relative_to(state_folder()):
            copies = [path for path in (folder, unfinished(folder)) if path.exists()]
            for path in copies:
                shutil.rmtree(path, ignore_errors=True)
            removed += len(copies)
        else:
            elsewhere.append(f"the export of snapshot {export.snapshot} of {export.at:%Y-%m-%d}")
    return removed, elsewhere


def _drop_unfinished(context: Context) -> int:
    """Remove what killed trainings left of weights; one that runs now ends without promotion, and removes its own.

    A base that is being made just now is begun anew.
    """
    left = unknown_bases(context) + unfinished_trainings(context)
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def _drop_log_lines(values: list[str]) -> int:
    """Take the lines out of the logs below the state folder that hold any of these words; how many those were."""
    patterns, dropped = [words_pattern(value) for value in values], 0
    airflow = Path(os.environ.get("AIRFLOW_HOME", state_folder() / "airflow"))
    logs = {path for folder in (state_folder(), airflow / "logs") for path in folder.rglob("*.log*") if path.is_file()}
    for path in sorted(logs) if patterns else ():
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True)
        kept = [line for line in lines if not any(pattern.search(line) for pattern in patterns)]
        if len(kept) < len(lines):
            # Written in place: a component that has the file open goes on writing to it.
            with path.open("r+", encoding="utf-8", errors="surrogateescape") as file:
                file.write("".join(kept))
                file.truncate()
            dropped += len(lines) - len(kept)
    return dropped
