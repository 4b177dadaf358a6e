"""Which message answers which: by the ids that they name, else by subject and people."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_LONGEST_PAUSE = 30 * 86_400
_MOST_ALIKE = 200  # that many messages on one subject are looked through, else a flood of them would take forever


@dataclass(frozen=True, slots=True)
class Node:
    """A message as a thread sees it; ids, subjects and addresses may be short hashes, and `written` is in seconds.

    `outside` are the people beside the owner's side who wrote or got it; `marked` says that its subject calls it a
    reply; `subject` is empty where it tells nothing.
    """

    key: str
    answers: str
    references: tuple[str, ...]
    subject: str
    marked: bool
    sender: str
    recipients: tuple[str, ...]
    outside: tuple[str, ...]
    written: int


def link(nodes: Iterable[Node]) -> dict[str, tuple[str, str]]:
    """(parent, root) of each message by its key; a root's parent is empty and its root is itself.

    The parent is what the message says it answers, even where that is not there: the thread is then found through
    another id it names, or by its subject. Only a message that calls itself a reply and names nothing gets
    its parent by subject and people, within 30 days. The outcome depends on the set of messages alone, so a late
    one may change the thread of earlier ones.
    """
    ordered = sorted(nodes, key=lambda n: (n.written, n.key))
    known = {node.key: node for node in ordered}
    subjects: defaultdict[str, list[Node]] = defaultdict(list)
    for node in ordered:
        subjects[node.subject].append(node)
    above: dict[str, str] = {}
    parents: dict[str, str] = {}
    for node in ordered:
        named = [key for key in _candidates(node) if key in known]
        if not named and node.marked and node.subject:
            named = [found.key for found in _by_subject(node, subjects[node.subject], bool(node.references))]
        joined = next((key for key in named if node.key not in _upwards(key, above)), "")
        if joined:
            above[node.key] = joined
            parents[node.key] = node.answers or joined
    roots = _joined_roots([node for node in ordered if node.key not in above])
    found = {}
    for node in ordered:
        top = [*_upwards(node.key, above)][-1]
        root = roots.get(top, top)
        found[node.key] = (parents.get(node.key, node.answers if root != node.key else ""), root)
    return found


def _candidates(node: Node) -> Iterator[str]:
    """What a message may answer, the likeliest first."""
    if node.answers:
        yield node.answers
    yield from reversed(node.references)


def _upwards(key: str, above: Mapping[str, str]) -> Iterator[str]:
    yield key
    while key in above:
        key = above[key]
        yield key


def _by_subject(node: Node, same: Sequence[Node], names_others: bool) -> Iterator[Node]:
    """Earlier messages on the subject with the same people outside, the latest first; one from somebody it goes to
    before all others.
    """
    end = bisect_right(same, node.written, key=lambda n: n.written)
    start = max(bisect_left(same, node.written - _LONGEST_PAUSE, key=lambda n: n.written), end - _MOST_ALIKE)
    near = [n for n in reversed(same[start:end]) if n.key != node.key and set(n.outside) & set(node.outside)]
    yield from (other for other in near if other.sender in node.recipients)
    if names_others:
        yield from (other for other in near if other.sender not in node.recipients)


def _joined_roots(roots: Sequence[Node]) -> dict[str, str]:
    """The earliest of the roots that name one missing message, for each of the others."""
    first: dict[str, str] = {}
    joined: dict[str, str] = {}
    for root in roots:
        missing = [key for key in root.references if key != root.key]
        head = next((first[key] for key in missing if key in first), root.key)
        for key in missing:
            first.setdefault(key, head)
        if head != root.key:
            joined[root.key] = head
    return joined
