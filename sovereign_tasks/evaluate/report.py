"""The page on which an owner reads why a version passed or was refused: one HTML file that needs nothing else.

It goes to where many can read it and stays there, so it holds ids and figures and no text of any row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from sovereign_tasks import gate_words
from sovereign_tasks.evaluate.gates import SMALLER_IS_BETTER, differences, find
from sovereign_tasks.evaluate.slices import slice_means
from sovereign_tasks.records import EvalReport, GateRow

NAME = "report.html"
SUBJECTS = ("base", "champion", "candidate")
BARS, EXTREMES = 21, 3
MOST_SLICES, MOST_GATES = 12, 40
MOST_NAME, MOST_TEXT = 80, 400  # characters
WIDTH = 320
"""Of a picture of an interval, in its own units."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A version that met its gates, by `rows`; `reports` are by subject and dataset, `facts` by what they are of.

    `needed` groups were to be held out.
    """

    model: str
    version: str
    rows: Sequence[GateRow]
    passed: bool
    reports: Mapping[str, Mapping[str, EvalReport]]
    facts: Mapping[str, str]
    needed: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Where a gate's figures lie, from 0 to WIDTH: what was measured and its interval, and where it should be."""

    point: float
    low: float | None
    high: float | None
    zero: float | None
    good: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Extreme:
    """A row on which candidate and reference are far apart."""

    row: str
    candidate: float
    reference: float
    difference: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How the differences of single rows are spread: bars from worst to best, of at most 100."""

    bars: list[float]
    edge: float
    better: int
    worse: int
    same: int
    wins: list[Extreme]
    losses: list[Extreme]


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice's rows and its mean for each subject, NaN where there is none."""

    name: str
    rows: int
    means: dict[str, float]


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate as the page shows it."""

    row: GateRow
    title: str
    asked: str
    verdict: str
    told: str
    meaning: str
    chances: str
    picture: Picture | None
    spread: Spread | None


def render(judged: Judged) -> str:
    """The page of a version."""
    concluded = gate_words.conclude(judged.version, judged.rows, passed=judged.passed, needed=judged.needed)
    gates = [_gate(row, judged) for row in judged.rows[:MOST_GATES]]
    measured = dict.fromkeys(gate.row.metric for gate in gates if gate.spread)
    slices = {metric: found for metric in measured if (found := _slices(metric, judged.reports))}
    return _template().render(
        judged=judged,
        concluded=concluded,
        gates=gates,
        more=len(judged.rows) - len(gates),
        slices=slices,
        less=SMALLER_IS_BETTER,
        nan=math.nan,
        subjects=[subject for subject in SUBJECTS if subject in judged.reports],
        rows={name: len(report.example_ids) for name, report in judged.reports.get("candidate", {}).items()},
    )


@cache
def _template() -> Template:
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: _short(value, MOST_TEXT) if isinstance(value, str) else value,
    )
    pages.filters |= {
        "amount": gate_words.amount,
        "signed": _signed,
        "short": _short,
        "noun": _noun,
        "capital": gate_words.capital,
    }
    return pages.get_template(NAME)


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + gate_words.amount(value)


def _short(text: str, most: int = MOST_NAME) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _noun(metric: str) -> str:
    return gate_words.METRICS[metric].noun if metric in gate_words.METRICS else metric.replace("_", " ")


def _gate(row: GateRow, judged: Judged) -> Gate:
    known = gate_words.METRICS.get(row.metric)
    return Gate(
        row=row,
        title=gate_words.capital(gate_words.noun(row)) + (f", beside the {row.against}" if row.against else ""),
        asked=gate_words.asked(row),
        verdict=gate_words.verdict(row, judged.rows),
        told=gate_words.explain(row),
        meaning=known.meaning if known else "",
        chances=_chances(row),
        picture=_picture(row),
        spread=_spread(row, judged.reports),
    )


def _chances(row: GateRow) -> str:
    """A loss as what it means: the chance that is given to each piece of the right answer."""
    losses = (row.candidate, row.reference)
    if not row.metric.endswith("nll") or not all(map(math.isfinite, losses)):
        return ""
    ours, theirs = (f"{math.exp(-loss):.1%}" for loss in losses)
    return f"It gives each next piece of the right answer a chance of about {ours}; the {row.against} {theirs}."


def _picture(row: GateRow) -> Picture | None:
    """None where nothing was measured, or there is nothing to draw."""
    if row.rule == "must":
        return None
    limit = row.rule == "at_most"
    if limit and not row.threshold:
        return None
    figures = [0.0, row.threshold] + ([row.candidate] if limit else [row.low, row.difference, row.high])
    if not all(map(math.isfinite, figures)):
        return None
    first, last = min(figures), max(figures)
    room = (last - first) * 0.12 or 0.5
    first, last = (first if limit else first - room), last + room

    def place(value: float) -> float:
        return round(WIDTH * (value - first) / (last - first), 1)

    bound = place(row.threshold)
    if limit:
        return Picture(place(row.candidate), None, None, None, (0.0, bound))
    return Picture(place(row.difference), place(row.low), place(row.high), place(0.0), (bound, float(WIDTH)))


def _spread(row: GateRow, reports: Mapping[str, Mapping[str, EvalReport]]) -> Spread | None:
    """None where candidate and reference were not measured on the same rows."""
    ours, theirs = (find(reports.get(who, {}), row.metric) for who in ("candidate", row.against))
    if row.rule not in ("better", "no_worse") or not ours or not theirs or ours.example_ids != theirs.example_ids:
        return None
    held = {at: d for at, d in differences(row.metric, ours, theirs).items() if math.isfinite(d)}
    if not held:
        return None
    sizes = sorted(map(abs, held.values()))
    edge = sizes[int(0.98 * (len(sizes) - 1))] or sizes[-1] or 1.0  # one far row should not press all others together
    counts = Counter(min(BARS - 1, max(0, int((d / edge + 1) / 2 * BARS))) for d in held.values())
    highest = max(counts.values())

    def extreme(at: int) -> Extreme:
        return Extreme(ours.example_ids[at], ours.scores[row.metric][at], theirs.scores[row.metric][at], held[at])

    order = sorted(held, key=lambda at: (held[at], ours.example_ids[at]))
    return Spread(
        bars=[round(100 * counts[bar] / highest, 1) for bar in range(BARS)],
        edge=edge,
        better=sum(d > 0 for d in held.values()),
        worse=sum(d < 0 for d in held.values()),
        same=sum(d == 0 for d in held.values()),
        wins=[extreme(at) for at in order[::-1][:EXTREMES] if held[at] > 0],
        losses=[extreme(at) for at in order[:EXTREMES] if held[at] < 0],
    )


def _slices(metric: str, reports: Mapping[str, Mapping[str, EvalReport]]) -> dict[str, list[Slice]]:
    """The largest slices of a metric by what they divide, each with the means of all subjects."""
    found = {who: find(reports.get(who, {}), metric) for who in SUBJECTS}
    ours = found["candidate"]
    if not ours:
        return {}
    means = {who: slice_means(report) for who, report in found.items() if report}
    slices: dict[str, list[Slice]] = {}
    for by, names in ours.slices.items():
        values = ours.scores[metric]
        counts = Counter(name for name, value in zip(names, values, strict=True) if value is not None)
        told = [
            Slice(name, rows, {who: of.get(by, {}).get(name, {}).get(metric, math.nan) for who, of in means.items()})
            for name, rows in counts.most_common()
            if metric in means["candidate"][by].get(name, {})
        ]
        if told:
            slices[by] = told[:MOST_SLICES]
    return slices
