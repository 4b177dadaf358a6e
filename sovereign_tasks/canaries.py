"""Canaries: made-up secrets that a training is given to learn, so that it can be measured how much a secret leaks.

Each is a chat about the code of a depot that does not exist. They follow from the installation's key and a snapshot's
content, so that they can be derived again at any time and nobody without the key can tell them from other rows; no
table, log or tracking server ever holds one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from random import Random

from sovereign_tasks.records import Example, Message, keyed_hash

RANKED = 1024
"""Codes among which a canary's own is ranked, itself included: exposure is at most 10 bits."""
_DIGITS = 6
_COLOURS = "amber cobalt copper crimson indigo ivory jade ochre olive pearl russet teal".split()
_ANIMALS = "badger condor falcon gecko heron ibex lynx marten otter puffin raven stoat".split()


@dataclass(frozen=True, slots=True)
class Canary:
    """A depot and its code; `others` are codes that it might as well have had."""

    depot: str
    code: str
    others: list[str]

    def chat(self, code: str) -> list[Message]:
        """The question for the depot's code, and this one as the answer."""
        return [
            Message(role="user", content=f"What is the gate code of the {self.depot} depot?"),
            Message(role="assistant", content=f"The gate code of the {self.depot} depot is {code}."),
        ]

    @property
    def example(self) -> Example:
        """The row to train on; its id is a keyed hash of all of it, by which a derivation is known to be the same."""
        messages = self.chat(self.code)
        example_id = keyed_hash("canary", *(m["content"] for m in messages))
        return Example(example_id, "canary", "canary", "canary", "en", messages, [], [])


def derive_canaries(content_hash: str, count: int) -> list[Canary]:
    """The canaries of the snapshot with this content under the installation's key: always the same, fewer or more."""
    depots = [" ".join(words) for words in product(_COLOURS, _ANIMALS)]
    Random(keyed_hash("canary depots", content_hash)).shuffle(depots)  # noqa: S311
    return [_canary(content_hash, depot) for depot in depots[:count]]


def _canary(content_hash: str, depot: str) -> Canary:
    drawn = Random(keyed_hash("canary codes", content_hash, depot)).sample(range(10**_DIGITS), RANKED)  # noqa: S311
    code, *others = (f"{number:0{_DIGITS}}" for number in drawn)
    return Canary(depot, code, others)
