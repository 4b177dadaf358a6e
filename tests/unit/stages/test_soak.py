"""Nights of a model's life, cut off and raced, with copies of held-out rows planted: `make soak` lives longer."""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from pathlib import Path

import pytest

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.records import Example, document_id
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.snapshots import load_splits, read_state, verify
from tests.unit.stages import nights

NIGHTS = int(os.environ.get("SOVEREIGN_SOAK_NIGHTS", 10))
SEED = int(os.environ.get("SOVEREIGN_SOAK_SEED", 1))
MODEL = """
model: siding
description: Assistant for siding crews
sources:
  - {name: house, kind: journal, path: "%s/house.json", licence: owner, consent: own-content}
domain: {keywords: [siding, plank, trim, board, house, nail]}
dataset:
  holdout_share: 0.3
  sealed_share: 0.1
  min_answer_chars: 20
  validation: {max_removed_share: 1, max_drift: 99}
retrain: {min_new_examples: 5}
training: {base_model: scratch}
"""
WOODS = "cedar pine vinyl steel brick stone fiber stucco redwood composite larch spruce cork slate tin oak".split()
PLACES = "lake hill barn harbour orchard mill chapel school bridge forge dairy tower".split()


class Life:
    """What the source holds night by night, and what was planted there of which held-out row."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.file = folder / "house.json"
        self.random = random.Random(seed)
        self.holds = {wood: nights.page(wood, 20 + 4 * n) for n, wood in enumerate(WOODS[:10])}
        self.planted: dict[str, str] = {}
        """Address of a planted page -> the held-out example that it repeats."""
        self.write()

    def write(self) -> None:
        self.file.write_text(json.dumps(self.holds))

    def change(self, night: int, held_out: list[Example]) -> None:
        """Add three pages, change one, let one go, and plant two copies and two near copies of held-out rows."""
        choose = self.random
        for n in range(3):
            topic = f"{choose.choice(PLACES)} {choose.choice(WOODS)} {night}{'abc'[n]}"
            self.holds[topic] = nights.page(topic, choose.randrange(20, 90))
        own = [a for a, text in self.holds.items() if a not in self.planted and len(text) > 9]
        changed, gone = choose.sample(own, 2)
        self.holds[changed] = nights.page(changed, choose.randrange(20, 90))
        self.holds[gone] = choose.choice(["gone", "deleted"])
        for n, example in enumerate(choose.sample(held_out, min(4, len(held_out)))):
            words = example.answer.split()
            if n % 2:  # one word is another
                words[choose.randrange(len(words))] = choose.choice(["nearly", "mostly", "often"])
            address = f"planted {night} {n}"
            about = f"The board notes of house {night}{n} were typed on a wet day, and no nail was driven before noon."
            self.holds[address] = f"# Notes {night}{n}\n\n{about}\n\n## {example.question}\n\n{' '.join(words)}\n"
            self.planted[address] = example.example_id
        self.write()


@pytest.fixture
def life(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "siding.yaml").write_text(MODEL % tmp_path)
    kinds = "source_kinds: {journal: 'tests.unit.stages.journal:JournalSource'}\n"
    (tmp_path / "config" / "platform.yaml").write_text(kinds)
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path / "config"))
    return Life(tmp_path, SEED)


def test_numbers_splits_and_rows_hold_over_nights_that_are_cut_off_and_raced(life: Life, state: Path) -> None:
    sides: dict[str, str] = {}
    repeated = 0
    for night in range(1, NIGHTS + 1):
        run_id = f"night {night}"
        for _ in range(2):
            how = {"kill_after": life.random.randrange(1, 40)} if night % 2 else {"kill_at": life.random.uniform(0, 2)}
            nights.run_night(run_id, **how)
        # Every third night has a rival; any other is published by two workers at once, as after a lost heartbeat.
        assert 0 in nights.race([run_id, f"rival {night}" if night % 3 == 0 else run_id])
        assert nights.run_night(run_id if night % 3 else f"after {night}")
        context = open_context("siding", "x")
        check_versions(context)
        held_out = check_sides(context, sides)
        repeated += check_planted(context, life, held_out)
        life.change(night, list(held_out.values()))
    assert repeated > NIGHTS, "hardly anything that was planted ever met its held-out row"
    assert len(open_ledger(state).snapshots("siding")) >= NIGHTS


def check_versions(context: Context) -> None:
    """Snapshots are numbered without a gap, each knows its parent, and all is as it was published."""
    snapshots = context.ledger.snapshots("siding")
    assert [s.number for s in snapshots] == list(range(1, len(snapshots) + 1))
    assert [s.parent for s in snapshots] == [None, *range(1, len(snapshots))]
    for snapshot in snapshots:
        hashed = versions.content_hash(read_state(context, snapshot, ["example_id", "change", "digest"]))
        assert hashed == snapshot.content_hash
    verify(context, lambda said: None)


def check_sides(context: Context, sides: dict[str, str]) -> dict[str, Example]:
    """No group stands on two sides, and no row ever changes from one to another; the held-out ones, sealed and not."""
    splits = load_splits(context, context.ledger.snapshots("siding")[-1])
    by_group = defaultdict(set)
    for split, examples in splits.items():
        for example in examples:
            by_group[example.group].add(split)
            assert sides.setdefault(example.example_id, split) == split
    assert [group for group, found in by_group.items() if len(found) > 1] == []
    return {e.example_id: e for split in ("holdout", "sealed") for e in splits[split]}


def check_planted(context: Context, life: Life, held_out: dict[str, Example]) -> int:
    """Nothing that repeats a held-out row is trained on; how much of that there is."""
    train = load_splits(context, context.ledger.snapshots("siding")[-1])["train"]
    trained_on = {doc_id for example in train for doc_id in example.doc_ids}
    met = [a for a, of in life.planted.items() if of in held_out]
    assert [a for a in met if document_id("house", a, "") in trained_on] == []
    return len(met)
