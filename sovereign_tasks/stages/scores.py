"""A run's scores of single rows, each with its kind, label and source, in a file beside its adapter."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from sovereign_tasks.dataset.taxonomy import Taxonomy
from sovereign_tasks.records import EvalReport, Example
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.run_files import forget, keep, read_json, run_file, write_json

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
    keep(context, _NAME, lambda erased: _pack(_all_without(reports, erased)))


def read_reports(context: Context) -> Reports:
    """A run's scores."""
    return _unpack(read_json(run_file(context, _NAME)))


def forget_scores(context: Context, example_ids: Collection[str]) -> int:
    """Remove the scores and the answers of these examples from every run's file; how many rows those were."""
    wanted = {*example_ids}

    def drop(plain: Any) -> tuple[Any, int]:
        reports = _unpack(plain)
        kept = _all_without(reports, wanted)
        return _pack(kept), _rows(reports) - _rows(kept)

    return forget(context, _NAME, drop)


def blank_answers(context: Context, run: str, subjects: Collection[str]) -> int:
    """Blank what these subjects answered in a run's file; how many answers those were."""
    path, blanked = run_file(context, _NAME, run), 0
    if not path.exists():
        return 0
    reports = _unpack(read_json(path))
    for subject in reports.keys() & subjects:
        for name, report in reports[subject].items():
            blanked += sum(map(bool, report.answers))
            reports[subject][name] = replace(report, answers=[""] * len(report.answers))
    if blanked:
        write_json(path, _pack(reports))
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


def _rows(reports: Reports) -> int:
    return sum(len(report.example_ids) for by in reports.values() for report in by.values())


def _pack(reports: Reports) -> Any:
    plain = {subject: {name: asdict(r) for name, r in by.items()} for subject, by in reports.items()}
    return {"at": datetime.now(UTC).isoformat(), "reports": plain}


def _unpack(plain: Any) -> Reports:
    return {subject: {name: EvalReport(**r) for name, r in by.items()} for subject, by in plain["reports"].items()}
