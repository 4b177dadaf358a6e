"""How the newest snapshot's rows spread over the labels of the taxonomy and the kinds of example."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.store import Store, newest_rows


@dataclass(frozen=True)
class Balance:
    """Rows in all, per label in the taxonomy's order (empty ones too), and per kind, the most frequent first."""

    rows: int
    labels: dict[str, int]
    kinds: dict[str, int]


def read_balance(ledger: Ledger, config: ModelConfig) -> Balance:
    """Count from membership alone; a label that the taxonomy no longer has stands there until the next night."""
    builds = ledger.builds(config.model)
    events = Store(config.model).read("membership", builds, ["example_id", "change", "label", "kind"])
    members = versions.members(newest_rows(events, "example_id"))
    labels = dict.fromkeys((entry.label for entry in config.dataset.taxonomy), 0)
    labels |= Counter(members["label"].to_pylist())
    return Balance(members.num_rows, labels, dict(Counter(members["kind"].to_pylist()).most_common()))
