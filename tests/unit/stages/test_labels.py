"""Rules of labels and templates reach what stands; what templates make goes with the document of its facts."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

from rich.console import Console

from sovereign_tasks.config import config_hash, load_model
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.records import Example, TrainingRun, document_id
from sovereign_tasks.stages.balance import read_balance
from sovereign_tasks.store import Store, newest_rows
from sovereign_tasks.terminal.status import print_status

from . import nights
from .test_rules import change_config

TAXONOMY = """taxonomy: [{label: core/prices, words: [cost]}, {label: core/rest}], min_answer_chars: 20"""
SYNTHESIS = """synthesis: [{name: prices, columns: [Siding, Price],
  questions: ['{siding}: what do you charge a square?'],
  answers: ['For {siding} the house charges {price} a square, nailed and trimmed.']}], min_answer_chars: 20"""
TABLE = """# Prices of siding

What a square of siding costs with us, boards, nails and trim of the house included.

| Siding | Price |
|---|---|
| Cedar plank | $900 |
| Vinyl board | $450 |
"""


def members(state: Path) -> list[dict]:
    events = Store("siding").read("membership", open_ledger(state).builds("siding"))
    return versions.members(newest_rows(events, "example_id")).to_pylist()


def labels(state: Path) -> Counter[str]:
    return Counter(row["label"] for row in members(state))


def test_a_changed_taxonomy_relabels_what_stands_and_makes_nothing_due(
    state: Path, documents: Path, tmp_path: Path
) -> None:
    nights.run_night("one")
    ledger = open_ledger(state)
    (snapshot,) = ledger.snapshots("siding")
    settings = config_hash(load_model("siding").training)
    made = TrainingRun("siding", "m1", 1, "base", "h", settings, 42, "adapter", "h", {})
    ledger.record_training("r1", made)
    before = labels(state)
    assert before.total() == 30
    assert before.keys() <= {entry.label for entry in load_model("siding").dataset.taxonomy}

    change_config(tmp_path, "min_answer_chars: 20", TAXONOMY)
    nights.run_night("two")
    assert labels(state) == {"core/prices": 10, "core/rest": 20}
    assert ledger.snapshots("siding") == [snapshot]
    decided = ledger.decisions("siding", "retrain")[0]
    assert (decided["outcome"], decided["reason"]) == (
        "not_due",
        "0 new training examples (0 gone) of 5 needed: not due",
    )
    examples = next(r for r in ledger.reports("siding", ledger.builds("siding")[1]) if r.stage == "examples")
    assert (examples.rows_in, examples.rows_out, examples.notes["left"]) == (10, 0, 0)

    events = len(Store("siding").read("membership", ledger.builds("siding")))
    nights.run_night("three")
    assert len(Store("siding").read("membership", ledger.builds("siding"))) == events

    config = load_model("siding")
    balance = read_balance(ledger, config)
    assert (balance.rows, balance.labels, balance.kinds) == (
        30,
        {"core/prices": 10, "core/rest": 20},
        {"heading": 30},
    )
    console = Console(width=80, file=io.StringIO())
    print_status(console, ledger, config)
    shown = [line.split() for line in console.file.getvalue().splitlines()]
    for line in (["core/prices", "10", "33.3%"], ["core/rest", "20", "66.7%"], ["heading", "30", "100.0%"]):
        assert line in shown


def test_a_template_makes_examples_of_facts_that_go_with_their_document(
    state: Path, documents: Path, tmp_path: Path
) -> None:
    (documents / "prices.md").write_text(TABLE)
    nights.run_night("one")
    assert len(members(state)) == 31  # with the table as one example
    change_config(tmp_path, "min_answer_chars: 20", SYNTHESIS)
    nights.run_night("two")
    ledger = open_ledger(state)
    made = [row for row in members(state) if row["kind"] == "synthetic"]
    assert (len(members(state)), len(made)) == (33, 2)
    assert len({row["split"] for row in made}) == 1
    examples = Example.from_table(Store("siding").read("examples", ledger.builds("siding")))
    found = {e.question: e for e in examples if e.kind == "synthetic"}
    cedar = found["Cedar plank: what do you charge a square?"]
    assert cedar.answer == "For Cedar plank the house charges $900 a square, nailed and trimmed."
    assert cedar.doc_ids == [document_id("house", "prices.md", "")]

    (documents / "prices.md").write_text(TABLE.replace("$450", "$480"))
    nights.run_night("three")
    assert [row["kind"] for row in members(state)].count("synthetic") == 2
    (documents / "prices.md").unlink()
    nights.run_night("four")
    assert {row["kind"] for row in members(state)} == {"heading"}
