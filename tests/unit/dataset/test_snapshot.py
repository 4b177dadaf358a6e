"""A version is the fold of its events; the hash knows rows and nothing else; tampering shows."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.records import Example, Membership


def example(n: int, group: str = "g", answer: str = "An answer.") -> Example:
    messages = [{"role": "user", "content": f"Question {n}?"}, {"role": "assistant", "content": answer}]
    return Example(f"{n:04x}", "heading", "web", group, "en", messages, ["d"], [])


def apply(state: dict[str, Membership], events: list[Membership]) -> dict[str, Membership]:
    table = pa.concat_tables([Membership.to_table(state.values()), Membership.to_table(events)])
    return versions.fold(table)


def test_new_rows_join_and_a_second_look_changes_nothing() -> None:
    kept = [(example(1), "train"), (example(2), "holdout")]
    events = versions.change({}, kept, set(), {"g"})
    state = apply({}, events)
    assert versions.count(state) == {"holdout": 1, "train": 1}
    assert versions.change(state, kept, set(), {"g"}) == []


def test_what_a_touched_group_no_longer_says_leaves_and_others_stay() -> None:
    state = apply({}, versions.change({}, [(example(1), "train"), (example(2, "other"), "train")], set(), {"g"}))
    events = versions.change(state, [(example(2, "other"), "train")], set(), {"g"})
    assert [(e.example_id, e.change, e.reason) for e in events] == [("0001", -1, "source_changed")]


def test_a_row_near_the_holdout_stays_out_and_comes_in_when_that_row_goes() -> None:
    kept = [(example(1), "train")]
    state = apply({}, versions.change({}, kept, {"0001"}, {"g"}))
    assert versions.members(state) == {}
    assert versions.candidates(state).keys() == {"0001"}
    assert versions.change(state, kept, {"0001"}, {"g"}) == []
    back = versions.change(state, kept, set(), {"g"})
    assert [(e.example_id, e.change) for e in back] == [("0001", 1)]


def test_the_hash_is_of_rows_and_not_of_how_they_came() -> None:
    one, two = (example(1), "train"), (example(2), "train")
    at_once = apply({}, versions.change({}, [one, two], set(), {"g"}))
    first = apply({}, versions.change({}, [two], set(), {"g"}))
    in_turn = apply(first, versions.change(first, [one, two], set(), {"g"}))
    assert versions.content_hash(at_once) == versions.content_hash(in_turn)
    assert versions.content_hash(at_once) != versions.content_hash(first)


def test_the_split_is_part_of_a_row() -> None:
    assert versions.row_digest(example(1), "train") != versions.row_digest(example(1), "holdout")


def test_missing_and_altered_rows_show_unless_they_were_removed() -> None:
    rows = [example(1), example(2)]
    state = apply({}, versions.change({}, [(e, "train") for e in rows], set(), {"g"}))
    assert versions.find_faults(state, rows, set()) == []
    altered = replace(rows[0], messages=[*rows[0].messages[:1], {"role": "assistant", "content": "Another."}])
    assert versions.find_faults(state, [altered], set()) == [
        "0001 is not what was published",
        "0002 is missing",
    ]
    assert versions.find_faults(state, rows[:1], {"0002"}) == []
