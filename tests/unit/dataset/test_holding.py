"""Mail waits: all of it without a recogniser of names, the first examples of each source with one."""

from __future__ import annotations

from sovereign_tasks.dataset.holding import FIRST, HELD_MAIL, NO_RECOGNISER, Review, hold_mail
from sovereign_tasks.records import Example


def example(n: int, source: str = "inbox") -> Example:
    messages = [{"role": "user", "content": f"Question {n}?"}, {"role": "assistant", "content": "An answer."}]
    return Example(f"{n:04x}", "mail", source, "g", "en", messages, ["d"], [])


EXAMPLES = [example(n) for n in range(5)]


def review(**changes: object) -> Review:
    return Review({"inbox", "other"}, 3, {}, recognises_names=True, released=())._replace(**changes)


def ids(examples: list[Example]) -> list[str]:
    return [e.example_id for e in examples]


def test_without_a_recogniser_all_mail_waits_and_nothing_else_does() -> None:
    site = example(9, "site")
    passed, held = hold_mail([*EXAMPLES, site], review(recognises_names=False))
    assert passed == [site]
    assert [r.row_id for r in held] == ids(EXAMPLES)
    assert {r.reason for r in held} == {HELD_MAIL}
    assert [r.measured for r in held] == [f"{FIRST} 3 of its source"] * 3 + [NO_RECOGNISER] * 2
    assert held[0].text == "Question 0?\n\nAn answer."


def test_with_a_recogniser_the_first_of_each_source_wait() -> None:
    passed, held = hold_mail([*EXAMPLES, example(7, "other")], review())
    assert ids(passed) == ["0003", "0004"]
    assert [r.row_id for r in held] == ["0000", "0001", "0002", "0007"]


def test_those_that_came_first_wait_on_another_night_too_and_no_more_do() -> None:
    came = dict.fromkeys(["0003", "0004", "00aa"], "inbox")
    passed, held = hold_mail(EXAMPLES, review(came_first=came))
    assert ids(passed) == ["0000", "0001", "0002"]
    assert [r.row_id for r in held] == ["0003", "0004"]


def test_what_a_person_released_goes_on_and_its_place_is_not_given_away() -> None:
    came = dict.fromkeys(["0000", "0001", "0002"], "inbox")
    passed, held = hold_mail(EXAMPLES, review(came_first=came, released={"0001"}, recognises_names=False))
    assert ids(passed) == ["0001"]
    assert [r.measured for r in held] == [f"{FIRST} 3 of its source"] * 2 + [NO_RECOGNISER] * 2
