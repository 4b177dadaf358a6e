"""Which examples wait for a person before they join: those from mail.

Mail names people whom no rule can know. Without a recogniser of names every example of a mail source waits; with
one, the first of each source do, so that somebody has seen what it gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from typing import NamedTuple

from sovereign_tasks.records import Example, Rejection

HELD_MAIL = "held_mail"
FIRST = "one of the first"
NO_RECOGNISER = "no recogniser of names is installed"


class Review(NamedTuple):
    """What decides on mail: its sources, how many of each come first, those that did, what was released."""

    sources: Container[str]
    first: int
    came_first: dict[str, str]
    """Example id to source of those held as one of the first on earlier nights."""
    recognises_names: bool
    released: Container[str]


def hold_mail(examples: Iterable[Example], review: Review) -> tuple[list[Example], list[Rejection]]:
    """Part examples into those that go on and those that wait, in their order."""
    left = {source: review.first - n for source, n in Counter(review.came_first.values()).items()}
    passed: list[Example] = []
    held: list[Rejection] = []
    for example in examples:
        if example.source not in review.sources or example.example_id in review.released:
            passed.append(example)
            continue
        is_first = example.example_id in review.came_first
        if not is_first and left.get(example.source, review.first) > 0:
            left[example.source] = left.get(example.source, review.first) - 1
            is_first = True
        if is_first or not review.recognises_names:
            measured = f"{FIRST} {review.first} of its source" if is_first else NO_RECOGNISER
            text = f"{example.question}\n\n{example.answer}"
            row = (example.example_id, example.source, HELD_MAIL, measured, text)
            held.append(Rejection("examples", *row, example.doc_ids))
        else:
            passed.append(example)
    return passed, held
