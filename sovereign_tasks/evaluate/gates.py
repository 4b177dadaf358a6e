"""The gates between a candidate and promotion; every row is kept, and what can't be told does not pass.

Where all must pass, each is tested at the full level: a bad candidate that slips through one meets the next, so no
correction is due (intersection-union, Berger 1982). Where one of several is enough, Holm's correction is: the first
must clear a bar of ALPHA divided by their number.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sovereign_tasks.evaluate.compare import ALPHA, Comparison, compare, may_lose
from sovereign_tasks.evaluate.tasks import TASK
from sovereign_tasks.gates_config import LEAST_GROUPS, GateConfig
from sovereign_tasks.records import EvalReport, GateRow, failed

SMALLER_IS_BETTER = frozenset({"nll", "bits_per_byte", "general_nll", "refused"})
_YES_OR_NO = frozenset({"refused", "judge"})
Reports = Mapping[str, EvalReport]
LEAST_LOSS = 0.01
"""What a candidate may always lose against a champion that has to go, in a metric's own units."""


def judge(
    gates: Sequence[GateConfig],
    candidate: Reports,
    base: Reports,
    champion: Reports | None,
    *,
    min_groups: int = LEAST_GROUPS,
    champion_margin: float | None = None,
) -> list[GateRow]:
    """One row per gate, in order; reports are keyed by their dataset and must cover the same rows.

    `min_groups` of the holdout are needed. Figures that don't exist, such as those of a champion where there is none,
    are NaN. A `champion_margin` is given where the champion must go, since it has learned from what was erased: what
    was to be better must then be no worse by more than that share of the champion's own figure.
    """
    if champion and champion_margin is not None:
        gates = _ease(gates, champion, champion_margin)
    references = {"base": base, "champion": champion}
    held = [_Gate(gate, candidate, references[gate.against], min_groups) for gate in gates]
    return [gate.row(alpha) for gate, alpha in zip(held, _levels(held), strict=True)]


def refuse_tainted(rows: int) -> GateRow:
    """The row of a candidate that has learned from rows which were erased since."""
    return at_most("untainted", "erased_rows", rows, 0, f"learned from {rows} rows that were erased since")


def at_most(gate: str, metric: str, value: float, limit: float, reason: str) -> GateRow:
    """The row of a figure of the candidate alone, which passes up to a limit; one that is no number does not."""
    nothing = math.nan
    good = value <= limit
    row = GateRow(gate, metric, "", value, nothing, nothing, nothing, nothing, limit, passed=good, reason=reason)
    return replace(row, rule="at_most")


def must(gate: str, metric: str, reason: str, *, passed: bool, measured: bool = True) -> GateRow:
    """The row of what the candidate must do, and did or did not; or was never asked to."""
    nothing = math.nan
    done = float(passed) if measured else nothing
    row = GateRow(gate, metric, "", done, nothing, nothing, nothing, nothing, 1, passed=passed, reason=reason)
    return replace(row, rule="must")


def passed(rows: Sequence[GateRow]) -> bool:
    """Whether there are rows and all of them passed; of those of which one is enough, one."""
    return bool(rows) and not failed(rows)


class _Gate:
    """A gate with what was measured for it, to be decided at one level or another."""

    def __init__(self, gate: GateConfig, candidate: Reports, reference: Reports | None, min_groups: int) -> None:
        self.gate, self.pairs = gate, ([], [])
        self.mean = self.other = math.nan
        self.fault, self.no_reference = "", reference is None
        ours = find(candidate, gate.metric)
        self.mean = ours.mean(gate.metric) if ours else math.nan
        if reference is None:
            return
        theirs = find(reference, gate.metric)
        if not ours or not theirs:
            self.fault = f"{gate.metric} of the {'candidate' if not ours else gate.against} was not measured"
            return
        if ours.example_ids != theirs.example_ids:
            self.fault = f"candidate and {gate.against} were measured on different rows"
            return
        pairs = list(zip(ours.scores[gate.metric], theirs.scores[gate.metric], strict=True))
        if any((a is None) != (b is None) for a, b in pairs):
            self.fault = f"{gate.metric} covers other rows of the candidate than of the {gate.against}"
            return
        held = differences(gate.metric, ours, theirs)
        self.pairs = list(held.values()), [ours.groups[at] for at in held]
        self.other = theirs.mean(gate.metric)
        self.min_groups = min_groups if ours.dataset == "holdout" else LEAST_GROUPS

    def compare(self, alpha: float) -> Comparison | None:
        """The comparison at a level; None where there is nothing to compare."""
        if self.fault or self.no_reference:
            return None
        whole = _is_yes_or_no(self.gate.metric)
        return compare(*self.pairs, alpha=alpha, min_groups=self.min_groups, yes_or_no=whole)

    def clears(self, alpha: float) -> bool:
        """Whether the interval at a level lies above the bound."""
        result = self.compare(alpha)
        return result is not None and not result.problem and result.low > self.gate.bound

    def row(self, alpha: float) -> GateRow:
        """The verdict at a level."""
        gate, result = self.gate, self.compare(alpha)
        difference = low = high = math.nan
        rows = groups = 0
        if result is None:
            good, reason = self.no_reference, self.fault or "no champion yet"
        else:
            difference, low, high = result.difference, result.low, result.high
            rows, groups = result.rows, result.groups
            good = not result.problem and low > gate.bound
            reason = result.problem or (
                f"interval [{low:.4f}, {high:.4f}] over {rows} rows in {groups} groups "
                f"{'clears' if good else 'does not clear'} {gate.bound:g}"
            )
        return GateRow(
            gate=f"{gate.metric} {'against' if gate.better_than else 'no worse than'} {gate.against}",
            metric=gate.metric,
            against=gate.against,
            candidate=self.mean,
            reference=self.other,
            difference=difference,
            low=low,
            high=high,
            threshold=gate.bound,
            passed=good,
            reason=reason,
            rule="better" if gate.better_than else "no_worse",
            one_of=gate.one_of,
            rows=rows,
            groups=groups,
            undecided=result is not None and result.few,
        )


def _ease(gates: Sequence[GateConfig], champion: Reports, margin: float) -> list[GateConfig]:
    """The gates with none that asks for proof of being better than the champion; of two alike the stricter."""
    eased: dict[tuple[str, str, bool, str], GateConfig] = {}
    for gate in gates:
        report = find(champion, gate.metric)
        if gate.better_than == "champion" and report:
            # A judge's figure of the champion is against this very candidate; of any other, zero leaves no room at all.
            loss = margin if gate.metric == "judge" else margin * abs(report.mean(gate.metric))
            unseen = may_lose(len({*report.groups})) if _is_yes_or_no(gate.metric) else 0.0
            loss = max(loss, unseen + LEAST_LOSS)
            gate = gate.model_copy(update={"better_than": None, "no_worse_than": "champion", "by": loss})
        rule = (gate.metric, gate.against, gate.better_than is None, gate.one_of)
        if rule not in eased or gate.by < eased[rule].by:
            eased[rule] = gate
    return list(eased.values())


def _levels(gates: Sequence[_Gate]) -> list[float]:
    """The level of each gate: ALPHA, or Holm's step of those of which one is enough.

    Of m gates the first is held to ALPHA / m; with each that clears its bar, the bar of those that are left is lower.
    """
    levels = [ALPHA] * len(gates)
    together: defaultdict[str, list[int]] = defaultdict(list)
    for at, one in enumerate(gates):
        if one.gate.one_of:
            together[one.gate.one_of].append(at)
    for members in together.values():
        left = list(members)
        while left:
            step = ALPHA / len(left)
            cleared = [at for at in left if gates[at].clears(step)]
            for at in cleared or left:
                levels[at] = step
            if not cleared:
                break
            left = [at for at in left if at not in cleared]
    return levels


def _is_yes_or_no(metric: str) -> bool:
    return metric in _YES_OR_NO or metric.startswith(TASK)


def differences(metric: str, ours: EvalReport, theirs: EvalReport) -> dict[int, float]:
    """How much better we are, by the position of every row that a metric applies to for both."""
    sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
    pairs = enumerate(zip(ours.scores[metric], theirs.scores[metric], strict=True))
    return {at: sign * (a - b) for at, (a, b) in pairs if a is not None and b is not None}


def find(reports: Reports, metric: str) -> EvalReport | None:
    """The report that has a metric, or None."""
    return next((r for r in reports.values() if metric in r.scores), None)
