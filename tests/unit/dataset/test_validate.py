"""The real Great Expectations: failing rows are named, a failing batch stops, Data Docs hold no text."""

from __future__ import annotations

from pathlib import Path

import pytest

from sovereign_tasks.config import load_model
from sovereign_tasks.dataset.validate import summarise, validate
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example

from .test_examples import document

ANSWER = "A slate roof lasts between 75 and 150 years, so it outlives most of the houses it is laid on."


def example(example_id: str, answer: str = ANSWER) -> Example:
    messages = [{"role": "user", "content": "How long does slate last?"}, {"role": "assistant", "content": answer}]
    return Example(example_id, "heading", "web", "g", "en", messages, ["d1"], [])


def run(folder: Path, examples: list[Example], rejected_share: float = 0.1, total: int = 3):
    config = load_model("roofing")
    documents = [document("d1", ANSWER)]
    return validate(documents, examples, rejected_share, total, config, folder, lambda t: t.count("@"))


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
    assert summarise(validated.failing)["expect_column_values_to_be_between:pii_left"] == 1
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert written
    assert not any(b"zebulon" in p.read_bytes() or b"outlives" in p.read_bytes() for p in written)


def test_a_batch_with_too_many_rejections_stops_the_night(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rejected_share .*nothing was published"):
        run(tmp_path, [example("e1")], rejected_share=0.95)
