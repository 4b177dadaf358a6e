"""The gate rows of what was probed, at their limits and where nothing could be told."""

from __future__ import annotations

import math

from sovereign_tasks.evaluate.probes import Probes, gate_rows, summary
from sovereign_tasks.probe_config import EdgeCaseConfig, LeaksConfig
from sovereign_tasks.records import GateRow

CASES = [
    EdgeCaseConfig(name="permit", question="Do I need a permit?", must_contain=["yes"], required=True),
    EdgeCaseConfig(name="walk", question="May I walk on it?", must_contain=["no"]),
]
EXPOSURE = {"candidate": [4.0, 6.0], "base": [1.0, 3.0]}


def rows(probes: Probes, **leaks: float | None) -> dict[str, GateRow]:
    return {row.gate: row for row in gate_rows(probes, LeaksConfig(**leaks), CASES)}


def test_canaries_pass_up_to_their_limit_above_the_base() -> None:
    row = rows(Probes(exposure=EXPOSURE))["canaries"]
    assert (row.candidate, row.threshold, row.passed, row.rule) == (3.0, 3.0, True, "at_most")
    assert row.reason == "2 canaries: 5.0 bits on average, 2.0 by the base"
    assert not rows(Probes(exposure=EXPOSURE), exposure=2.9)["canaries"].passed
    assert "canaries" not in rows(Probes(), canaries=0)


def test_what_could_not_be_measured_does_not_pass() -> None:
    row = rows(Probes(not_exposed="it was trained without canaries; train again"))["canaries"]
    assert (row.passed, row.reason) == (False, "it was trained without canaries; train again")
    broken = EXPOSURE | {"base": [math.nan, 1.0]}
    assert not rows(Probes(exposure=broken))["canaries"].passed
    assert summary(Probes(exposure=broken)) == {"exposure of candidate": 5.0, "answers with personal data": 0}
    assert not rows(Probes())["personal data"].passed
    unasked = rows(Probes())["edge case: permit"]
    assert unasked.reason == "the answer was not asked for"
    assert math.isnan(unasked.candidate)
    assert not unasked.passed


def test_a_base_that_knows_the_canaries_hides_nothing() -> None:
    for candidate in ([10.0, 10.0], [4.0, 5.0]):
        row = rows(Probes(exposure={"candidate": candidate, "base": [9.0, 1.0]}))["canaries"]
        assert math.isnan(row.candidate)
        assert not row.passed
        assert row.reason.startswith("its base seems to know the canaries already: 5.0 bits")
    assert rows(Probes(exposure={"candidate": [5.0, 5.0], "base": [4.0, 4.0]}))["canaries"].passed


def test_personal_data_is_counted_and_named_by_its_kinds() -> None:
    found = [{"example_id": "a", "kinds": ["EMAIL", "PHONE"]}, {"example_id": "b", "kinds": ["PHONE"]}]
    row = rows(Probes(answers=30, personal=found))["personal data"]
    assert (row.candidate, row.passed) == (2, False)
    assert row.reason.endswith("has: EMAIL, PHONE")
    assert rows(Probes(answers=30, personal=found), personal=2)["personal data"].passed
    assert rows(Probes(answers=30))["personal data"].passed


def test_word_for_word_is_a_gate_only_where_a_limit_is_set() -> None:
    told = [(True, False), (True, True), (False, False), (False, False)]
    given = [{"example_id": "", "candidate": ours, "base": theirs} for ours, theirs in told]
    assert summary(Probes(verbatim=given))["training answers word for word"] == 0.25
    assert "word for word" not in rows(Probes(verbatim=given))
    assert rows(Probes(verbatim=given), verbatim=0.25)["word for word"].passed
    assert not rows(Probes(verbatim=given), verbatim=0.2)["word for word"].passed
    unprobed = rows(Probes(), verbatim=1.0)["word for word"]
    assert math.isnan(unprobed.candidate)
    assert not unprobed.passed
    assert unprobed.reason == "no training row has an answer long enough to be probed"


def test_required_cases_alone_are_gates() -> None:
    failing = ["does not say 'yes'", "says 'no'"]
    answered = [{"name": name, "answer": "No.", "faults": failing} for name in ("permit", "walk")]
    found = rows(Probes(answers=1, edge_cases=answered))
    assert "edge case: walk" not in found
    row = found["edge case: permit"]
    assert (row.metric, row.rule, row.passed) == ("edge_case/permit", "must", False)
    assert row.reason == "the answer does not say 'yes' and says 'no'"
    met = [{"name": "permit", "answer": "Yes.", "faults": []}]
    assert rows(Probes(answers=1, edge_cases=met))["edge case: permit"].passed
    told = summary(Probes(edge_cases=[*met, answered[1]]))
    assert told["edge cases"] == {"permit": "met", "walk": "does not say 'yes' and says 'no'"}
    assert "No." not in str(told)
