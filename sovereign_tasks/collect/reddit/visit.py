"""One night's visit to Reddit: what is known is asked for again, then what is new is taken, the oldest first.

Reddit shows no more than the newest 1,000 things of any listing. Taking the oldest first loses least; what a
listing may have lost all the same is said (`listing_end`), and lost comments are looked for in their threads.
"""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import praw
from praw.models import Submission
from prawcore.exceptions import NotFound

from sovereign_tasks.collect.night import Night
from sovereign_tasks.collect.reddit.api import (
    REDDIT,
    Thing,
    accounts,
    address_of,
    patiently,
    read_thread,
    server,
    why_gone,
)
from sovereign_tasks.collect.reddit.items import Items
from sovereign_tasks.collect.reddit.listing import PAGE, Listing
from sovereign_tasks.errors import TransientError

if TYPE_CHECKING:
    from sovereign_tasks.collect.reddit import RedditSource

_LATE = 600.0  # seconds that a thing may take to show in a listing
_THREAD = re.compile(r"/r/([^/]+)/comments/([^/]+)/")


class Visit:
    """Runs a night; `place` is the subreddit or account it is at, as a person would write it.

    The cursor has, per listing, the time (Unix seconds) up to which everything was taken (`until`), and for
    comments the threads to read again (`again`). Within a night it also has what the night has done: whether the
    known items are `rechecked`, and how many things of each listing are `taken`.
    """

    def __init__(self, source: RedditSource, night: Night, reddit: praw.Reddit) -> None:
        self.source, self.night, self.reddit = source, night, reddit
        self.items = Items(source, night)
        self.cursor: dict[str, Any] = copy.deepcopy(night.state.cursor)
        self.tonight: dict[str, Any] = self.cursor.pop("tonight", {"taken": {}})
        self.users = accounts(source)
        self.place = ""

    def run(self) -> dict[str, Any]:
        """Known items first, then each subreddit's threads and its comments on older ones, then the accounts."""
        if not self.tonight.get("rechecked"):
            self._recheck()
            self.tonight["rechecked"] = True
        self.items.seen |= set(self.items.known)
        self.night.checkpoint(self._so_far)
        for name in sorted(self.source.subreddits):
            self.place = f"r/{name}"
            subreddit = self.reddit.subreddit(name)
            for post in self._to_take(name, Listing(subreddit.new), f"{REDDIT}/r/{name}/new/"):
                self._thread(post)
            self._late_comments(name, Listing(subreddit.comments))
        for name in self.users:
            self.place = f"u/{name}"
            redditor = self.reddit.redditor(name)
            for kind, listing in (("submitted", redditor.submissions.new), ("comments", redditor.comments.new)):
                address = f"{REDDIT}/user/{name}/{kind}/"
                own = partial(self._not_own, name)
                for thing in self._to_take(f"u/{name}/{kind}", Listing(listing), address, own):
                    self.items.take(thing)
        return self.cursor

    def _so_far(self) -> dict[str, Any]:
        return copy.deepcopy(self.cursor | {"tonight": self.tonight})

    def _recheck(self) -> None:
        """Ask for every known item by its name; nothing is believed gone before all have been asked for.

        What an answer lacks is asked for once more, with a name that it had.
        """
        names = sorted(self.items.known)
        gone: dict[str, str] = {}
        edited: list[Thing] = []
        chunks = math.ceil(len(names) / PAGE) or 1
        size = math.ceil(len(names) / chunks) or 1  # so that a full chunk's last few names are no chunk of their own
        for at in range(0, len(names), size):
            chunk = names[at : at + size]
            there = self._info(chunk)
            if missing := [name for name in chunk if name not in there]:
                proof = sorted(there)[:1]
                there |= (again := self._info([*missing, *proof]))
                # Rather a server in trouble than so many deletions at once, and deletion is for good.
                if not again.keys() >= set(proof) or (len(chunk) > 1 and not proof):
                    none = f"{server(self.source)} knows none of {len(missing)} collected items"
                    raise TransientError(f"source {self.source.name}: {none}.")
            for name in chunk:
                thing = there.get(name)
                if reason := why_gone(thing) if thing else "missing":
                    gone[name] = reason
                elif self.items.is_edited(thing):
                    edited.append(thing)
            self.night.progress(at + len(chunk), len(names))
        self.night.asked(len(names))
        if same := len(names) - len(gone) - len(edited):
            self.night.count("unchanged", same)
        for thing in edited:
            self.items.keep(thing, self.items.known[thing.fullname] or address_of(thing))
        for name, reason in gone.items():
            self.items.drop(name, reason)

    def _info(self, names: list[str]) -> dict[str, Thing]:
        return {t.fullname: t for t in patiently(lambda: list(self.reddit.info(fullnames=names)))}

    def _to_take(
        self, key: str, listing: Listing, address: str, passed_over: Callable[[Thing], str] = lambda thing: ""
    ) -> Iterator[Thing]:
        """What a listing has that is not known, the oldest first, up to the night's cap.

        One counts as taken once the next is asked for. So all up to a time is taken, or Reddit shows it no more.
        """
        place, taken = self.cursor.setdefault(key, {}), self.tonight["taken"]
        until, waiting = place.get("until", 0.0), []
        for page in listing.pages():
            waiting += [thing for thing in page if self._is_fresh(thing, passed_over)]
            if listing.oldest < until - _LATE:
                break
        else:
            if listing.lost_since(until):
                self._say_lost(address, listing)
        for thing in reversed(waiting):
            if taken.get(key, 0) == self.source.max_posts:
                return
            yield thing
            taken[key] = taken.get(key, 0) + 1
            place["until"] = max(place.get("until", 0.0), thing.created_utc)
            self.night.progress(len(self.items.seen), len(self.items.seen))
            self.night.checkpoint(self._so_far)
        place["until"] = max(until, listing.newest)

    def _is_fresh(self, thing: Thing, passed_over: Callable[[Thing], str]) -> bool:
        """Whether a listed thing is to be taken; one that is not is counted."""
        if thing.fullname in self.items.seen:
            return False
        if why_gone(thing):
            self.items.take(thing)
            return False
        if reason := passed_over(thing):
            self.night.asked()
            self.night.count(reason)
        return not reason

    def _say_lost(self, address: str, listing: Listing) -> None:
        self.night.asked()
        self.night.reject(address, "listing_end", f"after {len(listing)}")

    def _not_own(self, name: str, thing: Thing) -> str:
        if thing.author.name.casefold() != name.casefold():
            return "other_author"
        return "in_subreddit" if thing.subreddit.display_name.casefold() in self.items.subreddits else ""

    def _thread(self, post: Submission) -> None:
        if self._replies(post.fullname, address_of(post)):
            self.items.take(post)

    def _replies(self, thread: str, address: str) -> bool:
        """Take what is new of a thread's comments; false if it was deleted since it was listed."""
        try:
            comments, whole = patiently(lambda: read_thread(self.reddit, thread.removeprefix("t3_")))
        except NotFound:
            self.night.asked()
            self.night.reject(address, "missing", item=thread)
            return False
        if not whole:
            self.night.asked()
            self.night.reject(address, "thread_incomplete", item=thread)
        for comment in comments:
            if comment.fullname not in self.items.seen:
                self.items.take(comment)
        return True

    def _late_comments(self, name: str, listing: Listing) -> None:
        """Comments on threads that were collected before; a thread not yet collected comes whole one night."""
        place = self.cursor.setdefault(f"{name}/comments", {})
        until = place.get("until", 0.0)
        for page in listing.pages():
            for comment in page:
                if comment.fullname not in self.items.seen and comment.link_id in self.items.threads:
                    self.items.take(comment)
            self.night.checkpoint(self._so_far)
            if listing.oldest < until - _LATE:
                break
        else:
            if until and listing.lost_since(until):
                self._say_lost(f"{REDDIT}/r/{name}/comments/", listing)
                place["again"] = sorted({*place.get("again", []), *self._grown(name)})
        place["until"] = max(until, listing.newest)
        self._read_again(name, place)

    def _grown(self, name: str) -> list[str]:
        """Known threads of a subreddit that have more comments than are known."""
        comments: Counter[str] = Counter()
        posts = []
        for item, address in self.items.known.items():
            found = _THREAD.search(address)
            if found and item.startswith("t1_"):
                comments[f"t3_{found[2]}"] += 1
            elif found and found[1].casefold() == name.casefold():
                posts.append(item)
        there: dict[str, Thing] = {}
        for at in range(0, len(posts), PAGE):
            there |= self._info(posts[at : at + PAGE])
        return [post for post, thing in there.items() if vars(thing).get("num_comments", 0) > comments[post]]

    def _read_again(self, name: str, place: dict[str, Any]) -> None:
        """Read threads whose comments the listing has lost, up to the night's cap; the rest wait."""
        taken, key = self.tonight["taken"], f"{name}/again"
        while (waiting := place.pop("again", [])) and taken.get(key, 0) < self.source.max_posts:
            self._replies(waiting[0], f"{REDDIT}/r/{name}/comments/{waiting[0].removeprefix('t3_')}/")
            taken[key] = taken.get(key, 0) + 1
            place["again"] = waiting[1:]
            self.night.checkpoint(self._so_far)
        if waiting:
            place["again"] = waiting
