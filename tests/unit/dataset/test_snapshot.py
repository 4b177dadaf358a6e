"""A version is the fold of its events; the hash knows rows and nothing else; tampering shows."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.records import Example, Membership
from sovereign_tasks.store import newest_rows


def example(n: int, group: str = "g", answer: str = "An answer.") -> Example:
    messages = [{"role": "user", "content": f"Question {n}?"}, {"role": "assistant", "content": answer}]
    return Example(f"{n:04x}", "heading", "web", group, "en", messages, ["d"], [])


NOTHING = Membership.schema.empty_table()


def apply(state: pa.Table, events: list[Membership]) -> pa.Table:
    return newest_rows(pa.concat_tables([state, Membership.to_table(events)]), "example_id")


def change(state: pa.Table, kept: list[tuple[Example, str]], near: set[str], touched: set[str]) -> list[Membership]:
    return versions.change(versions.by_example(state), kept, dict.fromkeys(near, versions.NEAR_HOLDOUT), touched)


def ids(state: pa.Table) -> list[str]:
    return state["example_id"].to_pylist()


def test_new_rows_join_and_a_second_look_changes_nothing() -> None:
    kept = [(example(1), "train"), (example(2), "holdout")]
    events = change(NOTHING, kept, set(), {"g"})
    state = apply(NOTHING, events)
    assert versions.count(state) == {"holdout": 1, "train": 1}
    assert change(state, kept, set(), {"g"}) == []


def test_what_a_touched_group_no_longer_says_leaves_and_others_stay() -> None:
    state = apply(NOTHING, change(NOTHING, [(example(1), "train"), (example(2, "other"), "train")], set(), {"g"}))
    events = change(state, [(example(2, "other"), "train")], set(), {"g"})
    assert [(e.example_id, e.change, e.reason) for e in events] == [("0001", -1, "source_changed")]


def test_a_row_near_the_holdout_stays_out_and_comes_in_when_that_row_goes() -> None:
    kept = [(example(1), "train")]
    state = apply(NOTHING, change(NOTHING, kept, {"0001"}, {"g"}))
    assert ids(versions.members(state)) == []
    assert ids(versions.candidates(state)) == ["0001"]
    assert change(state, kept, {"0001"}, {"g"}) == []
    back = change(state, kept, set(), {"g"})
    assert [(e.example_id, e.change) for e in back] == [("0001", 1)]


def test_the_hash_is_of_rows_and_not_of_how_they_came() -> None:
    one, two = (example(1), "train"), (example(2), "train")
    at_once = apply(NOTHING, change(NOTHING, [one, two], set(), {"g"}))
    first = apply(NOTHING, change(NOTHING, [two], set(), {"g"}))
    in_turn = apply(first, change(first, [one, two], set(), {"g"}))
    assert versions.content_hash(at_once) == versions.content_hash(in_turn)
    assert versions.content_hash(at_once) != versions.content_hash(first)


def test_the_split_is_part_of_a_row() -> None:
    assert versions.row_digest(example(1), "train") != versions.row_digest(example(1), "holdout")


def test_missing_and_altered_rows_show_unless_they_were_removed() -> None:
    rows = [example(1), example(2)]
    state = apply(NOTHING, change(NOTHING, [(e, "train") for e in rows], set(), {"g"}))
    digests = {e.example_id: [versions.row_digest(e, "train")] for e in rows}
    assert versions.find_faults(state, digests, set()) == []
    altered = replace(rows[0], messages=[*rows[0].messages[:1], {"role": "assistant", "content": "Another."}])
    assert versions.find_faults(state, {"0001": [versions.row_digest(altered, "train")]}, set()) == [
        "example 0001 is not what was published",
        "example 0002 is missing",
    ]
    assert versions.find_faults(state, {"0001": digests["0001"]}, {"0002"}) == []


def test_a_row_whose_group_is_held_out_now_leaves_training() -> None:
    state = apply(NOTHING, change(NOTHING, [(example(1), "train")], set(), {"g"}))
    (event,) = change(state, [(example(1, "h"), "holdout")], set(), {"g", "h"})
    assert (event.change, event.split, event.group, event.reason) == (1, "holdout", "h", "new")
    assert versions.count(apply(state, [event])) == {"holdout": 1}
