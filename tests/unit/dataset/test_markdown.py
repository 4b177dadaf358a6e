"""Forms and templates read the same tables, out of the same lines, with the same words in their cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovereign_tasks.config import DatasetConfig
from sovereign_tasks.dataset.examples import derive
from sovereign_tasks.dataset.forms.markdown import read_lines, read_tables
from sovereign_tasks.dataset.forms.outline import read_outline
from sovereign_tasks.example_rules import TemplateConfig

from .test_examples import document

TEMPLATE = TemplateConfig(
    name="prices",
    columns=["Material", "Price"],
    questions=["What does {material} cost by the square foot?"],
    answers=["It comes to {price}, all work included."],
)
ROWS = ["**Clay** tile | $12 | 60 years", "[Slate](/slate) | $18 | 100 years"]
TABLE = "\n".join(f"| {line} |" for line in ("Material | Price | Life", "--- | --- | ---", *ROWS))
BARE = "\n".join(("Material | Price | Life", "--- | :-: | ---", *ROWS))


def told(text: str, template: TemplateConfig = TEMPLATE) -> dict[str, list[str]]:
    """The answers of a text by kind, in their order."""
    page = document("d", text, title="Roof materials")
    answers: dict[str, list[str]] = {}
    for example in sorted(
        derive([page], DatasetConfig(min_answer_chars=20, synthesis=[template]))[0], key=lambda e: e.spans[-1]["start"]
    ):
        answers.setdefault(example.kind, []).append(example.answer)
    return answers


FOUND = {
    "spec": ["Material: Clay tile; Price: $12; Life: 60 years", "Material: Slate; Price: $18; Life: 100 years"],
    "synthetic": ["It comes to $12, all work included.", "It comes to $18, all work included."],
}


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        BARE,
        f"The prices of May:\n{BARE}\nMore below.",
        f"| Prices of May |\n{TABLE}",
        TABLE.replace("| [Slate]", "|---|---|---|\n| [Slate]"),
        TABLE.replace("**Clay** tile", "***Clay*** tile").replace("[Slate](/slate)", "[Slate][1]"),
        f"```\n~~~\n```\n\n{TABLE}",
        f"~~~~\n~~~\n~~~~\n\n{TABLE}",
        f"```sh\nls | wc\n```\n{TABLE}",
    ],
)
def test_forms_and_templates_find_the_same_table(text: str) -> None:
    assert told(text) == FOUND


@pytest.mark.parametrize(
    "text",
    [
        f"```\n{TABLE}\n```",
        f"~~~\n{TABLE}\n~~~",
        f"~~~\n```\n{TABLE}",
        f"````\n```\n{TABLE}\n````",
        TABLE.replace("| --- | --- | --- |\n", ""),
        TABLE.replace("| --- | --- | --- |", "| --- | --- |"),
    ],
)
def test_what_stands_in_code_or_has_no_header_is_no_table(text: str) -> None:
    assert told(text) == {}


def test_a_column_that_begins_with_a_number_sign_keeps_it() -> None:
    text = "| Material | # of fasteners | Life |\n|---|---|---|\n| Slate | 2 | 100 years |\n| Tile | 1 | 60 years |"
    assert told(text)["spec"][0] == "Material: Slate; # of fasteners: 2; Life: 100 years"


def test_a_pipe_behind_a_backslash_is_a_cells_own() -> None:
    (table,) = read_tables("| a \\| b | `c` |\n|---|---|\n| d \\|")
    assert [table.header.cells, *(row.cells for row in table.rows)] == [["a | b", "c"], ["d |"]]


@pytest.mark.parametrize("price", ["**Price**", "[Price](/terms)", "`PRICE`"])
def test_a_templates_columns_are_read_as_headers_are(price: str) -> None:
    marked = TemplateConfig(
        **TEMPLATE.model_dump() | {"columns": ["Material", price], "answers": [f"It comes to {{{price}}} in all."]}
    )
    assert told(TABLE, marked)["synthetic"] == ["It comes to $12 in all.", "It comes to $18 in all."]


def test_a_table_within_a_lists_item_leaves_the_list_whole() -> None:
    indented = TABLE.replace("\n", "\n   ")
    text = f"1. Pick one of these:\n\n   {indented}\n2. Order it from us."
    assert [block.kind for block in read_outline(document("d", text)).blocks] == ["steps"]
    assert told(text)["synthetic"] == FOUND["synthetic"]


@given(st.text("|-:`~\\ab# \n", max_size=60))
def test_blocks_of_any_text_hold_its_lines_and_tables(text: str) -> None:
    assert "\n".join(line.text for line in read_lines(text)) == text
    blocks = read_outline(document("d", text)).blocks
    held = [block.table for block in blocks if block.table]
    assert held == [table for table in read_tables(text) if table in held]
    assert all(
        block.start <= block.table.header.start < block.table.end <= block.end for block in blocks if block.table
    )
