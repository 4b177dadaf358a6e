"""The closing tables: whole at 80 columns, in the order of the loop."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from sovereign_tasks.ledger import Ledger, open_ledger
from sovereign_tasks.records import GateDecision, GateRow, StageReport
from sovereign_tasks.terminal.follow import Step, _line
from sovereign_tasks.terminal.summary import print_champion, print_retrain

REASONS = {"http_404": 1, "canonical": 2, "near_duplicate": 1204, "repeated_ngrams": 3, "too_short": 8}


@pytest.fixture
def ledger(state: Path) -> Ledger:
    """A training whose stages ended in no particular order, and its gates."""
    ledger = open_ledger(state)
    for report in (
        StageReport("train", 598, 598, {}, 44.5, {"not_capped": ["source"]}),
        StageReport("collect:forum", 28000, 27700, {"deleted": 300}, 0.7),
        StageReport("collect:almanac", 11200, 9982, REASONS, 2.5),
        StageReport("base", 311, 270, {"held_out": 41}, 77.8),
    ):
        ledger.report("roofing", "r1", report)
    rows = [
        GateRow("g1", "question_gain", "champion", 0.102, 0.072, 0.03, -0.008, 0.051, 0.0, False, "no"),
        GateRow("g2", "nll", "champion", 3.776, *[math.nan] * 4, 0.0, True, "no champion yet"),
        GateRow("g3", "general_nll", "base", 1.08, 1.387, 0.307, 0.22, 0.403, -0.1, True, "clears", "no_worse"),
    ]
    ledger.record_gates("r1", GateDecision("roofing", "d41f", "1", rows, False))
    return ledger


def printed(ledger: Ledger, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    print_retrain(console, ledger, "roofing", "r1")
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_every_row_of_the_gates_is_one_line(ledger: Ledger, width: int) -> None:
    lines = printed(ledger, width)
    assert max(map(len, lines[:-1])) <= width
    text = "\n".join(" ".join(line.split()) for line in lines)
    assert "question_gain better than champion 0.102 0.072 -0.008 … +0.051 refused" in text
    assert "nll better than champion 3.776 no champion yet –" in text
    assert "general_nll not 0.1 worse than base 1.080 1.387 +0.220 … +0.403 passed" in text


def test_gates_tell_what_they_ask_and_how_it_went(ledger: Ledger) -> None:
    rows = [
        GateRow("g1", "question_gain", "base", 0.1, 0.07, 0.03, -0.01, 0.05, 0.02, False, "no", one_of="any"),
        GateRow("g2", "nll", "base", 0.5, 2.0, 1.5, 1.2, 1.8, 0.0, True, "clears", one_of="any"),
        GateRow("g3", "facts", "base", 0.9, 0.2, 0.7, math.nan, math.nan, 0.0, False, "38 groups", undecided=True),
        GateRow("canaries", "exposure", "", 9.3, *[math.nan] * 4, 5.0, False, "remembered", rule="at_most"),
    ]
    ledger.record_gates("r1", GateDecision("roofing", "d41f", "1", rows, False))
    text = "\n".join(" ".join(line.split()) for line in printed(ledger, 140))
    assert "question_gain better than base by 0.02 (one of any) 0.100 0.070 -0.010 … +0.050 not needed" in text
    assert "facts better than base 0.900 0.200 38 groups too little evidence" in text
    assert "canaries at most 5 9.300 refused" in text
    assert "\ncanaries: remembered\n" in text


def test_edge_cases_are_told_whether_or_not_a_gate_asks_for_them(ledger: Ledger) -> None:
    def evaluated(cases: dict[str, str]) -> str:
        notes = {"probes": {"edge cases": cases}}
        ledger.report("roofing", "r1", StageReport("evaluate", 9, 9, {}, 1.0, notes))
        return "\n".join(printed(ledger, 80))

    assert "Edge cases" not in evaluated({})
    assert "  Edge cases 2 of 2 met" in evaluated({"prices": "met", "codes": "met"})
    missed = evaluated({"prices": "met", "[b]codes": "says '4711'"})
    assert "  Edge cases 1 of 2 met; not met: [b]codes (says '4711')" in missed


def test_a_rollback_and_an_approval_say_who_and_why(ledger: Ledger) -> None:
    ledger.decide("roofing", "approval", "r1", "rejected", "[b]too terse[/b]", version="1", by="ann")
    assert "  Approval   rejected by ann: [b]too terse[/b]" in printed(ledger, 80)
    made = {"version": "2", "run_id": "d41f", "snapshot": 3, "took_over_from": "1", "previous": "1"}
    ledger.decide("roofing", "promotion", "r2", "promoted", "every gate passed", **made)
    back = {"version": "1", "run_id": "a3f0", "snapshot": 2, "took_over_from": "2", "previous": None, "by": "tom"}
    ledger.decide("roofing", "promotion", "r3", "rolled_back", "[prices] are wrong", **back)
    console = Console(width=80, file=io.StringIO())
    print_champion(console, ledger, "roofing")
    champion, rollback = console.file.getvalue().splitlines()
    assert champion.startswith("  Champion   version 1, from snapshot 2, since ")
    assert rollback == "  Rollback   from version 2 by tom: [prices] are wrong"


def test_stages_stand_in_the_order_of_the_loop(ledger: Ledger) -> None:
    stages = [line.split()[0] for line in printed(ledger, 80) if line.endswith(" s")]
    assert stages == ["collect:almanac", "collect:forum", "base", "train"]


def test_a_cap_that_could_not_hold_is_told(ledger: Ledger) -> None:
    assert "  Note       no sample can keep to max_source_share; trained without it" in printed(ledger, 120)


@pytest.mark.parametrize("width", [80, 120])
def test_no_reason_is_parted_from_its_count(ledger: Ledger, width: int) -> None:
    text = "\n".join(printed(ledger, width))
    for reason in ("1,204 near_duplicate", "8 too_short", "3 repeated_ngrams", "2 canonical", "1 http_404"):
        assert reason in text


def test_a_source_that_failed_is_no_success_though_its_task_is_one() -> None:
    console = Console(width=80, file=io.StringIO())
    console.print(_line(Step("collect:forum", "success", 1.2), None, "source forum: it is down."))
    (line,) = console.file.getvalue().rstrip().splitlines()
    assert "✗ collect:forum" in line
    assert "failed, as said below" in line


def test_a_stage_that_ends_is_told_with_its_rows_and_reasons() -> None:
    console = Console(width=80, file=io.StringIO())
    report = StageReport("collect:almanac", 112, 105, {"redirect": 2, "canonical": 2, "robots": 1}, 2.5)
    console.print(_line(Step("collect:almanac", "success", 3.46), report))
    said = " ".join(console.file.getvalue().split())
    assert said == "✓ collect:almanac 3.5 s 112 in, 105 out 2 canonical, 2 redirect, 1 robots"
