"""The forum's threads on each of the two days: hand-written ones, and ones from the table of facts."""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sovereign_tasks.demo.facts import Material, all_materials, fill, money, read_yaml, span, thousands

SUBREDDIT = "RoofingTalk"
FIRST_POST = 1_772_400_000  # seconds; the first thread's time, fixed so that no clock enters
HOUR = 3600
DAY = 24 * HOUR
SECOND_DAY = FIRST_POST + 80 * 7 * HOUR
AREAS = (1200, 1800, 2400, 3000)


@dataclass(frozen=True)
class Comment:
    """A comment; `author` is None once it is gone, `parent` the id of the comment it answers."""

    id: str
    body: str
    author: str | None
    score: int
    created_utc: int
    parent: str | None = None


@dataclass(frozen=True)
class Thread:
    """A post with its comments in order of time; `hidden` of them sit behind a "more" node, from the end."""

    id: str
    title: str
    body: str
    author: str | None
    score: int
    created_utc: int
    comments: tuple[Comment, ...]
    hidden: int = 0
    deleted: bool = False

    @property
    def best(self) -> Comment:
        return max(self.comments, key=lambda comment: comment.score)


@functools.cache
def _source() -> dict[str, Any]:
    return read_yaml("forum.yaml")


def _id(text: str) -> str:
    """Seven base-36 signs from the text's hash, the first no zero."""
    number, signs = int(hashlib.sha256(text.encode()).hexdigest(), 16), "0123456789abcdefghijklmnopqrstuvwxyz"
    return "r" + "".join(signs[number // 36**place % 36] for place in range(6))


def _quote(material: Material, place: int) -> dict[str, Any]:
    """A thread on whether a quote is fair: a low, a fair and a high one in turn."""
    words = _source()["quotes"]
    area = AREAS[place % len(AREAS)]
    low, high = material.costs(area)
    verdict, offer = [("low", low * 0.8), ("fair", (low + high) / 2), ("high", high * 1.25)][(place + place // 3) % 3]
    offer = round(offer / 100) * 100
    values = {
        "m": material, "area": f"{area:,}", "area_n": area, "offer": thousands(offer),
        "rate": f"${offer / area:.2f}", "deposit": money(round(offer * 0.2)), "town": _source()["towns"][place % 14],
    }  # fmt: skip
    values["verdict"] = fill(words["verdicts"][verdict], **values)
    return _worded(words, place, values)


def _age(material: Material, place: int) -> dict[str, Any]:
    """A thread on how many years a roof has left."""
    age = int(material.life[0] * (0.5 + 0.03 * (place % 12)))
    left = span((material.life[0] - age, material.life[1] - age), "years")
    values = {"m": material, "age": age, "left": left, "town": _source()["towns"][(place + 5) % 14]}
    return _worded(_source()["ages"], place, values)


def _worded(words: dict[str, Any], place: int, values: dict[str, Any]) -> dict[str, Any]:
    def pick(kind: str) -> str:
        options = words[kind]
        return fill(options[(place + place // len(options)) % len(options)], **values)

    return {"t": pick("titles"), "b": pick("bodies"), "a": pick("answers"), "c": []}


def _build(row: dict[str, Any], created: int) -> Thread:
    source, title = _source(), row["t"]
    rng = random.Random(title)  # noqa: S311 - seeded on purpose
    others: list[Any] = [*row["c"], *source["planted"].get(title, [])]
    for text in rng.sample(source["pool"], rng.randint(1, max(1, 3 - len(others)))):
        others.append(fill(text, town=rng.choice(source["towns"]), n=rng.randint(2, 6)))
    texts = [row["a"], *others][:6]
    names = rng.sample(source["authors"], len(texts) + 1)
    comments: list[Comment] = []
    for place, entry in enumerate(texts):
        text, reply = (entry["text"], True) if isinstance(entry, dict) else (entry, False)
        gone = text in ("[deleted]", "[removed]")
        score = rng.randint(24, 95) if place == 0 else rng.randint(-6, 1) if len(text) < 30 else rng.randint(1, 18)
        parent = comments[-1].id if reply else comments[0].id if place > 1 and rng.random() < 0.3 else None
        when = created + (place + 1) * 2 * HOUR
        comments.append(Comment(_id(f"{title}/{place}"), text, None if gone else names[place], score, when, parent))
    hidden = 2 if title == source["more_thread"] else 0
    return Thread(_id(title), title, row["b"], names[-1], rng.randint(3, 140), created, tuple(comments), hidden)


@functools.cache
def _first() -> tuple[Thread, ...]:
    materials = [m for m in all_materials().values() if m.from_day == 1]
    rows = [*_source()["threads"]]
    rows += [worded(m, place) for worded in (_quote, _age) for place, m in enumerate(materials)]
    random.Random("order").shuffle(rows)  # noqa: S311 - seeded on purpose
    return tuple(_build(row, FIRST_POST + place * 7 * HOUR) for place, row in enumerate(rows))


def _overnight(thread: Thread) -> Thread:
    """A first-day thread as the second day finds it."""
    change = _source()["day2"]
    comments = list(thread.comments)
    if thread.title == change["removed_comment"]:
        last = max(comments[1:], key=lambda comment: len(comment.body))
        comments[comments.index(last)] = replace(last, body="[removed]", author=None)
    for place, text in enumerate(change["comments"].get(thread.title, [])):
        comments.append(Comment(_id(f"{thread.title}/new/{place}"), text, "slopewise", 4, SECOND_DAY + HOUR))
    if thread.title in change["deleted_posts"]:
        return replace(thread, body="[deleted]", author=None, deleted=True)
    return replace(thread, comments=tuple(comments))


def all_threads(day: int) -> tuple[Thread, ...]:
    """Every thread that the forum ever had by that day, newest first, those that their author deleted too."""
    found: Iterable[Thread] = _first()
    if day == 2:
        new = [_build(row, SECOND_DAY + place * HOUR) for place, row in enumerate(_source()["day2"]["new"])]
        found = [*map(_overnight, found), *new]
    return tuple(sorted(found, key=lambda thread: -thread.created_utc))


def threads(day: int) -> tuple[Thread, ...]:
    """The threads that readers see on day 1 or 2, newest first."""
    return tuple(thread for thread in all_threads(day) if not thread.deleted)


def grown(night: int, per_night: int = 600) -> tuple[Thread, ...]:
    """A forum to which every night brings `per_night` threads, as it is on night 1, 2, ...: newest first.

    Overnight some older threads are deleted by their author or edited, and some get a late comment or lose one.
    Their authors and what happens to them follow from their number alone.
    """
    threads = []
    for number in range(night * per_night):
        came, place = divmod(number, per_night)
        threads.append(_numbered(number, FIRST_POST + came * DAY + place * DAY // (2 * per_night), came + 1, night))
    return tuple(reversed(threads))


def _numbered(number: int, created: int, came: int, night: int) -> Thread:
    authors, ident = _source()["authors"], _id(f"grown/{number}")
    comments = [
        Comment(
            _id(f"grown/{number}/{place}"),
            f"Answer {place} to question {number}: look at the flashing first, then count the slipped slates.",
            authors[(number + place + 1) % len(authors)],
            place + 1,
            created + 60 * (place + 1),
        )
        for place in range(number % 4)
    ]
    body = f"Question {number} about my roof: the slates over the porch are {number % 90} years old. What now?"
    deleted = False
    for later in range(came + 1, night + 1):
        event = (number * 7 + number // 40 * 3 + later * 13) % 40
        when = FIRST_POST + later * DAY - DAY // 4 + number
        deleted = deleted or event == 0
        if event == 1:
            body += f" Edited on day {later}."
        elif event in (2, 3):
            text = f"A late thought on question {number}: see whether the felt below is torn."
            comments.append(Comment(_id(f"grown/{number}/late/{later}"), text, authors[number % 7], 1, when))
        elif event == 4 and comments:
            comments[0] = replace(comments[0], body="[removed]", author=None)
    hidden = 1 if number % 50 == 7 and comments else 0
    title, author = f"Question {number}: old slates over the porch", authors[number % len(authors)]
    if deleted:
        return Thread(ident, title, "[deleted]", None, number % 9, created, tuple(comments), hidden, deleted=True)
    return Thread(ident, title, body, author, number % 9, created, tuple(comments), hidden)
