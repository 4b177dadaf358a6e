"""Scores as they are read: means by kind, label, source and skill, and single rows of all models side by side."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sovereign_tasks.records import EvalReport

LEAST_ROWS = 10
"""Of a metric in a slice, at least: a mean of fewer says little."""
Means = dict[str, dict[str, dict[str, float]]]
"""By what the rows are divided by, the slice's name, and the metric."""


def slice_means(report: EvalReport) -> Means:
    """The mean of every metric over the rows of each slice, where it is told of enough of them."""
    means: Means = {}
    for by, names in report.slices.items():
        found: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for metric, values in report.scores.items():
            held: defaultdict[str, list[float]] = defaultdict(list)
            for name, value in zip(names, values, strict=True):
                if value is not None:
                    held[name].append(value)
            for name, of in held.items():
                if len(of) >= LEAST_ROWS and math.isfinite(mean := sum(of) / len(of)):
                    found[name][metric] = round(mean, 4)
        means[by] = {name: found[name] for name in sorted(found)}
    return means


def skill_means(report: EvalReport, base: EvalReport) -> Means:
    """The means of each skill, and `general_lost`: by how much its loss is above the base's on the same rows."""
    ours, theirs = (dict(zip(r.example_ids, r.scores["general_nll"], strict=True)) for r in (report, base))
    lost = [ours[row] - theirs.get(row, math.nan) for row in report.example_ids]
    return slice_means(replace(report, scores=report.scores | {"general_lost": lost}))


def table_of(reports: Mapping[str, Mapping[str, EvalReport]]) -> dict[str, list[Any]]:
    """All subjects' scores joined by row, as columns and data: ids, slices and figures, and no text of any row.

    `reports` are by subject and dataset. A figure that there is not, or that is no number, is None.
    """
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for subject, by_dataset in reports.items():
        for dataset, report in by_dataset.items():
            for i, example_id in enumerate(report.example_ids):
                cell = cells.setdefault((dataset, example_id), {"dataset": dataset, "example_id": example_id})
                cell |= {"group": report.groups[i]} | {by: names[i] for by, names in report.slices.items()}
                cell |= {f"{metric}/{subject}": _finite(values[i]) for metric, values in report.scores.items()}
    columns = list(dict.fromkeys(name for cell in cells.values() for name in cell))
    columns.sort(key=lambda name: ("/" in name, name.partition("/")[0] if "/" in name else ""))  # by metric
    return {"columns": columns, "data": [[cell.get(name) for name in columns] for cell in cells.values()]}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
