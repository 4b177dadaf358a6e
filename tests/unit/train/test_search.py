"""Which settings are tried, and which rows tell them apart."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sovereign_tasks.config import config_hash
from sovereign_tasks.records import Example
from sovereign_tasks.train.search import VALIDATION_ROWS, best, validation_rows
from sovereign_tasks.training_config import TrainingConfig


def training(**settings: object) -> TrainingConfig:
    return TrainingConfig.model_validate(settings)


def test_every_combination_is_tried_with_alpha_in_proportion() -> None:
    block = training(lora={"rank": 16, "alpha": 32}, search={"rank": [4, 8], "learning_rate": [1e-4, 3e-4]})
    tried = block.trials()
    assert list(tried) == [
        "rank 4, rate 0.0001",
        "rank 4, rate 0.0003",
        "rank 8, rate 0.0001",
        "rank 8, rate 0.0003",
    ]
    smallest = tried["rank 4, rate 0.0003"]
    assert (smallest.lora.rank, smallest.lora.alpha, smallest.learning_rate) == (4, 8, 3e-4)
    assert smallest.search is None
    assert len({config_hash(t) for t in tried.values()}) == 4


def test_of_too_many_the_seed_draws_the_same_every_time() -> None:
    ranges = {"rank": [1, 2, 3, 4], "epochs": [1, 2, 3], "trials": 5}
    drawn = [list(training(seed=seed, search=ranges).trials()) for seed in (1, 1, 2)]
    assert len(drawn[0]) == 5
    assert drawn[0] == drawn[1] != drawn[2]


def test_one_training_and_both_starts() -> None:
    assert training().trials() == {"": training()}
    both = training(start="both").trials()
    assert {name: t.start for name, t in both.items()} == {"fresh": "fresh", "from the champion": "champion"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"search": {"rank": [8]}}, "nothing to compare"),
        ({"search": {"rank": [8, 0]}}, "rank: 0 is not above 0"),
        ({"search": {"rank": [8, 8]}}, "rank has a value twice"),
        ({"search": {"rank": [4, 8]}, "start": "both"}, "start: both does not go with search"),
        ({"search": {"rank": [4, 8]}, "method": "ia3"}, "search.rank has no meaning for the method ia3"),
    ],
)
def test_what_makes_no_search_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        training(**settings)


def test_rates_that_are_nearly_equal_are_two() -> None:
    assert len(training(search={"learning_rate": [1.2345671e-4, 1.2345672e-4]}).trials()) == 2


def test_what_chooses_by_held_out_rows() -> None:
    assert not training().chooses
    assert not training(start="champion").chooses
    for settings in ({"patience": 1}, {"start": "both"}, {"search": {"rank": [4, 8]}}):
        assert training(**settings).chooses


def test_the_lowest_loss_goes_on() -> None:
    assert best({"a": 1.2, "b": 0.9, "c": 0.9}) == "b"


def example(group: str, n: int) -> Example:
    return Example(f"{group}-{n}", "pair", "s", group, "en", [], [], [])


def test_validation_takes_whole_groups_and_at_most_half_of_them() -> None:
    held_out = [example(f"g{g}", n) for g in range(60) for n in range(3)]
    rows = validation_rows(held_out)
    assert VALIDATION_ROWS <= len(rows) < VALIDATION_ROWS + 3
    groups = {row.group for row in rows}
    assert len(rows) == 3 * len(groups)
    assert validation_rows(held_out[::-1])[0].group == rows[0].group
    assert len(validation_rows(held_out[:12])) == 6
    assert len(validation_rows(held_out[:3])) == 3
    assert validation_rows([]) == []
    assert len(validation_rows(held_out, leave=55)) == 15
    assert validation_rows(held_out[:12], leave=4) == []
