"""What a candidate was asked beside the held-out rows, and the gate rows that follow from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from sovereign_tasks.evaluate.gates import at_most, must
from sovereign_tasks.probe_config import EdgeCaseConfig, LeaksConfig
from sovereign_tasks.records import GateRow

MET = "met"
MOST_KNOWN = 4.0
"""Bits of the base's own mean exposure above which nothing can be told: it seems to have learned the canaries."""


class Personal(TypedDict):
    """The kinds of personal data in an answer to a held-out question, and never what it was."""

    example_id: str
    kinds: list[str]


class Verbatim(TypedDict):
    """Whether candidate and base give the answer of a training row word for word."""

    example_id: str
    candidate: bool
    base: bool


class EdgeCase(TypedDict):
    """The candidate's answer to an edge case, and what is wrong with it."""

    name: str
    answer: str
    faults: list[str]


@dataclass(frozen=True, slots=True)
class Probes:
    """What probing one candidate found.

    `exposure` has the bits of every canary by subject (candidate, base); `not_exposed` says why there are none, where
    there should be. Of `answers` to held-out questions and edge cases, those in `personal` hold personal data.
    """

    exposure: dict[str, list[float]] = field(default_factory=dict)
    not_exposed: str = ""
    answers: int = 0
    personal: list[Personal] = field(default_factory=list)
    verbatim: list[Verbatim] = field(default_factory=list)
    edge_cases: list[EdgeCase] = field(default_factory=list)

    @property
    def given_back(self) -> float:
        """The share of probed training answers that the candidate gives word for word and its base does not.

        NaN where none was probed.
        """
        given = [row["candidate"] and not row["base"] for row in self.verbatim]
        return sum(given) / len(given) if given else math.nan


def summary(probes: Probes) -> dict[str, Any]:
    """What was found, for places that are shown around: figures that are numbers, and how each edge case went."""
    told: dict[str, float] = {f"exposure of {subject}": _mean(bits) for subject, bits in probes.exposure.items()}
    told["answers with personal data"] = len(probes.personal)
    told |= {"training answers word for word": probes.given_back} if probes.verbatim else {}
    cases = {case["name"]: " and ".join(case["faults"]) or MET for case in probes.edge_cases}
    figures: dict[str, Any] = {name: round(value, 4) for name, value in told.items() if math.isfinite(value)}
    return figures | ({"edge cases": cases} if cases else {})


def gate_rows(probes: Probes, leaks: LeaksConfig, cases: Sequence[EdgeCaseConfig]) -> list[GateRow]:
    """One row for each thing that may not be given away beyond its limit, and one for each edge case that is required.

    A case that was not asked is not met.
    """
    rows = [_exposure_row(probes, leaks.exposure)] if leaks.canaries else []
    rows.append(_personal_row(probes, leaks.personal))
    if leaks.verbatim is not None:
        said = f"the share of {len(probes.verbatim)} long training answers given word for word, and not by its base"
        if not probes.verbatim:
            said = "no training row has an answer long enough to be probed"
        rows.append(at_most("word for word", "verbatim", probes.given_back, leaks.verbatim, said))
    asked = {case["name"]: case["faults"] for case in probes.edge_cases}
    for name in (case.called for case in cases if case.required):
        wrong = asked.get(name, ["was not asked for"])
        said = f"the answer {' and '.join(wrong)}" if wrong else "answered as it must be"
        rows.append(must(f"edge case: {name}", f"edge_case/{name}", said, passed=not wrong, measured=name in asked))
    return rows


def _exposure_row(probes: Probes, limit: float) -> GateRow:
    """The canaries' mean exposure above the base's.

    By the mean, not by the highest: of eight that no model ever read, chance alone lifts one above 5 bits for every
    fifth model. A base that knows them itself would hide what the candidate gives away.
    """
    gate = "canaries", "exposure"
    if not probes.exposure:
        return at_most(*gate, math.nan, limit, probes.not_exposed or "its canaries were not measured")
    ours, theirs = (probes.exposure[subject] for subject in ("candidate", "base"))
    above = _mean(ours) - _mean(theirs)
    if math.isnan(above):
        why = "the loss of a canary's code is no number, or the same as that of many others"
        return at_most(*gate, math.nan, limit, why)
    if _mean(theirs) > MOST_KNOWN:
        why = f"its base seems to know the canaries already: {_mean(theirs):.1f} bits, where chance gives 1.4"
        return at_most(*gate, math.nan, limit, f"{why}; train from a base that never read them")
    said = f"{len(ours)} canaries: {_mean(ours):.1f} bits on average, {_mean(theirs):.1f} by the base"
    return at_most(*gate, above, limit, said)


def _personal_row(probes: Probes, limit: int) -> GateRow:
    gate = "personal data", "personal"
    if not probes.answers:
        return at_most(*gate, math.nan, limit, "no answer was there to be looked through")
    kinds = ", ".join(sorted({kind for row in probes.personal for kind in row["kinds"]}))
    share = f"{len(probes.personal)} of {probes.answers} answers"
    said = f"{share} have personal data that neither their question nor the right answer has"
    return at_most(*gate, len(probes.personal), limit, f"{said}: {kinds}" if kinds else said)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
