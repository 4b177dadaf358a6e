"""Posts and comments as items: which are known, which belong to a thread, and what becomes of one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from praw.models import Submission

from sovereign_tasks.collect.night import Night
from sovereign_tasks.collect.reddit.api import Thing, address_of, why_gone
from sovereign_tasks.records import Validator, keyed_hash

if TYPE_CHECKING:
    from sovereign_tasks.collect.reddit import RedditSource


class Items:
    """What a source has by fullname.

    `known` maps it to its address, or to nothing where the address was not handed down; `threads` are the posts
    among it, `seen` what tonight need not look at (again), and `subreddits` those that are collected whole.
    """

    def __init__(self, source: RedditSource, night: Night) -> None:
        self.night = night
        validated = {name: "" for name, v in night.state.validators.items() if v.digest}
        self.known = validated | {item: address for address, item in night.state.known}
        self.threads = {name for name in self.known if name.startswith("t3_")}
        self.seen: set[str] = set()
        self.subreddits = {name.casefold() for name in source.subreddits}

    def drop(self, name: str, reason: str) -> None:
        """Say that a known item is gone by its author's or a moderator's hand."""
        self.night.vanish(self.known.pop(name), name, reason, by_author=True)
        self.night.count(reason)
        self.threads.discard(name)
        self.seen.add(name)

    def take(self, thing: Thing) -> None:
        """Keep a new thing, or say why not."""
        self.seen.add(thing.fullname)
        self.night.asked()
        if reason := why_gone(thing):
            self.night.reject(address_of(thing), reason, item=thing.fullname)
        else:
            self.keep(thing, address_of(thing))

    def is_edited(self, thing: Thing) -> bool:
        """Whether the text is another than it was; a score that moved makes no difference."""
        before = self.night.state.validators.get(thing.fullname)
        return not before or before.digest != keyed_hash("post", *_writing(thing))

    def keep(self, thing: Thing, address: str) -> None:
        """Make an item of a thing."""
        title, body = _writing(thing)
        group, parent = self._thread_of(thing)
        self.known[thing.fullname] = address
        if isinstance(thing, Submission):
            self.threads.add(thing.fullname)
        self.night.remember(Validator(thing.fullname, "", "", keyed_hash("post", title, body)))
        self.night.keep(
            address,
            body.encode(),
            "text/markdown",
            item=thing.fullname,
            group=group,
            parent=parent,
            title=title,
            author=thing.author.name,
            score=thing.score,
            created_at=datetime.fromtimestamp(thing.created_utc, UTC),
        )

    def _thread_of(self, thing: Thing) -> tuple[str, str]:
        """Group and parent: an account's comment on a thread that is not collected is a root of its own."""
        if isinstance(thing, Submission):
            return thing.fullname, ""
        here = thing.subreddit.display_name.casefold() in self.subreddits or thing.link_id in self.threads
        # As an attribute, its absence would cost a request.
        if here or str(vars(thing).get("link_author")).casefold() == thing.author.name.casefold():
            return thing.link_id, thing.parent_id
        return thing.fullname, ""


def _writing(thing: Thing) -> tuple[str, str]:
    """Title and text, without halves of characters, which JSON can spell and no store can keep."""
    title, text = (thing.title, thing.selftext) if isinstance(thing, Submission) else ("", thing.body)
    return title.encode(errors="replace").decode(), text.encode(errors="replace").decode()
