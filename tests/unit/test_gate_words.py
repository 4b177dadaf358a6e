"""What is said of gates: true to the figures, and plain."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sovereign_tasks.gate_words import METRICS, amount, asked, conclude, explain, verdict
from sovereign_tasks.gates_config import GateConfig
from sovereign_tasks.records import GateRow

NAN = math.nan
BETTER = GateRow("nll against base", "nll", "base", 0.5, 0.9, 0.4, 0.3, 0.5, 0.0, True, "clears")
KEPT = GateRow("g", "general_nll", "base", 1.0, 1.0, -0.02, -0.05, 0.01, -0.1, True, "clears", rule="no_worse")
LIMIT = GateRow("canaries", "exposure", "", 9.0, NAN, NAN, NAN, NAN, 5.0, False, "it remembers", rule="at_most")
MUST = GateRow("frost", "edge_case", "", 0.0, NAN, NAN, NAN, NAN, 1.0, False, "it said no", rule="must")


def test_every_metric_that_a_gate_may_name_has_its_words() -> None:
    assert set(GateConfig.model_fields["metric"].annotation.__args__) <= METRICS.keys()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (BETTER, "must be better than the base"),
        (replace(BETTER, threshold=0.02), "must be better than the base by more than 0.02"),
        (KEPT, "must not be worse than the base by more than 0.1"),
        (LIMIT, "must be at most 5"),
        (MUST, "must hold"),
    ],
)
def test_what_is_asked(row: GateRow, says: str) -> None:
    assert asked(row) == says


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (BETTER, "0.400 better. With luck allowed for, it is better by at least 0.300."),
        (KEPT, "0.020 worse. With luck allowed for, it is at worst 0.050 worse."),
        (
            replace(KEPT, difference=0.2, low=0.1),
            "0.200 better. With luck allowed for, it is better by at least 0.100.",
        ),
        (
            replace(BETTER, difference=0.02, low=-0.1, high=0.14, passed=False),
            "0.020 better on these questions, but that may be luck: it may be anything from 0.100 worse to "
            "0.140 better.",
        ),
        (
            replace(BETTER, difference=0.02, low=0.01, high=0.03, threshold=0.02, passed=False),
            "0.020 better, but that may be as little as 0.010, and more is asked.",
        ),
        (
            replace(BETTER, difference=-0.4, low=-0.5, high=-0.3, passed=False),
            "0.400 worse, and luck does not explain that: at best it is 0.300 worse.",
        ),
        (
            replace(KEPT, difference=-0.1, low=-0.2, high=-0.05, passed=False),
            "0.100 worse on these questions; with luck allowed for, it may be anything from 0.200 worse to 0.050 "
            "worse, which is not safe enough.",
        ),
        (replace(BETTER, low=NAN, high=NAN, passed=False, reason="38 groups are too few"), "38 groups are too few."),
        (LIMIT, "It remembers. 9.000 is over the limit of 5."),
        (replace(LIMIT, candidate=4.0, passed=True), "It remembers. 4.000 is within the limit of 5."),
        (replace(LIMIT, candidate=NAN, reason="no base"), "Not measured: no base."),
        (MUST, "It said no."),
    ],
)
def test_how_it_went(row: GateRow, says: str) -> None:
    assert explain(row) == says


def test_a_gate_that_held_nothing_up_proved_nothing() -> None:
    waived = replace(BETTER, low=-0.1, reason="the champion must go")
    fewer = replace(BETTER, passed=False, low=NAN, undecided=True)
    lost = replace(BETTER, gate="other", passed=False, low=-0.1, one_of="any")
    won = replace(BETTER, one_of="any")
    assert [verdict(row, [row]) for row in (BETTER, waived, fewer, lost, MUST)] == [
        "passed",
        "passed over",
        "too little evidence",
        "refused",
        "refused",
    ]
    assert verdict(lost, [lost, won]) == "not needed"
    assert explain(waived) == "The champion must go."


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([LIMIT, replace(BETTER, passed=False, low=-0.1)], "it breaks a limit"),
        ([replace(BETTER, passed=False, low=-0.5, high=-0.3)], "it does worse"),
        ([replace(BETTER, passed=False, low=NAN, high=NAN)], "not all could be measured"),
        ([replace(BETTER, passed=False, low=NAN, high=NAN, undecided=True, groups=38)], "yet: 38 of 100 groups"),
        ([replace(BETTER, passed=False, low=-0.1)], "the difference may be luck"),
        ([replace(KEPT, passed=False, low=-0.2)], "to have kept what it must keep"),
        ([], "nothing was asked of it"),
    ],
)
def test_a_refusal_is_told_by_what_weighs_most(rows: list[GateRow], says: str) -> None:
    outcome, title, _ = conclude("7", rows, passed=False, needed=100)
    assert title.startswith("Version 7 is not promoted: ")
    assert outcome == ("few" if "groups" in says else "refused")
    assert says in title


def test_a_size_is_never_told_as_nothing() -> None:
    assert [amount(value) for value in (0.00004, -0.1, 0.0, NAN)] == ["4e\u221205", "\u22120.100", "0.000", "–"]


@pytest.mark.parametrize("row", [LIMIT, MUST])
def test_a_limit_that_was_not_measured_is_not_broken(row: GateRow) -> None:
    _, title, _ = conclude("7", [BETTER, replace(row, candidate=NAN)], passed=False, needed=20)
    assert title == "Version 7 is not promoted: not all could be measured."
    _, broken, _ = conclude("7", [BETTER, replace(row, candidate=NAN), replace(row, gate="b")], passed=False, needed=20)
    assert "it breaks a limit" in broken


def test_what_is_no_other_than_the_champion_is_no_matter_of_luck() -> None:
    twin = replace(BETTER, against="champion", difference=0.0, low=0.0, high=0.0, passed=False)
    told = "No difference from the champion in any group of these questions."
    assert explain(twin) == told
    found = conclude("2", [BETTER, twin], passed=False, needed=20)
    assert found.title == "Version 2 is not promoted: it is no other than the champion."
    assert found.because[0] == f"Knowledge of held-out answers against the champion: {told}"


def test_two_that_state_no_fact_may_still_be_two() -> None:
    silent = replace(BETTER, metric="facts", difference=0.0, low=0.0, high=0.0, passed=False)
    for rows in ([BETTER, silent], [silent]):
        found = conclude("2", rows, passed=False, needed=20)
        assert found.title.endswith("it could not be shown to be better, and the difference may be luck.")
