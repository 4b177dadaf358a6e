"""A run's scores of single rows, each with its kind, label and source, in a file beside its adapter."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from sovereign_tasks.dataset.taxonomy import Taxonomy
from sovereign_tasks.records import EvalReport, Example
from sovereign_tasks.stages.context import Context
from sovereign_tasks.store import model_folder

_NAME = "evaluation.json"
Reports = dict[str, dict[str, EvalReport]]
"""By subject (candidate, base, champion) and dataset (holdout, general)."""


def with_slices(context: Context, report: EvalReport, examples: Sequence[Example]) -> EvalReport:
    """The report with the kind, the label and the source of every row, which is one of these examples."""
    taxonomy = Taxonomy(context.config.dataset.taxonomy, {s.name: s.kind for s in context.config.sources})
    known = {example.example_id: example for example in examples}
    rows = [known[example_id] for example_id in report.example_ids]
    slices = {
        "kind": [example.kind for example in rows],
        "label": [taxonomy.label(example) for example in rows],
        "source": [example.source for example in rows],
    }
    return replace(report, slices=slices)


def write_reports(context: Context, reports: Reports) -> None:
    """Keep a run's scores, whole or not at all; not those of what was erased while they were taken."""
    path = model_folder(context.model, "runs", context.run) / _NAME
    _write(path, _all_without(reports, context.ledger.tombstones(context.model)))
    kept = _all_without(_read(path), context.ledger.tombstones(context.model))  # erased between the two lines above
    _write(path, kept)


def read_reports(context: Context) -> Reports:
    """A run's scores."""
    return _read(model_folder(context.model, "runs", context.run) / _NAME)


def forget_scores(context: Context, example_ids: Collection[str]) -> int:
    """Remove the scores and the answers of these examples from every run's file; how many rows those were."""
    wanted, removed = {*example_ids}, 0
    for part in model_folder(context.model, "runs").glob(f"*/{Path(_NAME).stem}.part"):
        part.unlink(missing_ok=True)
    for path in sorted(model_folder(context.model, "runs").glob(f"*/{_NAME}")):
        reports = _read(path)
        kept = _all_without(reports, wanted)
        before, after = (sum(len(r.example_ids) for by in of.values() for r in by.values()) for of in (reports, kept))
        if after < before:
            _write(path, kept)
            removed += before - after
    return removed


def blank_answers(context: Context, run: str, subjects: Collection[str]) -> int:
    """Blank what these subjects answered in a run's file; how many answers those were."""
    path, blanked = model_folder(context.model, "runs", run) / _NAME, 0
    if not path.exists():
        return 0
    reports = _read(path)
    for subject in reports.keys() & subjects:
        for name, report in reports[subject].items():
            blanked += sum(map(bool, report.answers))
            reports[subject][name] = replace(report, answers=[""] * len(report.answers))
    if blanked:
        _write(path, reports)
    return blanked


def _all_without(reports: Reports, example_ids: set[str]) -> Reports:
    return {s: {name: _without(r, example_ids) for name, r in by.items()} for s, by in reports.items()}


def _without(report: EvalReport, example_ids: set[str]) -> EvalReport:
    stays = [i for i, example_id in enumerate(report.example_ids) if example_id not in example_ids]
    return EvalReport(
        report.subject,
        report.dataset,
        [report.example_ids[i] for i in stays],
        [report.groups[i] for i in stays],
        {metric: [values[i] for i in stays] for metric, values in report.scores.items()},
        [report.answers[i] for i in stays] if report.answers else [],
        {by: [names[i] for i in stays] for by, names in report.slices.items()},
    )


def _write(path: Path, reports: Reports) -> None:
    plain = {subject: {name: asdict(r) for name, r in by.items()} for subject, by in reports.items()}
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"at": datetime.now(UTC).isoformat(), "reports": plain}), encoding="utf-8")
    part.rename(path)


def _read(path: Path) -> Reports:
    plain = json.loads(path.read_text(encoding="utf-8"))["reports"]
    return {subject: {name: EvalReport(**r) for name, r in by.items()} for subject, by in plain.items()}
