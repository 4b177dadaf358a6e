"""A sample keeps to its caps, is as large as they admit, takes evenly, and says what each left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovereign_tasks.records import Example
from sovereign_tasks.train import sampling
from sovereign_tasks.train.sampling import Sample, sample
from sovereign_tasks.training_config import SamplingConfig

Cells = dict[tuple[str, str, str], int]


def rows_of(cells: Cells) -> tuple[list[Example], dict[str, str]]:
    """Examples of (source, label, kind) in these numbers, and their labels by id."""
    rows, labels = [], {}
    messages = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]
    for (source, label, kind), count in cells.items():
        for _ in range(count):
            example = Example(f"{len(rows):04x}", kind, source, "g", "en", messages, ["d"], [])
            rows.append(example)
            labels[example.example_id] = label
    return rows, labels


def drawn(cells: Cells, seed: int = 42, **shares: float) -> tuple[Sample, Cells]:
    """The sample, and its rows per cell."""
    rows, labels = rows_of(cells)
    sampled = sample(rows, labels, SamplingConfig(**shares), seed)
    return sampled, Counter((e.source, labels[e.example_id], e.kind) for e in sampled.examples)


def keeps(cells: Cells, source: Fraction, label: Fraction, synthetic: Fraction) -> bool:
    """Whether rows in these numbers are within the shares."""
    total = sum(cells.values())
    for at, share in ((0, source), (1, label)):
        for name in {cell[at] for cell in cells}:
            if sum(n for cell, n in cells.items() if cell[at] == name) > share * total:
                return False
    return sum(n for cell, n in cells.items() if cell[2] == "synthetic") <= synthetic * total


SHARES = st.sampled_from([0.25, 0.3, 0.5, 0.6, 0.75, 1.0])
CELLS = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from(["faq", "synthetic"])),
    st.integers(1, 4),
    min_size=1,
    max_size=5,
)


@given(CELLS, SHARES, SHARES, SHARES)
@settings(max_examples=60, deadline=None)
def test_a_sample_keeps_to_its_caps_and_no_larger_one_does(
    cells: Cells, source: float, label: float, synthetic: float
) -> None:
    sampled, taken = drawn(cells, max_source_share=source, max_label_share=label, max_synthetic_share=synthetic)
    shares = {"source": source, "label": label, "synthetic": synthetic}
    kept = {k: Fraction(1 if k in sampled.not_capped else str(v)) for k, v in shares.items()}
    assert keeps(taken, **kept)
    every = (dict(zip(cells, numbers, strict=True)) for numbers in product(*(range(n + 1) for n in cells.values())))
    assert taken.total() == max(sum(some.values()) for some in every if keeps(some, **kept))
    assert sum(sampled.left_out.values()) == sum(cells.values()) - taken.total()
    assert sampled.examples
    assert not set(sampled.left_out) & set(sampled.not_capped)


def test_without_too_much_of_anything_all_rows_are_sampled_in_order() -> None:
    rows, labels = rows_of({("a", "x", "faq"): 7, ("b", "y", "synthetic"): 3})
    assert sample(rows, labels, SamplingConfig(), 1) == Sample(rows, {}, [])


def test_synthetic_rows_make_three_of_ten_by_default() -> None:
    sampled, taken = drawn({("a", "x", "faq"): 70, ("a", "x", "synthetic"): 500})
    assert taken == {("a", "x", "faq"): 70, ("a", "x", "synthetic"): 30}
    assert (sampled.left_out, sampled.not_capped) == ({"synthetic": 470}, [])


def test_a_share_is_exact_where_floats_are_not() -> None:
    _, taken = drawn({("a", "x", "faq"): 71, ("a", "x", "synthetic"): 50}, max_synthetic_share=0.29)
    assert taken["a", "x", "synthetic"] == 29


def test_what_a_cap_leaves_out_is_spread_over_what_it_caps() -> None:
    cells = {("a", "x", "faq"): 300, ("a", "y", "faq"): 100, ("b", "x", "faq"): 50, ("b", "y", "faq"): 50}
    sampled, taken = drawn(cells, max_source_share=0.5)
    assert sampled.left_out == {"source": 300}
    assert taken["b", "x", "faq"] + taken["b", "y", "faq"] == 100
    assert 70 <= taken["a", "x", "faq"] <= 80
    assert 20 <= taken["a", "y", "faq"] <= 30


def test_the_seed_decides_which_rows_and_their_order_does_not() -> None:
    cells = {("a", "x", "faq"): 90, ("b", "x", "faq"): 30}
    rows, labels = rows_of(cells)
    config = SamplingConfig(max_source_share=0.5)
    shuffled = Random(3).sample(rows, len(rows))
    assert sample(rows, labels, config, 1) == sample(shuffled, labels, config, 1)
    ids = {tuple(e.example_id for e in sample(rows, labels, config, seed).examples) for seed in range(5)}
    assert len(ids) == 5


def test_a_new_row_moves_few_others() -> None:
    cells = {("a", "x", "faq"): 900, ("b", "x", "faq"): 300}
    rows, labels = rows_of(cells)
    config = SamplingConfig(max_source_share=0.5)
    before = {e.example_id for e in sample(rows, labels, config, 1).examples}
    new = replace(rows[-1], example_id="ffff")
    after = {e.example_id for e in sample([*rows, new], labels, config, 1).examples}
    assert len(before - after) == 0
    assert len(after - before) == 2


def test_a_cap_that_no_sample_can_keep_to_is_set_aside_and_named() -> None:
    alone = {("a", "x", "faq"): 5, ("a", "y", "faq"): 5}
    sampled, taken = drawn(alone, max_source_share=0.5)
    assert (taken, sampled.not_capped, sampled.left_out) == (alone, ["source"], {})
    sampled, taken = drawn({("a", "x", "synthetic"): 5})
    assert (taken.total(), sampled.not_capped) == (5, ["synthetic"])
    made = {("a", "x", "faq"): 7, ("a", "x", "synthetic"): 9}
    sampled, taken = drawn(made, max_source_share=0.5, max_label_share=0.5)
    assert (taken.total(), sampled.not_capped, sampled.left_out) == (10, ["label", "source"], {"synthetic": 6})


@given(CELLS, SHARES, SHARES, SHARES)
@settings(max_examples=60, deadline=None)
def test_a_solver_without_time_leaves_a_sample_that_keeps_to_its_caps(
    cells: Cells, source: float, label: float, synthetic: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "_SECONDS", 0)
        sampled, taken = drawn(cells, max_source_share=source, max_label_share=label, max_synthetic_share=synthetic)
    shares = {"source": source, "label": label, "synthetic": synthetic}
    assert keeps(taken, **{k: Fraction(1 if k in sampled.not_capped else str(v)) for k, v in shares.items()})
    assert sampled.examples
    assert sum(sampled.left_out.values()) == sum(cells.values()) - taken.total()


def test_a_solver_without_time_leaves_most_of_what_there_could_be(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = {("a", "x", "faq"): 300, ("b", "x", "faq"): 50, ("b", "y", "faq"): 50, ("c", "y", "synthetic"): 900}
    shares = {"max_source_share": 0.5, "max_label_share": 0.6}
    most, _ = drawn(cells, **shares)
    monkeypatch.setattr(sampling, "_SECONDS", 0)
    quick, taken = drawn(cells, **shares)
    assert quick.not_capped == []
    assert 0.75 * len(most.examples) <= len(quick.examples) <= len(most.examples)
    assert abs(taken["b", "x", "faq"] - taken["b", "y", "faq"]) <= 25
    alone = {(name, "x", "faq"): 1 for name in "abcdefghij"}
    quick, taken = drawn({**alone, ("k", "x", "faq"): 30}, max_source_share=0.5)
    assert (taken.total(), quick.not_capped) == (20, [])


def test_nothing_to_sample_is_no_fault() -> None:
    assert sample([], {}, SamplingConfig(max_source_share=0.5), 1) == Sample([], {}, [])
