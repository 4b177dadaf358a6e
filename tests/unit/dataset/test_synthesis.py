"""Forms are filled from one row of a table that stands in the document, or left out with a reason."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sovereign_tasks.config import PROJECT, DatasetConfig, ModelConfig, load_file
from sovereign_tasks.curate.extract import extract
from sovereign_tasks.dataset.examples import derive
from sovereign_tasks.dataset.forms.markdown import read_tables
from sovereign_tasks.demo.documents import documents
from sovereign_tasks.errors import UserError
from sovereign_tasks.example_rules import TemplateConfig
from sovereign_tasks.records import Example
from sovereign_tasks.training_config import TrainingConfig

from .test_examples import document
from .test_taxonomy import MODEL

TEMPLATE = TemplateConfig(
    name="prices",
    columns=["Material", "Area", "Price"],
    questions=["What does {material} cost for {area}?", "{Material} for {area}: how much is it?"],
    answers=["It comes to {price} for {area} of {material}, all work included.", "Plan {PRICE} for it, all included."],
    per_row=2,
)
PAGE = """Prices of the house.

| Material | Area | Crew | Price |
|:---|---:|---|---|
| **Metal** | 1,200 square feet | Ann | $9,600 to $18,000 |
| Clay tile | 1,200 square feet | Bob | $14,400 to $24,000 |
| Metal | 1,800 square feet | Ann | $14,400 to $27,000 |

More text.
"""


def made(text: str, *templates: TemplateConfig, **more) -> tuple[list[Example], dict[str, str]]:
    """What templates add to a document: examples, and the measured value by the reason of each rejection."""
    page, config = document("d", text, **more), DatasetConfig(min_answer_chars=20)
    _, plain = derive([page], config)
    examples, rejections = derive([page], config.model_copy(update={"synthesis": templates or [TEMPLATE]}))
    known = {r.row_id for r in plain}
    return [e for e in examples if e.kind == "synthetic"], {
        r.reason: r.measured for r in rejections if r.row_id not in known
    }


def test_slots_of_an_example_come_from_one_row_and_its_spans_are_header_and_row() -> None:
    examples, rejected = made(PAGE)
    assert (len(examples), rejected) == (6, {})
    lines = PAGE.splitlines()
    for example in examples:
        header, row = (PAGE[span["start"] : span["end"]] for span in example.spans)
        assert header == lines[2]
        assert row in lines[4:7]
        _, material, area, _, price, _ = (cell.strip(" *") for cell in row.split("|"))
        assert material in example.question
        assert area in example.question
        assert price in example.answer
        assert price not in example.question
        assert (example.doc_ids, example.group, example.source) == (["d"], "g", "web")
    asked = [e.question for e in examples]
    assert len(set(asked)) == 6
    assert {q.split(" for ")[0] for q in asked} >= {"What does Metal cost", "Metal"}


def test_a_second_look_gives_the_same_and_another_seed_other_forms() -> None:
    single = TEMPLATE.model_copy(update={"per_row": 1})
    assert made(PAGE, single) == made(PAGE, single)
    seeds = {tuple(e.question for e in made(PAGE, single.model_copy(update={"seed": n}))[0]) for n in range(20)}
    assert len(seeds) > 1


def test_what_other_rows_say_changes_nothing_about_a_row() -> None:
    single = TEMPLATE.model_copy(update={"per_row": 1})
    before = {e.example_id for e in made(PAGE, single)[0]}
    lines = PAGE.splitlines(keepends=True)
    after = {e.example_id for e in made("".join([*lines[:4], "| Slate | 900 | Eve | $1 |\n", *lines[5:]]), single)[0]}
    assert len(before & after) == 2


@pytest.mark.parametrize(
    ("row", "reason", "measured"),
    [
        ("| Slate | 900 square feet | Eve |", "ragged_row", "3 of 4 columns"),
        ("| Slate | 900 | square feet | Eve | $9 |", "ragged_row", "5 of 4 columns"),
        ("| Slate | 900 square feet | Eve | |", "empty_cell", "price"),
        ("| Slate | 900 square feet | Eve | – |", "empty_cell", "price"),
        ("| Slate | n/a | Eve | $9 |", "empty_cell", "area"),
        ("| Slate at $9 | 900 square feet | Eve | $9 |", "answer_in_question", "$9"),
        ("| Metal | 1,200 Square Feet | Eve | $7,000 |", "ambiguous_question", "1 other answers in the tables it fits"),
    ],
)
def test_a_row_that_would_make_a_bad_example_is_left_out_with_a_reason(row: str, reason: str, measured: str) -> None:
    examples, rejected = made(PAGE.replace("\n\nMore", f"\n{row}\n\nMore"))
    assert rejected == {reason: measured}
    assert len(examples) == (4 if reason == "ambiguous_question" else 6)


def test_tables_that_contradict_each_other_make_the_question_ambiguous() -> None:
    other = PAGE.replace("$9,600 to $18,000", "$11,000 to $20,000").replace("Prices of the house", "Prices of May")
    for pages in ([document("d", PAGE + other)], [document("d", PAGE), document("e", other)]):
        examples, rejections = derive(pages, DatasetConfig(min_answer_chars=20, synthesis=[TEMPLATE]))
        asked = [e.question for e in examples if e.kind == "synthetic"]
        assert not any("Metal" in question and "1,200" in question for question in asked)
        assert any("Clay tile" in question for question in asked)
        ambiguous = [r for r in rejections if r.reason == "ambiguous_question"]
        assert len(ambiguous) == 4
        assert {r.measured for r in ambiguous} == {"1 other answers in the tables it fits"}


def test_rows_that_agree_on_what_is_told_are_not_ambiguous() -> None:
    asking = {"columns": ["Material", "Crew"], "questions": ["Who does {material}?"], "per_row": 1}
    examples, rejected = made(PAGE, TEMPLATE.model_copy(update=asking | {"answers": ["That work is done by {crew}."]}))
    assert ({e.question for e in examples}, rejected) == ({"Who does Metal?", "Who does Clay tile?"}, {})


@pytest.mark.parametrize(
    "text",
    [
        PAGE.replace("Price |", "Cost |"),
        PAGE.replace("Crew", "Price"),
        PAGE.replace("|:---|---:|---|---|\n", ""),
        PAGE.replace("\n|:---", "\n\n|:---"),
        f"```\n{PAGE}\n```",
    ],
)
def test_a_table_without_each_column_once_is_not_used(text: str) -> None:
    assert made(text) == ([], {})


@pytest.mark.parametrize("more", [{"kind": "mail"}, {"kind": "reddit"}, {"kind": "files", "score": 1}, {"parent": "p"}])
def test_what_people_tell_each_other_is_no_table_of_facts(more: dict) -> None:
    assert made(PAGE, **more)[0] == []


def test_a_short_answer_is_left_out_as_any_other() -> None:
    template = TEMPLATE.model_copy(update={"answers": ["{price}."], "per_row": 1})
    examples, rejected = made(PAGE, template)
    assert (examples, {*rejected}) == ([], {"answer_too_short"})


@given(st.text("|-:`\\ab \n", max_size=60))
def test_any_text_gives_tables_whose_lines_stand_in_it(text: str) -> None:
    for table in read_tables(text):
        for line in (table.header, *table.rows):
            assert "|" in text[line.start : line.end]
            assert "\n" not in text[line.start : line.end]


CELL = st.text("abc $1,", min_size=1, max_size=6)
ROWS = st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6)


@given(ROWS)
def test_every_fact_stands_in_the_row_that_the_example_rests_on(rows: list[tuple[str, str, str]]) -> None:
    template = TEMPLATE.model_copy(
        update={"questions": ["<{material}> <{area}>?"], "answers": ["A fit answer: <{price}>."], "per_row": 1}
    )
    table = "\n".join(f"| {' | '.join(row)} |" for row in (("Material", "Area", "Price"), ("---",) * 3, *rows))
    examples, rejected = made(table, template)
    assert examples or rejected
    for example in examples:
        span = example.spans[1]
        cells = [" ".join(cell.split()) for cell in table[span["start"] : span["end"]].strip("|").split("|")]
        assert [f"<{cells[0]}> <{cells[1]}>?", f"A fit answer: <{cells[2]}>."] == [example.question, example.answer]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"questions": []}, "dataset.synthesis.prices.questions: needs at least 1 entry."),
        (
            {"questions": ["What does {materiel} cost?"]},
            "{materiel} in 'What does {materiel} cost?' is none of its columns; did you mean Material?",
        ),
        (
            {"questions": ["What does it cost?"]},
            "'What does it cost?' has no slot; name a column in braces, such as {Material}.",
        ),
        ({"answers": ["It costs {price."]}, "'It costs {price.' has a brace that is no slot; write a column as "),
        (
            {"answers": ["{material} is sold."]},
            "the answer '{material} is sold.' tells nothing that the question 'What does {material} cost?' does not "
            "name; give it a slot that the question lacks.",
        ),
        ({"per_row": 2}, "dataset.synthesis.prices: per_row is 2, but there are 1 forms of question."),
        ({"columns": ["Material", "Price", "price"]}, "the column 'Price' stands in it twice."),
        (
            {"columns": ["Material", "Price {USD}"]},
            "dataset.synthesis.prices: the column 'Price {USD}' has a brace, which no slot can hold; use columns "
            "without braces.",
        ),
        ({"colums": ["x"]}, "dataset.synthesis.prices.colums is not a known key; did you mean columns?"),
    ],
)
def test_a_template_that_can_not_work_is_refused(tmp_path: Path, changed: dict, said: str) -> None:
    template = {
        "name": "prices",
        "columns": ["Material", "Price"],
        "questions": ["What does {material} cost?"],
        "answers": ["It costs {price}."],
    }
    path = tmp_path / "siding.yaml"
    path.write_text(MODEL.replace("taxonomy:\n", f"synthesis: [{template | changed}]\n"))
    with pytest.raises(UserError) as caught:
        load_file(path)
    assert str(caught.value).endswith(said) or said in str(caught.value)
    path.write_text(MODEL.replace("taxonomy:\n", f"synthesis: [{template}, {template}]\n"))
    with pytest.raises(UserError, match="two templates are named 'prices'"):
        load_file(path)


def test_what_a_template_adds_leaves_the_other_examples_as_they_are() -> None:
    page = document("d", "## How long does it last?\n\nIt lasts forty years and more if it is looked after.\n\n" + PAGE)
    plain, _ = derive([page], DatasetConfig())
    more, _ = derive([page], DatasetConfig(synthesis=[TEMPLATE]))
    assert [e for e in more if e.kind != "synthetic"] == plain
    other = replace(page, doc_id="e")
    assert len(derive([page, other], DatasetConfig(synthesis=[TEMPLATE]))[0]) == 2 * len(more)


def test_the_settings_in_the_docs_work_as_they_say() -> None:
    page = (PROJECT / "docs" / "taxonomy.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    labels, training, templates = (block[key] for block in blocks for key in block)
    assert len(DatasetConfig.model_validate(labels).taxonomy) == 4
    assert TrainingConfig.model_validate(training).sampling.max_source_share == 0.6
    (table,) = re.findall(r"```markdown\n(.*?)```", page, re.DOTALL)
    examples, rejected = made(table, *DatasetConfig.model_validate(templates).synthesis)
    assert (len(examples), rejected) == (4, {})


def test_the_bundled_template_finds_its_table() -> None:
    model: ModelConfig = load_file(PROJECT / "config" / "roofing.yaml")
    guide = extract(documents(1)["estimating-guide.md"].encode(), "text/markdown").text
    assert "1,800 sq ft" in guide
    rewritten = document("d", guide.replace("1,800 sq ft", "1,800 square feet"), kind="files")
    examples, _ = derive([rewritten], model.dataset)
    made = [e for e in examples if e.kind == "synthetic"]
    assert len(made) == 4
    assert all(re.search(r"\$\d+ to \$\d+ per square foot .* \$[\d,]+ to \$[\d,]+\.", e.answer) for e in made)
