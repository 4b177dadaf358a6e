"""One night at a mailbox: which messages are new, moved, edited or gone, and in which threads they stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sovereign_tasks.collect.mail.letter import Letter, Owners, read_letter
from sovereign_tasks.collect.mail.mailbox import Found, Mailbox
from sovereign_tasks.collect.mail.memory import ATTACHED, Known, message_of, node_of, short
from sovereign_tasks.collect.mail.parts import Parts, body_digest, take_apart
from sovereign_tasks.collect.mail.threads import Node, link
from sovereign_tasks.collect.night import Night
from sovereign_tasks.errors import TransientError
from sovereign_tasks.records import Validator, keyed_hash

if TYPE_CHECKING:
    from sovereign_tasks.collect.mail import MailSource


@dataclass(slots=True)
class _New:
    """A message met for the first time, wherever it lies; `reason` and `measured` say why it is left out."""

    places: list[str]
    item: str
    letter: Letter
    reason: str
    measured: str


class Visit:
    """The visit of `night` to an opened mailbox, of which it knows what `recall` gave."""

    def __init__(
        self, source: MailSource, night: Night, mailbox: Mailbox, known: dict[str, Known], again: set[str]
    ) -> None:
        self.source, self.night, self.mailbox = source, night, mailbox
        self.before, self.known = known, dict(known)
        self.again, self.missed = again, set(again)
        self.waiting: dict[str, Letter] = {}
        self.owners = Owners(source.own)
        self.taken = night.state.cursor.get("taken", 0)
        self.resumed = "taken" in night.state.cursor
        self.kept: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for address, item in night.state.known:
            self.kept[message_of(item)].append((address, item))
        self.new: dict[str, _New] = {}
        self.edited: set[str] = set()
        self.lost: set[str] = set()
        self.more = False
        self.links: dict[str, tuple[str, str]] = {}
        self.items: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """What is gone first, then what stands otherwise in its thread now, then what is new, in the order it lies.

        `taken` in the cursor, this night's messages so far, is there only while the night goes on.
        """
        self._look_for_gone()
        self._meet()
        self._note_places()
        letters = {item: one.letter for item, one in self.new.items() if not one.reason} | self.waiting
        nodes = {item: one.node for item, one in self.known.items()}
        nodes |= {item: node_of(item, letter) for item, letter in letters.items()}
        self.links = link(nodes.values())
        self.items = {node.key: item for item, node in nodes.items()}
        unmoved = {name: value for name, value in self.night.state.cursor.items() if name != "taken"}
        for item in sorted(self.known):
            self._see_again(item)
            self.night.checkpoint({**unmoved, "taken": self.taken})
        for done, one in enumerate(self.new.values(), 1):
            self._take(one, nodes.get(one.item))
            self.taken += 1
            self.night.progress(done, len(self.new))
            self.night.checkpoint(lambda one=one: {**self.mailbox.cursor(one.places[0]), "taken": self.taken})
        if not self.more:
            return self.mailbox.cursor(None)
        self.night.note(more_waiting=1)
        return self.mailbox.cursor(one.places[0]) if self.new else unmoved

    def _look_for_gone(self) -> None:
        for item, one in self.known.items():
            left = tuple(place for place in one.places if place not in self.mailbox.gone)
            if not left:
                self.lost.add(item)
            self.known[item] = replace(one, places=left)

    def _meet(self) -> None:
        """Read the headers of what lies at new places; beyond the night's share only to find what seems gone."""
        for found in self.mailbox.messages():
            letter = self._letter(found.head)
            item = self._identity(letter)
            if found.seen and item not in self.again:
                continue
            if letter.reason == "deleted":  # a mail program leaves it where it lay until it tidies up
                self._count("deleted")
                continue
            self.missed.discard(item)
            if item in self.known:
                self._meet_again(item, found)
            elif item in self.new:
                self.new[item].places.append(found.place)
                self._count("duplicate")
            elif self.taken + len(self.new) < self.source.max_messages:
                large = found.size > self.source.max_bytes
                reason, measured = ("too_large", str(found.size)) if large else (letter.reason, "")
                self.new[item] = _New([found.place], item, letter, reason, measured)
            else:
                self.more = True
                if item in self.again and not letter.reason:
                    self.waiting[item] = letter
                if not self.lost and not self.missed:
                    break

    def _letter(self, head: bytes) -> Letter:
        return read_letter(head, self.owners, self.night.now, judged=self.mailbox.judged)

    def _identity(self, letter: Letter) -> str:
        """The message's id; where it has none, or another message has it, a hash of its headers."""
        alone = keyed_hash("message", letter.message_id, letter.fingerprint)
        if alone in self.known or alone in self.again:
            return alone
        holder = self.known.get(letter.message_id) or self.new.get(letter.message_id)
        taken = holder.letter.fingerprint if isinstance(holder, _New) else holder and holder.fingerprint
        if letter.message_id and taken in (None, letter.fingerprint):
            return letter.message_id
        return alone

    def _meet_again(self, item: str, found: Found) -> None:
        """Note another place of a known message, and whether it was edited where it lies."""
        one = self.known[item]
        if self.mailbox.editable and not one.fault and (not one.places or found.place in self.before[item].places):
            raw = self.mailbox.read(found.place)
            if raw is not None and body_digest(take_apart(raw).letter) != one.digest:
                self.edited.add(item)
        self.known[item] = replace(one, places=tuple(sorted({*one.places, found.place})))
        self.lost.discard(item)
        self._count("unchanged")

    def _count(self, reason: str) -> None:
        if not self.resumed:  # a night that goes on has counted them
            self.night.asked()
            self.night.count(reason)

    def _note_places(self) -> None:
        for item in sorted(self.missed) if not self.mailbox.partial else []:
            self._forget(item)
        for item, one in list(self.known.items()):
            if item in self.lost:
                self._forget(item)
            elif one.places != self.before[item].places:
                self.night.remember(one.validator(item))

    def _forget(self, item: str) -> None:
        """Note that a message is gone, and with it what was attached."""
        self.known.pop(item, None)
        self.night.remember(Validator(item, "", "", ""))
        for address, known in self.kept.get(item, []):
            self.night.vanish(address, known, "message is gone")

    def _see_again(self, item: str) -> None:
        """Give a known message anew if it was edited or its thread has turned out otherwise."""
        one = self.known[item]
        parent, root = self.links[one.node.key]
        if (parent, root) == (one.parent, one.root) and item not in self.edited:
            return
        one = replace(one, parent=parent, root=root)
        if not one.fault:
            raw = self.mailbox.read(one.places[0])
            if raw is None:
                return  # another night sees to it
            self.night.asked()
            parts = take_apart(raw)
            if parts.reason:
                self._forget(item)
                self.night.reject(self._where(one.places[0]), parts.reason, item=item)
                return
            one = replace(one, digest=body_digest(parts.letter))
            self._keep(item, self._letter(raw), parts, one.node.key)
        self.night.remember(one.validator(item))

    def _take(self, one: _New, node: Node | None) -> None:
        """Keep a new message, or reject it; one that only its body rules out still holds its thread together."""
        self.night.asked()
        if node is None:
            self._clear_away(one.item, [])
            self.night.reject(self._where(one.places[0]), one.reason, one.measured, item=one.item)
            return
        raw = self.mailbox.read(one.places[0])
        if raw is None:
            self._clear_away(one.item, [])
            self.night.count("deleted")
            return
        if self._letter(raw).fingerprint != one.letter.fingerprint:
            raise TransientError(f"source {self.source.name}: a message changed while it was read.")
        parts = take_apart(raw)
        given: list[Validator] = []
        if parts.reason:
            self.night.reject(self._where(one.places[0]), parts.reason, item=one.item)
        else:
            self._keep(one.item, one.letter, parts, node.key)
            given = [Validator(one.item, "", "", ""), *self._attachments(one, parts)]
        self._clear_away(one.item, [kept.address for kept in given])
        known = Known(
            tuple(sorted(one.places)),
            one.letter.fingerprint,
            parts.reason,
            node,
            *self.links[node.key],
            body_digest(parts.letter),
        )
        for kept in [*given, known.validator(one.item)]:
            self.night.remember(kept)

    def _clear_away(self, item: str, given: list[str]) -> None:
        """What a message was before it was given again, and is not any more, such as an attachment."""
        for address, known in self.kept.get(item, []):
            if address != self.mailbox.address or known not in given:
                self.night.vanish(address, known, "message is another now")

    def _keep(self, item: str, letter: Letter, parts: Parts, key: str) -> None:
        parent, root = self.links[key]
        named = {short(name): name for name in letter.references}
        self.night.note(bytes=len(parts.letter))
        self.night.keep(
            self.mailbox.address,
            parts.letter,
            "message/rfc822",
            item=item,
            group=self.items[root],
            parent=self.items.get(parent) or named.get(parent, ""),
            headers={"people": letter.people},
            title=letter.subject,
            author=letter.author,
            score=int(letter.own),
            created_at=letter.written,
        )

    def _attachments(self, one: _New, parts: Parts) -> Iterator[Validator]:
        """Keep documents that came with a message, where they are wanted; each stands for itself."""
        for number, attachment in enumerate(parts.attachments if self.source.attachments == "documents" else [], 1):
            item = f"{one.item}{ATTACHED}{number}"
            self.night.asked()
            if not attachment.media_type:
                self.night.reject(self._where(one.places[0]), "content_type", item=item)
                continue
            self.night.keep(
                self.mailbox.address,
                attachment.body,
                attachment.media_type,
                item=item,
                group=item,
                headers={"people": one.letter.people},
                author=one.letter.author,
                score=0,
                created_at=one.letter.written,
            )
            yield Validator(item, "", "", keyed_hash("body", attachment.body))

    def _where(self, place: str) -> str:
        return f"{self.mailbox.address}/{place}"
