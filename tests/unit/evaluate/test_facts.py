"""The exact facts of a text, however they are written."""

from __future__ import annotations

import pytest

from sovereign_tasks.evaluate.facts import fact_recall, find_facts


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (
            "Metal roofing costs $8-15 per square foot installed, so $19,200-36,000 for a 2,400 square foot ranch.",
            {"8 $", "15 $", "19200 $", "36000 $", "2400 sq ft"},
        ),
        ("Standing seam lasts 40-70 years at 130+ mph.", {"40 year", "70 year", "130 mph"}),
        ("From 15 to 20 percent, and 30% at most.", {"15 %", "20 %", "30 %"}),
        ("$10-12k, or $1.5M for all.", {"10000 $", "12000 $", "1500000 $"}),
        ("A load of 12kg, $12kg apart.", {"12 kg", "12 $"}),
        ("Lay 2x4 studs and a 2 by 4 foot skylight, 3 in by 4 in.", {"2 x 4", "2 ft x 4 ft", "3 in x 4 in"}),
        ("Between 12 and 24 inches; Class 4 and 120 mph.", {"12 in", "24 in", "4", "120 mph"}),
        ("Below -20 °F, above 90 degrees Fahrenheit.", {"-20 °F", "90 °F"}),
        ("By March 3rd, May 2024 or 5/01/2024 at 10:30.", {"03-03", "2024-05", "5/1/2024", "10:30"}),
        ("One of them needs two rows, six nails in all.", set()),
        ("Half an inch, two and a half feet, twenty-five years.", {"1/2 in", "5/2 ft", "25 year"}),
        ("1. Cut 4 in the valley.\n2. Nail it.\n\n3) Wait for two to three hours.", {"4", "2 hour", "3 hour"}),
        ("Call [PHONE_1] about ASTM D3462 or version 1.2.3.", set()),
        ("The cost, (about) nothing.", set()),
    ],
)
def test_what_counts_as_a_fact(text: str, facts: set[str]) -> None:
    assert find_facts(text) == facts


@pytest.mark.parametrize(
    "forms",
    [
        ["$12k", "$12,000", "12,000 dollars", "12 thousand dollars", "$ 12000.00"],
        ["3 1/2 in", "3-1/2 inches", '3½"', "3.5 inch", "3.5-inch"],
        ["5/12", "5:12", "5 in 12", "5-in-12"],
        ["1,800 sq ft", "1800 square feet", "1,800 sq. ft.", "1800 sf", "1,800 ft²"],
        ["May 1, 2024", "1 May 2024", "1st of May, 2024", "2024-05-01", "May 1st 2024"],
        ["six inches", "6 in.", '6"', "6-inch"],
        ["8' x 10'", "8 ft by 10 ft", "8×10 feet", "8 x 10 ft"],
        ["30%", "30 percent", "thirty percent"],
        ["10 to 12 days", "10-12 days", "10–12 days", "between 10 and 12 days"],
    ],
    ids=lambda forms: forms[0],
)
def test_a_fact_has_one_form_however_it_is_written(forms: list[str]) -> None:
    assert len({frozenset(find_facts(form)) for form in forms}) == 1
    assert find_facts(forms[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("8 feet", "8 inches"),
        ("$500", "500"),
        ("6/12", "1/2 in"),
        ("2.5 in", "25 in"),
        ("2x4", "4x2"),
        ("5/12", "6/12"),
    ],
)
def test_other_facts_stay_apart(one: str, other: str) -> None:
    assert not find_facts(one) & find_facts(other)


def test_the_share_of_facts_that_an_answer_has() -> None:
    wanted = "It costs $500 to $900 and takes 2-3 days on a slope of 6 in 12."
    assert fact_recall("Expect 500 dollars, two days, and 6/12.", wanted) == pytest.approx(3 / 5)
    assert fact_recall(wanted, wanted) == 1.0
    assert fact_recall("About 500.", wanted) == 0.0
    assert fact_recall("It costs $500.", "Ask a roofer.") is None


@pytest.mark.parametrize(
    "unit",
    ["1", "1,", "1/", "1 ", "1-", "1.1", "1 x ", "one and a ", "twenty ", "$ ", "May ", "\n 1", "half of a ", "\t"],
)
def test_hostile_text_costs_what_its_length_costs(unit: str) -> None:
    find_facts(unit * 40_000)  # by its square it would take hours


def test_letters_that_only_fold_to_ours_are_no_numbers() -> None:
    assert find_facts("\u017fix and a half feet, an e\u0131ghth inch, 5 \u212ag") <= {"1/2 ft", "5"}
