"""The real Great Expectations: failing rows are named, every failure of a batch is told, Data Docs hold no text."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sovereign_tasks.config import ModelConfig, load_model
from sovereign_tasks.dataset import validate as module
from sovereign_tasks.dataset.suite import (
    Batch,
    Volume,
    compare_columns,
    figures,
    measure_documents,
    measure_examples,
    measure_volume,
)
from sovereign_tasks.dataset.validate import Validated, validate
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Document, Example

from .test_examples import document

ANSWER = "A slate roof lasts between 75 and 150 years, so it outlives most of the houses it is laid on."
FINE = Batch(curated=10, rejected=1, compared=9, before=10, removed=1, after={"web": 10})
SCHEMAS = {"documents": Document.schema, "examples": Example.schema}


def example(example_id: str, answer: str = ANSWER) -> Example:
    messages = [{"role": "user", "content": "How long does slate last?"}, {"role": "assistant", "content": answer}]
    return Example(example_id, "heading", "web", "g", "en", messages, ["d1"], [])


def configured(**rules: object) -> ModelConfig:
    config = load_model("roofing")
    rules = {"dataset": {"validation": rules}}
    return ModelConfig.model_validate(config.model_dump(exclude={"dataset", "sources"}) | rules | sources(config))


def sources(config: ModelConfig) -> dict[str, list]:
    return {"sources": [{"name": "web", "kind": "files", "folder": "/d", "licence": "owner", "consent": "own-content"}]}


def run(
    folder: Path,
    examples: list[Example],
    batch: Batch = FINE,
    config: ModelConfig | None = None,
    documents: list[Document] | None = None,
    night: str = "n1",
) -> Validated:
    config = config or load_model("roofing")

    def count(text: str) -> int:
        return text.count("@")

    table = Document.to_table(documents or [document("d1", ANSWER)])
    frames = {
        "columns": compare_columns(SCHEMAS),
        "documents": measure_documents(table, count, set()),
        "examples": measure_examples(Example.to_table(examples), count),
    }
    return validate(frames, lambda failing: figures(batch, config), config, folder, night)


def test_a_good_batch_passes_every_expectation(tmp_path: Path) -> None:
    validated = run(tmp_path, [example("e1"), example("e2", ANSWER + " Or longer.")])
    assert (validated.failing, validated.failures) == ({}, [])
    assert validated.evaluated > 10
    assert Path(validated.data_docs).exists()


def test_failing_rows_are_named_by_id_and_their_text_is_nowhere(tmp_path: Path) -> None:
    secret = ANSWER + " Write to zebulon@quagga.example."
    validated = run(tmp_path, [example("e1"), example("e2", secret), example("row-three", "Short.")])
    assert validated.failing == {
        "e2": "expect_column_values_to_be_between:pii_left",
        "row-three": "expect_column_values_to_be_between:answer_characters",
    }
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert written
    words = [b"zebulon", b"outlives", b"slate last", b"Short."]
    assert not [p for p in written if any(word in p.read_bytes() for word in words)]
    assert [p for p in written if b"row-three" in p.read_bytes() and p.suffix == ".html"]


def test_rows_with_an_id_that_another_has_and_of_another_language_fail(tmp_path: Path) -> None:
    documents = [document("d1", ANSWER), document("d1", ANSWER), replace(document("d2", ANSWER), language="de")]
    assert run(tmp_path, [], documents=documents).failing == {
        "d1": "expect_column_values_to_be_unique:row_id",
        "d2": "expect_column_values_to_be_in_set:language",
    }


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (
            replace(FINE, curated=20, rejected=19),
            "rejected_share is 0.95 (of 20 items 19 were rejected), and max_rejected_share is 0.8",
        ),
        (
            replace(FINE, before=50, removed=40, after={"web": 12}),
            "removed_share is 0.8 (40 of 50 documents go), and max_removed_share is 0.5",
        ),
        (replace(FINE, after={}), "documents is 0 (0 after this night), and min_documents is 1"),
        (
            replace(FINE, compared=20, copies=19),
            "duplicate_share is 0.95 (of 20 documents 19 were copies), and max_duplicate_share is 0.9",
        ),
        (
            replace(FINE, kept=20, equal=19),
            "equal_share is 0.95 (19 of 20 documents kept have the text of another), and max_duplicate_share is 0.9",
        ),
        (
            replace(FINE, volume=Volume(50, 900.0), earlier=[Volume(9, 1000.0), Volume(10, 900.0), Volume(400, 800.0)]),
            "volume_drift is 5 (50 new documents, where 10 is usual), and max_drift is 4",
        ),
        (
            replace(FINE, volume=Volume(5, 90.0), earlier=[Volume(10, 900.0)] * 3),
            "length_drift is 10 (90 characters a new document, where 900 is usual), and max_drift is 4",
        ),
    ],
)
def test_a_bad_batch_says_what_is_wrong_and_what_its_bound_is(tmp_path: Path, batch: Batch, said: str) -> None:
    assert [failure.said for failure in run(tmp_path, [], batch).failures] == [said]


def test_every_failure_of_a_batch_is_told(tmp_path: Path) -> None:
    batch = replace(FINE, curated=20, rejected=19, before=50, removed=40, after={"web": 11, "forum": 1})
    failures = run(tmp_path, [], batch, configured(max_source_share=0.9)).failures
    assert [f.expectation.split(":")[1] for f in failures] == ["rejected_share", "removed_share", "source_share"]
    assert [f.observed for f in failures] == [0.95, 0.8, 0.9167]


@pytest.mark.parametrize(
    "batch",
    [
        Batch(curated=1, rejected=1, before=50, removed=1, after={"web": 49}),
        replace(FINE, volume=Volume(4, 900.0), earlier=[Volume(40, 900.0)] * 3),
        replace(FINE, volume=Volume(500, 900.0), earlier=[Volume(10, 900.0)] * 2 + [Volume()] * 9),
    ],
)
def test_too_little_to_tell_stops_nothing(tmp_path: Path, batch: Batch) -> None:
    assert run(tmp_path, [], batch).failures == []


def test_a_column_that_is_missing_or_of_another_type_ends_the_night(tmp_path: Path) -> None:
    form = Document.schema.remove(Document.schema.get_field_index("licence"))
    columns = compare_columns(
        SCHEMAS | {"documents": form, "examples": Example.schema.set(0, Document.schema.field("pii"))}
    )
    with pytest.raises(
        UserError, match=r"documents\.licence is missing and not string, examples\.example_id is missing"
    ):
        validate({"columns": columns}, lambda failing: [], load_model("roofing"), tmp_path, "n1")


def test_expectations_of_the_owners_own(tmp_path: Path) -> None:
    own = [
        {"expect": "expect_column_values_to_be_between", "column": "characters", "min_value": 20},
        {"expect": "expect_column_mean_to_be_between", "column": "answer_characters", "max_value": 50},
    ]
    documents = [document("d1", ANSWER), document("d2", "A slate roof.")]
    few = run(tmp_path, [example("e1")], FINE, configured(expectations=own), documents)
    assert few.failing == {"d2": "expect_column_values_to_be_between:characters"}
    assert few.failures == []  # a mean of so few says nothing
    many = run(tmp_path, [example(f"e{n}") for n in range(10)], FINE, configured(expectations=own))
    (failure,) = many.failures
    assert failure.said.startswith("expect_column_mean_to_be_between on answer_characters of tonight's examples")
    assert failure.said.endswith("found 93, which should be at most 50")


def test_data_docs_keep_the_last_nights_and_of_each_the_last_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    for night in ("n1", "n2", "n2", "n3", "n4"):
        run(tmp_path, [example("e1")], night=night)
    kept = tmp_path / "gx" / "uncommitted"
    for place in ("validations", "data_docs/local_site/validations"):
        tries = [p.parent.name for p in (kept / place / "documents").glob("*/*")]
        assert sorted(tries) == ["n2", "n3", "n4"], place
    index = (kept / "data_docs/local_site/index.html").read_text()
    assert [night in index for night in ("n1", "n2", "n3", "n4")] == [False, True, True, True]
    assert {p.name for p in tmp_path.iterdir()} == {"gx", "state"}


def test_half_written_data_docs_do_no_harm(tmp_path: Path) -> None:
    run(tmp_path, [example("e1")])
    following = tmp_path / "following" / "gx" / "checkpoints"
    following.mkdir(parents=True)
    (following / "documents.json").write_text('{"na')
    (tmp_path / "gx").rename(tmp_path / "replaced")  # killed between the two renames
    validated = run(tmp_path, [example("e1")], night="n2")
    index = Path(validated.data_docs).read_text()
    assert "n1" in index
    assert "n2" in index


def test_nobody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address) or [])
    run(tmp_path, [example("e1")])
    assert asked == []
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


def test_the_volume_of_no_documents_is_none() -> None:
    assert measure_volume(pd.DataFrame({"characters": []})) == Volume()
    assert measure_volume(pd.DataFrame({"characters": [10, 20]})) == Volume(2, 15.0)
