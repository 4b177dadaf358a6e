"""How much evidence there is: groups that judge, those that retired, and the least gain that they can prove."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sovereign_tasks.config import load_model
from sovereign_tasks.evaluate.compare import least_gain
from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.records import GateDecision, GateRow
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.evidence import read_evidence
from sovereign_tasks.stages.held_out import held_out, note_use
from sovereign_tasks.stages.snapshots import load_splits
from sovereign_tasks.terminal.status import print_status

from . import nights


def test_a_model_without_a_snapshot_has_none(documents: Path) -> None:
    assert read_evidence(open_context("siding", "x")) is None


def needing(context: Context, groups: int) -> Context:
    evidence = context.config.evidence.model_copy(update={"min_groups": groups, "max_uses": 1})
    return replace(context, config=context.config.model_copy(update={"evidence": evidence}))


def test_how_much_there_is_and_what_it_can_prove(documents: Path) -> None:
    assert nights.run_night("one")
    context = open_context("siding", "x")
    held = held_out(load_splits(context, context.ledger.snapshot("siding", 1)))
    found = len({example.group for example in held})
    evidence = read_evidence(context, 1)
    assert evidence is not None
    assert (evidence.groups, evidence.enough) == (found, False)
    assert evidence.in_words() == f"not enough evidence: {found} of 20 held-out groups"
    out = io.StringIO()
    print_status(Console(file=out, width=80), open_ledger(os.environ["SOVEREIGN_STATE"]), load_model("siding"))
    assert f"Evidence   not enough evidence: {found} of 20 held-out groups" in out.getvalue()

    # On 400 groups a deviation of 2 makes an error of .1, and an interval of .1 x 1.96 to both sides.
    row = GateRow("a", "nll", "champion", 1, 1, 0.3, 0.3 - 0.196, 0.3 + 0.196, 0.0, True, "", rows=400, groups=400)
    context.ledger.record_gates("r", GateDecision("siding", "r", "1", [row], True))
    enough = read_evidence(needing(context, 1))
    assert enough is not None
    assert enough.gains == {"nll against champion": pytest.approx(2 * least_gain(found))}
    gain = f"{2 * least_gain(found):.3g} in nll against champion ({least_gain(found):.2f} standard deviations)"
    assert enough.in_words() == f"{found} held-out groups; usually proven is a gain of {gain}"

    twin = replace(row, difference=0.0, low=0.0, high=0.0)  # of what was trained again, which proves nothing
    context.ledger.record_gates("r", GateDecision("siding", "r", "1", [twin], False))
    assert read_evidence(needing(context, 1)).gains == {}

    note_use(needing(open_context("siding", "judged"), 1), held[:1])
    worn = read_evidence(needing(context, 20))
    assert worn is not None
    assert (worn.groups, worn.retired) == (found - 1, 1)
    assert worn.in_words().endswith(f"{found - 1} of 20 held-out groups; 1 retired, after 1 candidates each")
