"""What the columns of a table or data set mean: by the settings, or by the names they usually have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from sovereign_tasks.errors import UserError
from sovereign_tasks.strict_yaml import StrictConfig

# What common exports (help desks, CRMs, chat data sets) call their columns, the likeliest first.
USUAL = {
    "question": "question, prompt, instruction, query, q, description, ticket description, issue, problem, request",
    "answer": "answer, response, reply, completion, output, a, resolution, resolution notes, solution, best answer",
    "context": "input",
    "messages": "messages, conversations, conversation, dialog, chat",
    "text": "text, body, content, message, comment, note, note body, plain body, notes",
    "title": "subject, title, ticket subject, ticket name",
    "id": "id, _id, uuid, row id, record id, message id, comment id, ticket id, ticket number",
    "thread": "thread, thread id, conversation id, ticket id, ticket number, case id, case number, ticket",
    "side": "side, direction, author type, sender type, author role, role",
    "author": "author, author name, from, sender, requester, requester name, customer, customer name, created by, name",
    "created_at": "created at, created, date, timestamp, time, create date, sent at",
}
USUAL_PEOPLE = (
    "requester, requester name, requester email, customer, customer name, contact, contact name, assignee, "
    "assignee name, agent, agent name, submitter, submitter name, to, cc, author, author name, from, sender, "
    "first name, last name, associated contact, company contact"
)
USUAL_PUBLIC = "public, is public"
USUAL_PRIVATE = "private, is private, internal, is internal, internal note"
_YES, _NO = {"true", "1", "1.0", "yes", "y", "t", "x"}, {"false", "0", "0.0", "no", "n", "f"}
_MARKS = {"private", "internal"}
_OF_THREADS = {"ticket id", "ticket number"}  # as an id, they name a row only where each is one ticket
OWN_SIDE = {"agent", "staff", "owner", "us", "outbound", "outgoing", "out", "admin", "support", "assistant", "operator"}
_WORDS = re.compile(r"[\W_]+")
_NAME_BREAK = re.compile(r"[;,|\n]")
_MAX_SHOWN = 12
_NO_NAME = re.compile(r"[@?!\n]|\d{5}|[.,;]\s*\Z|\A[^A-Za-z\u00c0-\uffff]*\Z|.{41}|(?:\S+\s+){5}")


class Columns(StrictConfig):
    """Which column holds what; what is left out is found by its usual name."""

    question: str = ""
    """What was asked."""
    answer: str = ""
    """What the owner's side answered, in the same row."""
    context: str = ""
    """What the question is about, added to it."""
    messages: str = ""
    """A chat as a list of messages with role and content."""
    text: str = ""
    """A text by itself, or one message of a thread."""
    title: str = ""
    """The subject."""
    id: str = ""
    """What names the row for good; its content does where there is none."""
    thread: str = ""
    """What the messages of one thread have in common."""
    side: str = ""
    """Whether a message came from the owner's side (agent, staff, outbound, ...) or the other."""
    author: str = ""
    """Who wrote the question or text."""
    created_at: str = ""
    """When it was written."""
    people: list[str] = Field([])
    """Columns of names, which are scrubbed from the texts."""


class Roles:
    """The columns that one table has, by what they hold; `form` is pair, chat, thread or text."""

    def __init__(self, where: str, names: list[str], columns: Columns, own: Iterable[str] = ()) -> None:
        self.where, self.names = where, names
        self.own = {o.casefold() for o in own}
        self._by_key: dict[str, str] = {}
        for name in names:
            self._by_key.setdefault(_key(name), name)
        stated = {role: self._stated(role, name) for role in USUAL if (name := getattr(columns, role))}
        usual = {role: found for role, list_ in USUAL.items() if (found := self._usual(list_))}
        self.column = usual | stated
        self.form = self._form(stated) or self._form(self.column)
        if not self.form:
            raise UserError(
                f"{where}: no column is known to hold a text; state under columns: question and answer, or text, "
                f"out of: {_shown(names)}."
            )
        self._usual_id = "id" in self.column and "id" not in stated
        if self.form == "thread":
            named = self.column.get("id", "")
            if named == self.column["thread"]:
                del self.column["id"]  # a thread's id is not that of its messages
            elif _key(named) in _OF_THREADS:
                self.drop_usual_id()
        self._public, self._private = self._all_usual(USUAL_PUBLIC), self._all_usual(USUAL_PRIVATE)
        people = [self._stated("people", name) for name in columns.people]
        self.people = people or self._all_usual(USUAL_PEOPLE)

    def get(self, row: Mapping[str, Any], role: str) -> str:
        """What a row says in a role, as text."""
        value = row.get(self.column.get(role, ""))
        if isinstance(value, str):
            return value.strip()
        plain = isinstance(value, int | float | datetime) and value == value  # nan is none
        return str(value) if plain else ""

    def mentioned(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The names in a row's columns of people, each once."""
        found = [str(row.get(name) or "") for name in self.people]
        return tuple(sorted({n.strip() for value in found for n in _NAME_BREAK.split(value) if n.strip()}))

    def is_own(self, row: Mapping[str, Any]) -> bool:
        """Whether a message came from the owner's side."""
        side, author = self.get(row, "side").casefold(), self.get(row, "author").casefold()
        return bool({side, author} & self.own) if self.own else side in OWN_SIDE

    def is_private(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is marked as not meant for the other side."""
        public = {str(row.get(name)).strip().casefold() for name in self._public}
        private = {str(row.get(name)).strip().casefold() for name in self._private}
        return bool(public & (_NO | _MARKS) or private & (_YES | _MARKS))

    def drop_usual_id(self) -> None:
        """Take no column for the rows' id, unless the settings name it."""
        if self._usual_id:
            self.column.pop("id", None)

    def _stated(self, role: str, name: str) -> str:
        found = name if name in self.names else self._by_key.get(_key(name))
        if found is None:
            there = _shown(self.names)
            raise UserError(f"{self.where}: columns: {role}: there is no column {name!r}; there are: {there}.")
        return found

    def _usual(self, list_: str) -> str:
        return next(iter(self._all_usual(list_)), "")

    def _all_usual(self, list_: str) -> list[str]:
        return [self._by_key[k] for k in map(_key, list_.split(",")) if k in self._by_key]

    def _form(self, column: Mapping[str, str]) -> str:
        if column.get("messages"):
            return "chat"
        if column.get("question") and column.get("answer"):
            return "pair"
        if column.get("text"):
            sides = self.column.get("side") or self.own
            return "thread" if self.column.get("thread") and sides else "text"
        return ""


def has_pairs(names: Iterable[str]) -> bool:
    """Whether columns of these names hold questions and answers."""
    keys = {_key(name) for name in names}
    return all(keys & set(map(_key, USUAL[role].split(","))) for role in ("question", "answer"))


def _shown(names: list[str]) -> str:
    """The names of columns for a message; a table without a header would put a person's words there."""
    if any(_NO_NAME.search(name) for name in names if name):
        return "none to show, for the first row seems to be no header; add one"
    more = ", ..." if len(names) > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more


def _key(name: str) -> str:
    return _WORDS.sub(" ", name.strip().casefold()).strip()
