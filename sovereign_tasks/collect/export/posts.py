"""Posts of a person's export, as all formats give them, and their threads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sovereign_tasks.collect.local import Broken, text_of
from sovereign_tasks.collect.tabular.csv_rows import read_csv
from sovereign_tasks.collect.tabular.reading import Entry, Fault, Row
from sovereign_tasks.records import keyed_hash

_LONGEST = 200
_KIND = re.compile(r"[a-z]{1,20}:")


@dataclass(frozen=True, slots=True)
class Post:
    """One post; `answers` is the item it replies to, which need not be in the archive."""

    address: str
    item: str
    text: str
    answers: str = ""
    title: str = ""
    author: str = ""
    created_at: datetime | None = None
    people: tuple[str, ...] = ()
    media_type: str = "text/plain"


@dataclass(slots=True)
class Posts:
    """What an archive holds: posts, and the rows of it that are left out."""

    posts: list[Post] = field(default_factory=list)
    left_out: list[Fault] = field(default_factory=list)

    def leave(self, reason: str) -> None:
        """Count a row that is no post of one's own, or none that may be used."""
        self.left_out.append(Fault(reason, counted=True))


def entry_rows(posts: Posts, start: int) -> Iterator[Row]:
    """The rows after `start`: posts in the order of their items, and then what is left out.

    A reply to a post of the archive keeps its thread; a reply to somebody else begins one.
    """
    named = (replace(p, item=_short(p.item), answers=_short(p.answers)) for p in posts.posts)
    ordered = sorted(named, key=lambda p: (p.item, p.text))
    by_item = {post.item: post for post in ordered}
    rows = [*(_entry(post, by_item) for post in ordered), *posts.left_out]
    for number, row in enumerate(rows, 1):
        if number > start:
            yield number, row if isinstance(row, Fault) else [row]


def _short(item: str) -> str:
    """An item's name as it is, if it can be kept as one; else what tells its kind, and a hash."""
    if len(item) <= _LONGEST and item.isprintable():
        return item
    kind = _KIND.match(item)
    return (kind[0] if kind else "") + keyed_hash("item", item)


def _entry(post: Post, by_item: Mapping[str, Post]) -> Entry | Fault:
    if not post.text.strip() and not post.title.strip():
        return Fault("no_words", counted=True)  # a picture alone
    root, met = post, {post.item}
    while root.answers and root.answers in by_item and root.answers not in met:
        root = by_item[root.answers]
        met.add(root.item)
    return Entry(
        post.address,
        post.item,
        post.text.encode("utf-8", "replace"),
        post.media_type,
        title=post.title,
        author=post.author,
        group=root.item,
        parent="" if root is post else post.answers,
        created_at=post.created_at,
        people=post.people,
    )


def table_of(members: Mapping[str, bytes], name: str, posts: Posts, escape: str | None = None) -> list[dict[str, str]]:
    """The rows of a member that is CSV, each with its columns; a row that is broken is left out with its number.

    `Broken` where the last row is: the file is cut short.
    """
    rows: list[dict[str, str]] = []
    last: Fault | None = None
    _, header = next(lines := read_csv(text_of(members[name]), escape=escape), (0, []))
    if isinstance(header, Fault):
        raise Broken("truncated", f"the first line of {name}")
    for number, fields in lines:
        last = None
        if isinstance(fields, Fault) or len(fields) != len(header):
            reason, detail = (fields.reason, fields.measured) if isinstance(fields, Fault) else ("ragged", "")
            last = Fault(reason, f"{name} row {number} {detail}".strip())
            posts.left_out.append(last)
        else:
            rows.append(dict(zip(header, fields, strict=True)))
    if last:
        raise Broken("truncated", last.measured)
    return rows


def json_of(members: Mapping[str, bytes], name: str, *, after: str = "") -> Any:
    """What a member holds as JSON, from behind `after` on; `Broken` where it is missing or cut short."""
    if name not in members:
        raise Broken("missing", f"there is no {name}")
    try:
        text = members[name].decode("utf-8-sig")
        return json.loads(text.partition(after)[2] if after else text)
    except (ValueError, RecursionError):
        raise Broken("truncated", f"{name} is no whole JSON") from None
