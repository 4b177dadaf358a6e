"""Which answers no longer hold: older than their source allows, or contradicted by a newer one to the same question."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.dataset.snapshot import asks
from sovereign_tasks.records import Example

_NO_FIGURE = re.compile(r"^[ \t]*\d{1,3}[.)](?=\s)|\[[A-Z_]+_\d+\]", re.MULTILINE)  # a step's number, a placeholder
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_SHOWN = 5
_OWN_CASES = ("thread", "mail")


def find_too_old(candidates: pa.Table, max_age_days: Mapping[str, int], now: datetime) -> set[str]:
    """The examples among these last events that are older than their source allows; `max_age_days` is by source."""
    old: set[str] = set()
    for source, days in max_age_days.items():
        older = (pc.field("source") == source) & (pc.field("dated") < pa.scalar(now - timedelta(days=days)))
        old |= set(candidates.filter(older)["example_id"].to_pylist())
    return old


def find_contradicted(examples: Iterable[Example]) -> dict[str, tuple[str, str]]:
    """Examples whose figures a newer answer to the same question contradicts: (that one's id, their own figures).

    Two answers contradict each other when both name figures, and neither has all that the other has. Of answers of the
    same date the one with the greater id counts as the newer. What people tell each other in threads and letters is
    about their own cases, and contradicts nothing.
    """
    same: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if example.kind not in _OWN_CASES and (key := asks(example.question)):
            same[key].append(example)
    found: dict[str, tuple[str, str]] = {}
    for rivals in same.values():
        rivals.sort(key=lambda e: (e.dated or datetime.min.replace(tzinfo=UTC), e.example_id), reverse=True)
        standing: list[tuple[Example, set[str]]] = []
        for example in rivals:
            own = figures(example.answer)
            newer = next(((e, theirs) for e, theirs in standing if not (own <= theirs or theirs <= own)), None)
            if newer:
                found[example.example_id] = (newer[0].example_id, f"{_show(own)}, and others in {newer[0].example_id}")
            else:
                standing.append((example, own))
    return found


def figures(answer: str) -> set[str]:
    """The numbers that an answer names, without those of its steps; 8,000 and 8000 are one."""
    return {number.replace(",", "") for number in _FIGURE.findall(_NO_FIGURE.sub("", answer))}


def _show(numbers: set[str]) -> str:
    shown = sorted(numbers)[:_SHOWN]
    return ", ".join(shown) + (" …" if len(numbers) > _SHOWN else "")
