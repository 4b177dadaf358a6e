"""Threads whose messages are rows of a table: their order, and who answers whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from sovereign_tasks.collect.tabular.columns import Roles
from sovereign_tasks.collect.tabular.reading import Entry, Fault, Row
from sovereign_tasks.collect.tabular.rows import PRIVATE, entry, name_of
from sovereign_tasks.collect.tabular.times import readings, when

Message = tuple[int, Mapping[str, Any]]


def threads_of(roles: Roles, address: str, rows: Iterable[tuple[int, Mapping[str, Any] | Fault]]) -> Iterator[Row]:
    """The items of rows that are messages of threads, in the rows' order; they may stand in any order.

    The owner's side answers the last message of the other side before it, which answers the owner's last. Messages
    are in the order of their times, and of their rows where the table has no times. A thread of several messages
    whose times leave the order open is rejected (no_time).
    """
    held = list(rows)
    threads: dict[str, list[Message]] = {}
    for number, row in held:
        if not isinstance(row, Fault) and not _lack(roles, row):
            threads.setdefault(roles.get(row, "thread"), []).append((number, row))
    several = [messages for messages in threads.values() if len(messages) > 1]
    if sum(_id_repeats(roles, messages) for messages in several) * 2 > len(several):
        roles.drop_usual_id()  # it names something larger than a message
    made: dict[int, Entry] = {}
    for messages in _in_order(roles, threads):
        made.update(_thread(roles, address, messages))
    for number, row in held:
        if isinstance(row, Fault):
            yield number, row
        elif number in made:
            yield number, [made[number]]
        else:
            yield number, _lack(roles, row) or Fault("no_time")


def _lack(roles: Roles, row: Mapping[str, Any]) -> Fault | None:
    """Why a row is no message of a thread."""
    if roles.is_private(row):
        return PRIVATE
    lacking = next((role for role in ("text", "thread") if not roles.get(row, role)), "")
    return Fault("empty", f"no {lacking}") if lacking else None


def _id_repeats(roles: Roles, messages: list[Message]) -> bool:
    """Whether one id stands for several texts of a thread."""
    named = {(roles.get(row, "id"), roles.get(row, "text")) for _, row in messages if roles.get(row, "id")}
    return len({name for name, _ in named}) < len(named)


def _in_order(
    roles: Roles, threads: Mapping[str, list[Message]]
) -> Iterator[list[tuple[int, Mapping[str, Any], datetime | None]]]:
    """The threads whose order is known, with their messages' times."""
    said = {n: roles.get(row, "created_at") for messages in threads.values() for n, row in messages}
    if not any(said.values()):
        yield from ([(number, row, None) for number, row in messages] for messages in threads.values())
        return
    ways = [{n: when(text, way) for n, text in said.items()} for way in readings(said.values())]
    ascending = [_is_ascending(threads, times) for times in ways]
    for messages in threads.values():
        orders = [_by_time(messages, times, rises) for times, rises in zip(ways, ascending, strict=True)]
        if orders[0] is not None and all(order == orders[0] for order in orders):
            yield [(n, row, ways[0][n] if len({w[n] for w in ways}) == 1 else None) for n, row in orders[0]]


def _by_time(messages: list[Message], times: Mapping[int, datetime | None], rises: bool) -> list[Message] | None:
    """A thread's messages from the first to the last, None where that can't be said.

    Rows of one time are in order only if those of different times are (`rises`), as they are where they were written
    down one after the other.
    """
    if len(messages) == 1:
        return messages
    if not all(times[n] for n, _ in messages):
        return None
    ordered = sorted(messages, key=lambda m: (times[m[0]], m[0]))
    tied = any(times[a] == times[b] and one != other for (a, one), (b, other) in pairwise(ordered))
    return None if tied and not rises else ordered


def _is_ascending(threads: Mapping[str, list[Message]], times: Mapping[int, datetime | None]) -> bool:
    """Whether the threads that show an order of rows all show that of time."""
    steps = ((times[a], times[b]) for messages in threads.values() for (a, _), (b, _) in pairwise(messages))
    return {earlier < later for earlier, later in steps if earlier and later and earlier != later} == {True}


def _thread(
    roles: Roles, address: str, messages: list[tuple[int, Mapping[str, Any], datetime | None]]
) -> Iterator[tuple[int, Entry]]:
    people = tuple(sorted({name for _, row, _ in messages for name in roles.mentioned(row)}))
    last: dict[bool, str] = {}
    made: dict[str, Entry] = {}
    root = ""
    for number, row, time in messages:
        thread, text, own = roles.get(row, "thread"), roles.get(row, "text"), roles.is_own(row)
        said = (thread, roles.get(row, "author"), roles.get(row, "created_at"), text)
        item = name_of(roles, address, row, *said)
        if item not in made or "id" in roles.column:
            made[item] = entry(
                address,
                item,
                text,
                title="" if root else roles.get(row, "title"),
                author=roles.get(row, "author"),
                group=root or item,
                parent=last.get(not own, root),
                score=int(own and False in last),
                created_at=time,
                people=people,
            )
            root = root or item
            last[own] = item
        yield number, made[item]
