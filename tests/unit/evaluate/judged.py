"""Versions that met their gates, made up: scores by a seed, so that one is better, one by luck, one on too few rows."""

from __future__ import annotations

from random import Random

from sovereign_tasks.evaluate.gates import at_most, judge, passed
from sovereign_tasks.evaluate.report import Judged
from sovereign_tasks.gates_config import DEFAULT_GATES, GateConfig
from sovereign_tasks.records import EvalReport, GateRow

NEEDED = 100
GATES = [
    *DEFAULT_GATES,
    GateConfig(metric="facts", better_than="champion", one_of="answers"),
    GateConfig(metric="nll", no_worse_than="champion", by=0.1, one_of="answers"),
]
LEAK = at_most("canaries", "exposure", 9.3, 5, "canaries are remembered by 9.3 bits more than by the base")
HELD = at_most("canaries", "exposure", 0.8, 5, "canaries are remembered by 0.8 bits more than by the base")


def scored(subject: str, seed: int, *, n: int = 150, groups: int = 150, **means: float) -> dict[str, EvalReport]:
    """Reports on n held-out rows in groups and 120 everyday ones; what is hard is so for all."""
    shared, own = Random(1), Random(seed)
    ids = [f"{shared.getrandbits(128):032x}" for _ in range(n)]
    hard = [shared.gauss(0, 0.5) for _ in range(n)]
    scores = {
        "nll": [means["nll"] + h + own.gauss(0, 0.25) for h in hard],
        "question_gain": [means["question_gain"] + own.gauss(0, 0.2) for _ in hard],
        "facts": [None if i % 3 == 0 else float(own.random() < means["facts"]) for i in range(n)],
    }
    choices = {"kind": ["faq", "howto"], "label": ["core/processes", "costs"], "source": ["almanac", "forum"]}
    slices = {by: [shared.choice(names) for _ in ids] for by, names in choices.items()}
    general = [f"everyday-{i}" for i in range(120)]
    lost = {"general_nll": [means["general_nll"] + own.gauss(0, 0.1) for _ in general]}
    return {
        "holdout": EvalReport(subject, "holdout", ids, [f"g{i % groups}" for i in range(n)], scores, [], slices),
        "general": EvalReport(subject, "general", general, general, lost),
    }


def version(
    *, n: int = 150, groups: int = 150, champion: bool = True, extra: tuple[GateRow, ...] = (), **means: float
) -> Judged:
    """A version that met GATES against a base and, unless told not to, a champion."""
    size = {"n": n, "groups": groups}
    ours = {"nll": 0.5, "question_gain": 0.9, "facts": 0.85, "general_nll": 1.0} | means
    base = {"nll": 2.2, "question_gain": 0.05, "facts": 0.1, "general_nll": 1.0}
    theirs = {"nll": 0.75, "question_gain": 0.7, "facts": 0.6, "general_nll": 1.0}
    reports = {"candidate": scored("candidate", 11, **size, **ours), "base": scored("base", 12, **size, **base)}
    if champion:
        reports["champion"] = scored("champion", 13, **size, **theirs)
    rows = judge(GATES, reports["candidate"], reports["base"], reports.get("champion"), min_groups=NEEDED)
    rows += extra
    facts = {"Snapshot": "2: 788 train, 258 holdout", "Sources": "almanac 722, forum 50", "Settings": "a1b2c3d4e5f6"}
    return Judged("roofing", "7", rows, passed(rows), reports, facts, NEEDED)


def cases() -> dict[str, Judged]:
    """One version of every kind that an owner may have to read about."""
    return {
        "promoted": version(extra=(HELD,)),
        "luck": version(nll=0.75, facts=0.6),
        "leak": version(extra=(LEAK,)),
        "few": version(n=90, groups=38),
        "first": version(champion=False),
    }
