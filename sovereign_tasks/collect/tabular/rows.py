"""The items that a row makes: a question and its answer, a message of a thread, the turns of a chat, or a text.

Of a question and its answer, the answer is a reply with score 1 to an item with score 0; so is a message of the
owner's side in a thread of several rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sovereign_tasks.collect.fragment import looks_like_html, text_of_html
from sovereign_tasks.collect.tabular.columns import Roles
from sovereign_tasks.collect.tabular.reading import Entry, Fault, Row
from sovereign_tasks.records import keyed_hash

_ASKING, _ANSWERING = {"user", "human", "prompter", "customer"}, {"assistant", "gpt", "chatgpt", "bot", "model"}


def entries_of(roles: Roles, address: str, number: int, row: Mapping[str, Any]) -> Row:
    """The items of one row that stands by itself, or the fault it has."""
    if roles.form == "chat":
        return number, _chat(roles, address, row)
    said: dict[str, Any] = {"people": roles.mentioned(row), "created_at": when(roles.get(row, "created_at"))}
    author, title = roles.get(row, "author"), roles.get(row, "title")
    if roles.form == "text":
        if not (text := roles.get(row, "text")):
            return number, Fault("empty", "no text")
        item = _name(roles, address, row, text, title)
        return number, [_entry(address, item, text, title=title, author=author, **said)]
    question, answer = (roles.get(row, role) for role in ("question", "answer"))
    if not question:
        question, title = title, ""  # a ticket may say all in its subject
    if not question or not answer:
        return number, Fault("empty", "no answer" if question else "no question")
    if context := roles.get(row, "context"):
        question = f"{question}\n\n{context}"
    item = _name(roles, address, row, question, answer, title)
    asked = _entry(address, item, question, title=title, author=author, score=0, **said)
    reply = _entry(address, keyed_hash("answer", item), answer, group=item, parent=item, score=1, **said)
    return number, [asked, reply]


def threads_of(roles: Roles, address: str, rows: Iterable[tuple[int, Mapping[str, Any] | Fault]]) -> Iterator[Row]:
    """The items of rows that are messages of threads, in the rows' order; they may stand in any order.

    The owner's side answers the last message of the other side before it, which answers the owner's last. Messages
    are in the order of their times where all of a thread have one, and of their rows where not.
    """
    held = list(rows)
    threads: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for number, row in held:
        if not isinstance(row, Fault) and roles.get(row, "text") and roles.get(row, "thread"):
            threads.setdefault(roles.get(row, "thread"), []).append((number, row))
    made = {number: entry for messages in threads.values() for number, entry in _thread(roles, address, messages)}
    for number, row in held:
        if isinstance(row, Fault):
            yield number, row
        else:
            lacking = "text" if not roles.get(row, "text") else "thread"
            yield number, [made[number]] if number in made else Fault("empty", f"no {lacking}")


def _thread(roles: Roles, address: str, messages: list[tuple[int, Mapping[str, Any]]]) -> Iterator[tuple[int, Entry]]:
    times = {number: when(roles.get(row, "created_at")) for number, row in messages}
    if all(times.values()):
        messages = sorted(messages, key=lambda m: (times[m[0]], m[0]))
    people = tuple(sorted({name for _, row in messages for name in roles.mentioned(row)}))
    last: dict[bool, str] = {}
    made: dict[str, Entry] = {}
    root = ""
    for number, row in messages:
        thread, text, own = roles.get(row, "thread"), roles.get(row, "text"), roles.is_own(row)
        said = (thread, roles.get(row, "author"), roles.get(row, "created_at"), text)
        item = _name(roles, address, row, *said)
        if item not in made or "id" in roles.column:
            made[item] = _entry(
                address,
                item,
                text,
                title="" if root else roles.get(row, "title"),
                author=roles.get(row, "author"),
                group=root or item,
                parent=last.get(not own, root),
                score=int(own and False in last),
                created_at=times[number],
                people=people,
            )
            root = root or item
            last[own] = item
        yield number, made[item]


def _chat(roles: Roles, address: str, row: Mapping[str, Any]) -> list[Entry] | Fault:
    """The turns of a chat from the first question on; what a system is told is no knowledge."""
    chat = row.get(roles.column["messages"])
    if not isinstance(chat, list) or not all(isinstance(m, Mapping) for m in chat):
        return Fault("no_chat", type(chat).__name__)
    turns = [(str(m.get("role") or m.get("from") or "").lower(), m.get("content") or m.get("value")) for m in chat]
    turns = [(who, text.strip()) for who, text in turns if isinstance(text, str) and text.strip()]
    base = _name(roles, address, row, *(f"{who}: {text}" for who, text in turns))
    people, created, title = roles.mentioned(row), when(roles.get(row, "created_at")), roles.get(row, "title")
    entries: list[Entry] = []
    last = ""
    for who, text in turns:
        if who not in _ASKING | _ANSWERING or (not entries and who in _ANSWERING):
            continue
        item = keyed_hash("turn", base, str(len(entries))) if entries else base
        own = who in _ANSWERING
        entries.append(
            _entry(
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


def _name(roles: Roles, address: str, row: Mapping[str, Any], *content: str) -> str:
    """An item's name: of its row's id, or of its content, wherever in the file it stands."""
    named = roles.get(row, "id")
    return keyed_hash("row", address, named) if named else keyed_hash("content", address, *content)


def _entry(address: str, item: str, text: str, **fields: Any) -> Entry:
    said = text_of_html(text) if looks_like_html(text) else text
    return Entry(address, item, said.encode("utf-8", "replace"), **fields)


def when(text: str) -> datetime | None:
    """A time that is written plainly (ISO 8601 or seconds since 1970), in UTC where it says no zone."""
    text = text.strip().removesuffix(" UTC")
    try:
        if re.fullmatch(r"\d{9,10}(\.\d+)?", text):
            return datetime.fromtimestamp(float(text), UTC)
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
