"""How much there is to tell models apart by: held-out groups, and the least gain that they can prove."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyarrow.compute as pc

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.held_out import retired_groups
from sovereign_tasks.stages.snapshots import read_state

HELD_OUT = frozenset("nll bits_per_byte question_gain token_f1 rouge_l facts refused".split())
"""Metrics of held-out rows, whose groups are counted here."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The held-out groups of a snapshot that judge, how many are needed, and how many have retired.

    `gains` are the least gains that are usually proven with so many, by metric and reference and in the metric's own
    units, as far as the last candidate that was judged tells how much its rows differ.
    """

    groups: int
    needed: int
    retired: int
    uses: int
    gains: dict[str, float]

    @property
    def enough(self) -> bool:
        """Whether the gates can tell anything."""
        return self.groups >= self.needed

    def in_words(self) -> str:
        """A sentence or two for a person."""
        from sovereign_tasks.evaluate.compare import least_gain

        worn = f"; {self.retired} retired, after {self.uses} candidates each" if self.retired else ""
        if not self.enough:
            return f"not enough evidence: {self.groups} of {self.needed} held-out groups{worn}"
        least = f"{least_gain(self.groups):.2f} standard deviations"
        if gains := ", ".join(f"{gain:.3g} in {name}" for name, gain in self.gains.items()):
            least = f"{gains} ({least})"
        return f"{self.groups} held-out groups{worn}; usually proven is a gain of {least}"


def read_evidence(context: Context, number: int | None = None) -> Evidence | None:
    """The evidence that a snapshot holds, the newest or the one of a number; None where there is none yet."""
    snapshots = context.ledger.snapshots(context.model)
    if not snapshots:
        return None
    snapshot = context.ledger.snapshot(context.model, number) if number else snapshots[-1]
    rows = versions.members(read_state(context, snapshot, ["example_id", "change", "split", "group"]))
    groups = set(rows.filter(pc.field("split") != "train")["group"].to_pylist())
    retired, config = retired_groups(context, groups), context.config.evidence
    standing = len(groups) - len(retired)
    return Evidence(standing, config.min_groups, len(retired), config.max_uses, _gains(context, standing))


def _gains(context: Context, groups: int) -> dict[str, float]:
    """What the intervals of the last candidate's gates come to on so many groups."""
    from sovereign_tasks.evaluate.compare import least_gain

    judged = context.ledger.decisions(context.model, "gate")
    rows = context.ledger.gate_rows(context.model, judged[0]["run"]) if judged and groups else []
    gains = {}
    for row in rows:
        by_these = row.rule == "better" and not row.one_of and row.metric in HELD_OUT
        if by_these and row.groups and row.high > row.low:  # not of one that was no other than the champion
            # Half of a 95% interval is 1.96 standard errors, and an error is the deviation over the root of the groups.
            deviation = (row.high - row.low) / 2 / 1.96 * math.sqrt(row.groups)
            gains[f"{row.metric} against {row.against}"] = least_gain(groups) * deviation
    return gains
