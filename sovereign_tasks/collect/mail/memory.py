"""What the ledger keeps of each message, so that a later night finds its place, its thread and what it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sovereign_tasks.collect.mail.folder import MARK
from sovereign_tasks.collect.mail.letter import Letter
from sovereign_tasks.collect.mail.threads import Node
from sovereign_tasks.records import SourceState, Validator, keyed_hash

ATTACHED = " attachment "  # an item of a message has no space in it
_MOST_PEOPLE, _FIRST, _LAST = 8, 2, 8


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a message: where it lies, its node and place in its thread, and why it was left out."""

    places: tuple[str, ...]
    fingerprint: str
    fault: str
    node: Node
    parent: str
    root: str
    digest: str

    def validator(self, item: str) -> Validator:
        """The message as the ledger keeps it."""
        n = self.node
        node = [n.answers, n.references, n.subject, n.marked, n.sender, n.recipients, n.outside, n.written]
        thread = json.dumps([self.fingerprint, self.fault, self.parent, self.root, node])
        return Validator(item, json.dumps(self.places), thread, self.digest)


def recall(state: SourceState) -> tuple[dict[str, Known], set[str]]:
    """The messages that the ledger keeps, by item, and the items to be given again whatever the mailbox says.

    These are live, but their validator, or that of what is attached to them, was cleared so that they come in full.
    """
    kept = state.validators
    again = {message_of(item) for _, item in state.known if not _says_anything(kept.get(item))}
    return _recall(kept, again), again


def message_of(item: str) -> str:
    """The item of the message that an item is, or is attached to."""
    return item.partition(ATTACHED)[0]


def _says_anything(kept: Validator | None) -> bool:
    return kept is not None and bool(kept.etag or kept.last_modified or kept.digest)


def _recall(validators: Mapping[str, Validator], again: set[str]) -> dict[str, Known]:
    known = {}
    for item, kept in validators.items():
        if item.startswith(MARK) or not kept.last_modified or item in again:
            continue
        fingerprint, fault, parent, root, node = json.loads(kept.last_modified)
        node = Node(short(item), *(tuple(part) if isinstance(part, list) else part for part in node))
        known[item] = Known(tuple(json.loads(kept.etag)), fingerprint, fault, node, parent, root, kept.digest)
    return known


def node_of(item: str, letter: Letter) -> Node:
    """A message's node, with no more of its ids and people than the ledger should keep."""
    references = letter.references
    if len(references) > _FIRST + _LAST:
        references = references[:_FIRST] + references[-_LAST:]
    return Node(
        key=short(item),
        answers=short(letter.answers),
        references=tuple(map(short, references)),
        subject=short(letter.subject.casefold()),
        marked=letter.marked,
        sender=short(letter.sender),
        recipients=tuple(map(short, letter.recipients[:_MOST_PEOPLE])),
        outside=tuple(map(short, letter.outside[:_MOST_PEOPLE])),
        written=int(letter.written.timestamp()) if letter.written else 0,
    )


def short(word: str) -> str:
    """A word as the ledger may keep it: hashed, and short, since there are many; empty stays empty."""
    return keyed_hash("mail", word)[:12] if word else ""
