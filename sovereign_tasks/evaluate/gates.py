"""The gates between a candidate and promotion; every row is kept, and what can't be told does not pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sovereign_tasks.config import GateConfig
from sovereign_tasks.evaluate.compare import compare
from sovereign_tasks.records import EvalReport, GateRow

SMALLER_IS_BETTER = frozenset({"nll", "bits_per_byte", "general_nll", "refused"})
Reports = Mapping[str, EvalReport]


def judge(
    gates: Sequence[GateConfig],
    candidate: Reports,
    base: Reports,
    champion: Reports | None,
    *,
    champion_must_go: bool = False,
) -> list[GateRow]:
    """One row per gate, in order; reports are keyed by their dataset and must cover the same rows.

    Figures that don't exist, such as those of a champion where there is none, are NaN. A champion that must go, since
    it has learned from what was erased, is measured and holds nothing up.
    """
    references = {"base": base, "champion": champion}
    rows = [_row(gate, candidate, references[gate.better_than]) for gate in gates]
    if not champion_must_go:
        return rows
    waived = "the champion has learned from what was erased since, and holds nothing up"
    return [r if r.passed or r.against != "champion" else replace(r, passed=True, reason=waived) for r in rows]


def refuse_tainted(rows: int) -> GateRow:
    """The row of a candidate that has learned from rows which were erased since."""
    unknown, said = math.nan, f"learned from {rows} rows that were erased since"
    return GateRow("untainted", "erased_rows", "", rows, 0, -rows, unknown, unknown, 0, passed=False, reason=said)


def passed(rows: Sequence[GateRow]) -> bool:
    """Whether there are rows and all of them passed."""
    return bool(rows) and all(row.passed for row in rows)


def _row(gate: GateConfig, candidate: Reports, reference: Reports | None) -> GateRow:
    ours = _find(candidate, gate.metric)
    mean = ours.mean(gate.metric) if ours else math.nan
    if reference is None:
        return _decide(gate, mean, math.nan, math.nan, math.nan, math.nan, passed=True, reason="no champion yet")
    theirs = _find(reference, gate.metric)
    if not ours or not theirs:
        side = "candidate" if not ours else gate.better_than
        return _refuse(gate, mean, f"{gate.metric} of the {side} was not measured")
    if ours.example_ids != theirs.example_ids:
        return _refuse(gate, mean, f"candidate and {gate.better_than} were measured on different rows")
    sign = -1.0 if gate.metric in SMALLER_IS_BETTER else 1.0
    pairs = list(zip(ours.scores[gate.metric], theirs.scores[gate.metric], ours.groups, strict=True))
    if any((a is None) != (b is None) for a, b, _ in pairs):
        return _refuse(gate, mean, f"{gate.metric} covers other rows of the candidate than of the {gate.better_than}")
    held = [(sign * (a - b), group) for a, b, group in pairs if a is not None]
    result = compare([difference for difference, _ in held], [group for _, group in held])
    good = not result.problem and result.low > gate.by
    reason = result.problem or (
        f"interval [{result.low:.4f}, {result.high:.4f}] over {result.rows} rows in {result.groups} groups "
        f"{'clears' if good else 'does not clear'} {gate.by:g}"
    )
    return _decide(
        gate,
        mean,
        theirs.mean(gate.metric),
        result.difference,
        result.low,
        result.high,
        passed=good,
        reason=reason,
    )


def _find(reports: Reports, metric: str) -> EvalReport | None:
    return next((r for r in reports.values() if r.scores.get(metric)), None)


def _refuse(gate: GateConfig, mean: float, reason: str) -> GateRow:
    return _decide(gate, mean, math.nan, math.nan, math.nan, math.nan, passed=False, reason=reason)


def _decide(
    gate: GateConfig,
    candidate: float,
    reference: float,
    difference: float,
    low: float,
    high: float,
    *,
    passed: bool,
    reason: str,
) -> GateRow:
    return GateRow(
        gate=f"{gate.metric} against {gate.better_than}",
        metric=gate.metric,
        against=gate.better_than,
        candidate=candidate,
        reference=reference,
        difference=difference,
        low=low,
        high=high,
        threshold=gate.by,
        passed=passed,
        reason=reason,
    )
