"""The items that a row makes: a question and its answer, the turns of a chat, or a text.

Of a question and its answer, the answer is a reply with score 1 to an item with score 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sovereign_tasks.collect.fragment import looks_like_html, text_of_html
from sovereign_tasks.collect.tabular.columns import Roles
from sovereign_tasks.collect.tabular.reading import Entry, Fault, Row
from sovereign_tasks.collect.tabular.times import when
from sovereign_tasks.records import keyed_hash

PRIVATE = Fault("private", counted=True)
_ASKING, _ANSWERING = {"user", "human", "prompter", "customer"}, {"assistant", "gpt", "chatgpt", "bot", "model"}


def entries_of(roles: Roles, address: str, number: int, row: Mapping[str, Any]) -> Row:
    """The items of one row that stands by itself, or the fault it has."""
    if roles.is_private(row):
        return number, PRIVATE
    if roles.form == "chat":
        return number, _chat(roles, address, row)
    said: dict[str, Any] = {"people": roles.mentioned(row), "created_at": when(roles.get(row, "created_at"))}
    author, title = roles.get(row, "author"), roles.get(row, "title")
    if roles.form == "text":
        if not (text := roles.get(row, "text")):
            return number, Fault("empty", "no text")
        item = name_of(roles, address, row, text, title)
        return number, [entry(address, item, text, title=title, author=author, **said)]
    question, answer = (roles.get(row, role) for role in ("question", "answer"))
    if not question:
        question, title = title, ""  # a ticket may say all in its subject
    if not question or not answer:
        return number, Fault("empty", "no answer" if question else "no question")
    if context := roles.get(row, "context"):
        question = f"{question}\n\n{context}"
    item = name_of(roles, address, row, question, answer, title)
    asked = entry(address, item, question, title=title, author=author, score=0, **said)
    reply = entry(address, keyed_hash("answer", item), answer, group=item, parent=item, score=1, **said)
    return number, [asked, reply]


def _chat(roles: Roles, address: str, row: Mapping[str, Any]) -> list[Entry] | Fault:
    """The turns of a chat from the first question on; what a system is told is no knowledge."""
    chat = row.get(roles.column["messages"])
    if not isinstance(chat, list) or not all(isinstance(m, Mapping) for m in chat):
        return Fault("no_chat", type(chat).__name__)
    turns = [(str(m.get("role") or m.get("from") or "").lower(), m.get("content") or m.get("value")) for m in chat]
    turns = [(who, text.strip()) for who, text in turns if isinstance(text, str) and text.strip()]
    base = name_of(roles, address, row, *(f"{who}: {text}" for who, text in turns))
    people, created, title = roles.mentioned(row), when(roles.get(row, "created_at")), roles.get(row, "title")
    entries: list[Entry] = []
    last = ""
    for who, text in turns:
        if who not in _ASKING | _ANSWERING or (not entries and who in _ANSWERING):
            continue
        item = keyed_hash("turn", base, str(len(entries))) if entries else base
        own = who in _ANSWERING
        entries.append(
            entry(
                address,
                item,
                text,
                title="" if entries else title,
                group=base,
                parent=last,
                score=int(own),
                created_at=created,
                people=people,
            )
        )
        last = item
    return entries if any(e.score for e in entries) else Fault("no_chat", "no question with an answer")


def name_of(roles: Roles, address: str, row: Mapping[str, Any], *content: str) -> str:
    """An item's name: of its row's id, or of its content, wherever in the file it stands."""
    named = roles.get(row, "id")
    return keyed_hash("row", address, named) if named else keyed_hash("content", address, *content)


def entry(address: str, item: str, text: str, **fields: Any) -> Entry:
    """An item of a text, whose markup is taken off."""
    said = text_of_html(text) if looks_like_html(text) else text
    return Entry(address, item, said.encode("utf-8", "replace"), **fields)
