"""Gates: which way is better, and what does not pass."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from subprocess import run

import pytest

from sovereign_tasks.evaluate.gates import at_most, judge, passed, refuse_tainted
from sovereign_tasks.gates_config import DEFAULT_GATES, GateConfig
from sovereign_tasks.records import EvalReport, GateRow, failed

N = 60


def reports(nll: float = 1.0, gain: float = 0.0, general: float = 1.0) -> dict[str, EvalReport]:
    ids, groups = [f"e{i}" for i in range(N)], [f"g{i // 2}" for i in range(N)]
    noise = [0.01 * (i % 5) for i in range(N)]
    holdout = {"nll": [nll + x for x in noise], "question_gain": [gain + x * x for x in noise]}
    return {
        "holdout": EvalReport("model", "holdout", ids, groups, holdout),
        "general": EvalReport("model", "general", ids, groups, {"general_nll": [general - x for x in noise]}),
    }


def verdicts(**changed: float) -> list[bool]:
    return [row.passed for row in judge(DEFAULT_GATES, reports(**changed), reports(), None)]


def test_only_what_is_better_passes() -> None:
    assert verdicts(nll=0.5, gain=0.3, general=1.05) == [True, True, True, True]
    assert verdicts(nll=1.5, gain=0.3) == [False, True, True, True]
    assert verdicts(nll=0.5, gain=-0.1) == [True, False, True, True]
    assert verdicts(nll=0.5, gain=0.3, general=1.2) == [True, True, True, False]


def test_a_tie_is_no_improvement() -> None:
    assert verdicts() == [False, False, True, True]


def test_rows_say_what_was_measured() -> None:
    row = judge([GateConfig(metric="nll", better_than="base", by=0.1)], reports(nll=0.5), reports(), None)[0]
    assert (row.metric, row.against, row.threshold) == ("nll", "base", 0.1)
    assert row.candidate == pytest.approx(0.52)
    assert row.reference == pytest.approx(1.02)
    assert row.difference == pytest.approx(0.5)
    assert row.low <= row.difference <= row.high
    assert "over 60 rows in 30 groups clears 0.1" in row.reason


def test_the_champion_is_met_once_there_is_one() -> None:
    gate = [GateConfig(metric="nll", better_than="champion")]
    (none,) = judge(gate, reports(nll=0.5), reports(), None)
    assert (none.passed, none.reason) == (True, "no champion yet")
    assert judge(gate, reports(nll=0.5), reports(), reports(nll=0.7))[0].passed
    assert not judge(gate, reports(nll=0.5), reports(), reports(nll=0.4))[0].passed


def test_a_champion_that_must_go_is_met_by_who_is_not_much_worse() -> None:
    gates = [GateConfig(metric="nll", better_than=subject) for subject in ("base", "champion")]

    def rows(candidate: float, base: float) -> list[GateRow]:
        subjects = (reports(nll=candidate), reports(nll=base), reports(nll=0.4))
        return judge(gates, *subjects, champion_margin=0.05)

    assert not passed(judge(gates, reports(nll=0.41), reports(nll=0.7), reports(nll=0.4)))
    assert passed(rows(0.41, base=0.7))
    ours = rows(0.41, base=0.7)[1]
    assert (ours.gate, ours.rule, ours.threshold) == ("nll no worse than champion", "no_worse", pytest.approx(-0.021))
    assert not passed(rows(0.43, base=0.7))
    assert not passed(rows(0.41, base=0.4))
    assert rows(0.41, base=0.7)[0].rule == "better"
    # There may be none any more, or none that was measured.
    assert passed(judge(gates, reports(nll=0.41), reports(nll=0.7), None, champion_margin=0.05))
    assert not passed(judge(gates, reports(nll=0.41), reports(nll=0.7), {}, champion_margin=0.05))


def test_what_has_learned_from_what_was_erased_does_not_pass() -> None:
    row = refuse_tainted(3)
    assert (row.gate, row.candidate, row.passed) == ("untainted", 3, False)


def test_what_was_not_measured_alike_does_not_pass() -> None:
    gate = [GateConfig(metric="token_f1", better_than="base")]
    assert "was not measured" in judge(gate, reports(), reports(), None)[0].reason
    other = reports()
    other["holdout"] = replace(other["holdout"], example_ids=[f"x{i}" for i in range(N)])
    row = judge([DEFAULT_GATES[0]], reports(nll=0.1), other, None)[0]
    assert not row.passed
    assert "different rows" in row.reason


def test_a_score_that_is_no_number_does_not_pass() -> None:
    broken = reports(nll=0.1)
    broken["holdout"].scores["nll"][3] = math.nan
    row = judge([DEFAULT_GATES[0]], broken, reports(), None)[0]
    assert not row.passed
    assert "1 of 60 rows have no score" in row.reason


def facts(values: list[float | None]) -> dict[str, EvalReport]:
    report = reports()["holdout"]
    return {"holdout": replace(report, scores=report.scores | {"facts": values})}


def test_rows_that_a_metric_does_not_apply_to_are_left_out() -> None:
    gate = [GateConfig(metric="facts", better_than="base")]
    ours = [None if i % 3 == 0 else 0.8 for i in range(N)]
    theirs = [None if i % 3 == 0 else 0.5 + 0.01 * (i % 5) for i in range(N)]
    (row,) = judge(gate, facts(ours), facts(theirs), None)
    assert row.passed
    assert (row.candidate, row.reference) == (pytest.approx(0.8), pytest.approx(0.52, abs=0.005))
    assert "over 40 rows in 30 groups" in row.reason
    assert not judge(gate, facts(theirs), facts(ours), None)[0].passed


def test_a_metric_that_applies_to_too_few_rows_or_none_or_others_does_not_pass() -> None:
    gate = [GateConfig(metric="facts", no_worse_than="base", by=1.0)]
    (row,) = judge(gate, facts([None] * N), facts([None] * N), None)
    assert not row.passed
    assert math.isnan(row.candidate)
    assert "0 rows are too few" in row.reason
    few = [0.9] * 19 + [None] * (N - 19)
    assert "19 rows are too few" in judge(gate, facts(few), facts(few), None)[0].reason
    (row,) = judge(gate, facts([0.9] * N), facts([None] + [0.1] * (N - 1)), None)
    assert not row.passed
    assert "covers other rows" in row.reason
    broken = [math.nan] + [0.9] * (N - 2) + [None]
    assert "1 of 59 rows have no score" in judge(gate, facts(broken), facts([0.1] * (N - 1) + [None]), None)[0].reason


@pytest.mark.parametrize("metric", ["nll", "bits_per_byte", "refused", "general_nll"])
def test_less_is_better(metric: str) -> None:
    gate = [GateConfig(metric=metric, better_than="base")]
    low, high = ({"any": replace(reports()["holdout"], scores={metric: [value] * N})} for value in (0.2, 0.9))
    assert judge(gate, low, high, None)[0].passed
    assert not judge(gate, high, low, None)[0].passed


@pytest.mark.parametrize("metric", ["token_f1", "rouge_l", "facts", "question_gain"])
def test_more_is_better(metric: str) -> None:
    gate = [GateConfig(metric=metric, better_than="base")]
    low, high = ({"any": replace(reports()["holdout"], scores={metric: [value] * N})} for value in (0.2, 0.9))
    assert judge(gate, high, low, None)[0].passed
    assert not judge(gate, low, high, None)[0].passed


def test_no_rows_is_no_pass() -> None:
    assert not passed([])
    rows = judge(DEFAULT_GATES, reports(nll=0.5, gain=0.3), reports(), None)
    assert passed(rows)
    assert not passed([*rows, replace(rows[0], passed=False)])


def test_judging_loads_no_model_library() -> None:
    code = "import sys, sovereign_tasks.evaluate.gates; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_of_several_of_which_one_is_enough_one_is_and_each_is_held_to_more() -> None:
    gates = [GateConfig(metric=m, better_than="base", one_of="any") for m in ("token_f1", "rouge_l", "facts")]
    noise = [math.sin(i) for i in range(N)]

    def scored(**means: float) -> dict[str, EvalReport]:
        values = {metric: [mean + x for x in noise] for metric, mean in means.items()}
        return {"holdout": replace(reports()["holdout"], scores=values)}

    base = {"holdout": replace(reports()["holdout"], scores={m: [0.0] * N for m in ("token_f1", "rouge_l", "facts")})}
    rows = judge(gates, scored(token_f1=1.0, rouge_l=0.0, facts=0.0), base, None)
    assert [row.passed for row in rows] == [True, False, False]
    assert passed(rows)
    assert failed(rows) == []
    assert not passed(judge(gates, scored(token_f1=0.0, rouge_l=0.0, facts=0.0), base, None))
    # Just enough for one gate alone, not for the best of three; but once two are proven the third stands alone.
    (alone,) = judge([GateConfig(metric="facts", better_than="base")], scored(facts=0.0), base, None)
    just = 0.01 - alone.low
    assert judge([GateConfig(metric="facts", better_than="base")], scored(facts=just), base, None)[0].passed
    assert not passed(judge(gates, scored(token_f1=0.0, rouge_l=0.0, facts=just), base, None))
    assert judge(gates, scored(token_f1=1.0, rouge_l=1.0, facts=just), base, None)[2].passed


def test_what_must_not_get_worse_passes_on_a_tie_and_within_the_margin() -> None:
    gate = [GateConfig(metric="nll", no_worse_than="base", by=0.2)]
    (row,) = judge(gate, reports(), reports(), None)
    assert (row.passed, row.rule, row.threshold) == (True, "no_worse", -0.2)
    assert judge(gate, reports(nll=1.1), reports(), None)[0].passed
    assert not judge(gate, reports(nll=1.3), reports(), None)[0].passed


def test_too_few_groups_are_told_from_a_loss() -> None:
    gate = [GateConfig(metric="nll", better_than="base")]
    (row,) = judge(gate, reports(nll=0.1), reports(), None, min_groups=100)
    assert (row.passed, row.undecided, row.groups) == (False, True, 30)
    assert row.reason == "30 groups are too few to tell; 100 are needed"
    (row,) = judge(gate, reports(nll=1.1), reports(), None)
    assert (row.passed, row.undecided) == (False, False)
    assert judge([DEFAULT_GATES[3]], reports(), reports(), None, min_groups=100)[0].passed, "which is no holdout"


def test_a_figure_of_the_candidate_alone_has_a_limit() -> None:
    assert at_most("canaries", "exposure", 5.0, 5.0, "").passed
    assert not at_most("canaries", "exposure", 5.1, 5.0, "").passed
    assert not at_most("canaries", "exposure", math.nan, 5.0, "").passed


def test_of_several_of_which_one_is_enough_one_that_is_passed_over_is_none() -> None:
    gates = [GateConfig(metric="nll", better_than=subject, one_of="any") for subject in ("base", "champion")]
    assert not passed(judge(gates, reports(nll=5.0), reports(), None))
    assert passed(judge(gates, reports(nll=0.5), reports(), None))


def test_of_two_gates_that_a_champion_that_must_go_makes_alike_the_stricter_stays() -> None:
    gates = [
        GateConfig(metric="nll", better_than="champion"),
        GateConfig(metric="nll", no_worse_than="champion", by=0.5),
    ]
    (row,) = judge(gates, reports(nll=1.02), reports(), reports(nll=1.0), champion_margin=0.05)
    assert (row.rule, row.passed) == ("no_worse", True)
    assert row.threshold == pytest.approx(-0.05, abs=0.002)
    alone = GateConfig(metric="nll", no_worse_than="champion", by=0.1)
    any_of = [GateConfig(metric=metric, better_than="champion", one_of="any") for metric in ("nll", "general_nll")]
    worse = judge([*any_of, alone], reports(nll=5.0), reports(), reports(nll=1.0), champion_margin=0.05)
    assert [(row.one_of, row.passed) for row in worse if row.metric == "nll"] == [("any", False), ("", False)]
    assert not passed(worse)
    none = [GateConfig(metric="refused", better_than="champion")]
    never = {"holdout": replace(reports()["holdout"], scores={"refused": [0.0] * N})}
    assert judge(none, never, reports(), never, champion_margin=0.05)[0].passed, "a tie at nothing is no loss"


def test_rows_without_a_score_are_no_matter_of_too_little_evidence() -> None:
    broken = reports()
    broken["holdout"].scores["nll"][:] = [math.nan] * N
    (row,) = judge([DEFAULT_GATES[0]], broken, reports(), None, min_groups=100)
    assert (row.passed, row.undecided) == (False, False)
