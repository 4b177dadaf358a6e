"""The real Great Expectations: failing rows are named, a failing batch stops, Data Docs hold no text."""

from __future__ import annotations

from pathlib import Path

import pytest

from sovereign_tasks.config import load_model
from sovereign_tasks.dataset.validate import Batch, validate
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example

from .test_examples import document

ANSWER = "A slate roof lasts between 75 and 150 years, so it outlives most of the houses it is laid on."


def example(example_id: str, answer: str = ANSWER) -> Example:
    messages = [{"role": "user", "content": "How long does slate last?"}, {"role": "assistant", "content": answer}]
    return Example(example_id, "heading", "web", "g", "en", messages, ["d1"], [])


def run(folder: Path, examples: list[Example], batch: Batch = Batch(10, 1, 10, 1, 10)):
    config = load_model("roofing")
    documents = [document("d1", ANSWER)]
    return validate(documents, examples, batch, config, folder, lambda t: t.count("@"))


def test_a_good_batch_passes_every_expectation(tmp_path: Path) -> None:
    validated = run(tmp_path, [example("e1"), example("e2", ANSWER + " Or longer.")])
    assert validated.failing == {}
    assert validated.evaluated > 10
    assert Path(validated.data_docs).exists()


def test_failing_rows_are_named_by_id_and_their_text_is_nowhere(tmp_path: Path) -> None:
    secret = ANSWER + " Write to zebulon@quagga.example."
    validated = run(tmp_path, [example("e1"), example("e2", secret), example("e3", "Short.")])
    assert validated.failing == {
        "e2": "expect_column_values_to_be_between:pii_left",
        "e3": "expect_column_values_to_be_between:answer_characters",
    }
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert written
    assert not any(b"zebulon" in p.read_bytes() or b"outlives" in p.read_bytes() for p in written)


@pytest.mark.parametrize(
    ("batch", "column"),
    [
        (Batch(curated=20, rejected=19, before=50, removed=0, after=51), "rejected_share"),
        (Batch(curated=2, rejected=0, before=50, removed=40, after=12), "removed_share"),
        (Batch(curated=3, rejected=3, before=3, removed=3, after=0), "documents"),
    ],
)
def test_a_bad_batch_stops_the_night(tmp_path: Path, batch: Batch, column: str) -> None:
    with pytest.raises(UserError, match=rf"{column} .*nothing was published"):
        run(tmp_path, [], batch)


def test_one_bad_page_on_a_quiet_night_stops_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, [], Batch(curated=1, rejected=1, before=50, removed=1, after=49)).failing == {}
