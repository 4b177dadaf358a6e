"""Means by slice, and rows of all models side by side."""

from __future__ import annotations

import json
import math

import pytest

from sovereign_tasks.evaluate.slices import LEAST_ROWS, skill_means, slice_means, table_of
from sovereign_tasks.records import EvalReport

ANSWER = "It costs $500, said Nobody in particular."


def report(subject: str, shift: float = 0.0) -> EvalReport:
    n = 2 * LEAST_ROWS + 3
    kinds = ["faq" if i < LEAST_ROWS else "howto" if i < 2 * LEAST_ROWS else "spec" for i in range(n)]
    return EvalReport(
        subject,
        "holdout",
        [f"e{i:02d}" for i in range(n)],
        [f"g{i}" for i in range(n)],
        {"nll": [i + shift for i in range(n)], "facts": [None, *(0.5 for _ in range(n - 1))]},
        [ANSWER] * n,
        {"kind": kinds, "source": ["site"] * n},
    )


def general(subject: str) -> EvalReport:
    return EvalReport(subject, "general", ["e00", "q1"], ["a", "b"], {"general_nll": [1.0, math.nan]})


def test_means_are_of_the_rows_of_a_slice_where_there_are_enough() -> None:
    means = slice_means(report("candidate"))
    assert means == {
        "kind": {"faq": {"nll": 4.5}, "howto": {"nll": 14.5, "facts": 0.5}},  # of faq, nine rows state facts
        "source": {"site": {"nll": 11.0, "facts": 0.5}},
    }
    broken = report("candidate")
    broken.scores["nll"][0] = math.nan
    assert slice_means(broken)["kind"] == {"howto": means["kind"]["howto"]}
    assert slice_means(general("candidate")) == {}


def test_the_skill_that_was_lost_is_named() -> None:
    n = 2 * LEAST_ROWS
    ids, skills = [f"q{i}" for i in range(n)], ["order"] * LEAST_ROWS + ["reading"] * LEAST_ROWS
    base = EvalReport("base", "general", ids, ids, {"general_nll": [1.0] * n}, slices={"skill": skills})
    losses = [1.0] * LEAST_ROWS + [3.5] * LEAST_ROWS
    ours = EvalReport("candidate", "general", ids, ids, {"general_nll": losses}, slices={"skill": skills})
    assert skill_means(ours, base) == {
        "skill": {
            "order": {"general_nll": 1.0, "general_lost": 0.0},
            "reading": {"general_nll": 3.5, "general_lost": 2.5},
        }
    }
    fewer = EvalReport("base", "general", ids[1:], ids[1:], {"general_nll": [1.0] * (n - 1)})
    assert "general_lost" not in skill_means(ours, fewer)["skill"]["order"]


def test_the_table_joins_the_models_row_by_row_and_holds_no_text() -> None:
    models = {"candidate": 0.0, "base": 0.25, "champion": 0.5}
    table = table_of({name: {"holdout": report(name, at), "general": general(name)} for name, at in models.items()})
    ids = ["dataset", "example_id", "group", "kind", "source"]
    figures = [f"{metric}/{name}" for metric in ("facts", "general_nll", "nll") for name in models]
    assert table["columns"] == ids + figures
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert len(rows) == 2 * LEAST_ROWS + 3 + 2
    first, second = rows[0], rows[1]
    assert [first[name] for name in ids] == ["holdout", "e00", "g0", "faq", "site"]
    assert [second[f"nll/{name}"] for name in models] == [1.0, 1.25, 1.5]
    assert (first["facts/base"], second["facts/base"], second["general_nll/base"]) == (None, 0.5, None)
    same_id, last = rows[-2:]  # an id may stand in both sets
    assert (same_id["dataset"], same_id["example_id"], same_id["general_nll/base"]) == ("general", "e00", 1.0)
    assert (last["kind"], last["nll/base"], last["general_nll/base"]) == (None, None, None)
    assert ANSWER not in json.dumps(table, allow_nan=False)


def test_a_model_that_was_not_scored_has_no_columns() -> None:
    table = table_of({"candidate": {"holdout": report("candidate")}, "base": {"holdout": report("base")}})
    assert "nll/base" in table["columns"]
    assert not [name for name in table["columns"] if name.endswith("/champion")]
    assert table_of({"candidate": {}}) == {"columns": [], "data": []}


@pytest.mark.parametrize("subject", ["candidate", "base"])
def test_a_row_that_one_model_alone_has_is_kept(subject: str) -> None:
    whole, part = report("x"), general("x")
    other = "base" if subject == "candidate" else "candidate"
    table = table_of({subject: {"holdout": whole, "general": part}, other: {"holdout": whole}})
    assert len(table["data"]) == len(whole.example_ids) + len(part.example_ids)
