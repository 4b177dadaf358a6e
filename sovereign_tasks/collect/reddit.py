"""Subreddits through PRAW: new threads and comments, edits, and deletions, which must be honoured.

Listings are paged newest first until a page brings nothing unknown. A cursor that was deleted makes Reddit
answer with nothing, so an empty page is asked again after the thing before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import praw
import requests
from praw.exceptions import PRAWException
from praw.models import Submission
from prawcore.exceptions import (
    Forbidden,
    NotFound,
    OAuthException,
    PrawcoreException,
    Redirect,
    ResponseException,
)
from pydantic import Field

from sovereign_tasks.collect.night import Night
from sovereign_tasks.collect.reddit_api import (
    Thing,
    address_of,
    client,
    patiently,
    read_thread,
    refused_client,
    server,
    why_gone,
)
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import Validator, keyed_hash
from sovereign_tasks.sources import Profile, SourceConfig

_PAGE = 100
_STEPS_BACK = 3
_MANY = 20


class RedditSource(SourceConfig):
    """New posts and comments of subreddits, through Reddit's own API."""

    kind: Literal["reddit"]
    profile: Profile = "forum"
    subreddits: list[str] = Field(min_length=1)
    """Subreddits without the r/."""
    agreement: str
    """The agreement under which Reddit lets you use its data for training."""
    endpoint: str = ""
    """Address of another server that speaks Reddit's API; empty for Reddit itself."""
    max_posts: int = Field(500, ge=1)
    """New posts per subreddit and night at most."""


def collect(source: RedditSource, night: Night) -> dict[str, Any]:
    """Collect a source's subreddits; a post and each of its comments are items of their own.

    `item` is the fullname, `group` the thread's. Known items are asked for again: an edited text comes anew,
    a deleted or removed one is gone by its author. `UserError` without credentials or for a subreddit that
    can't be read, `TransientError` when the server is down or too busy.
    """
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy, no .netrc
            session.hooks["response"].append(lambda r, **_: night.note(requests=1, bytes=len(r.content)))
            reddit = client(source, night.contact, session)
            return _Visit(source, night, reddit).run()
    except (Forbidden, NotFound, Redirect) as e:
        names = ", ".join(source.subreddits)
        raise UserError(
            f"source {source.name}: one of the subreddits {names} does not exist or is closed to you "
            f"(http {e.response.status_code}); correct subreddits."
        ) from None
    except OAuthException as e:
        raise UserError(refused_client(source, e.error)) from None
    except (PrawcoreException, PRAWException) as e:
        status = f"http {e.response.status_code}" if isinstance(e, ResponseException) else type(e).__name__
        if isinstance(e, ResponseException) and e.response.status_code == 401:
            raise UserError(refused_client(source, status)) from None
        raise TransientError(f"source {source.name}: {server(source)} can't be read ({status}).") from None


class _Visit:
    def __init__(self, source: RedditSource, night: Night, reddit: praw.Reddit) -> None:
        self.source, self.night, self.reddit = source, night, reddit
        validated = {name: "" for name, v in night.state.validators.items() if v.digest}
        self.known = validated | {item: address for address, item in night.state.known}
        self.seen: set[str] = set()

    def run(self) -> dict[str, Any]:
        """Known items first, then each subreddit's new threads, then new comments on older threads."""
        self._recheck()
        cursor = dict(self.night.state.cursor)
        for name in sorted(self.source.subreddits):
            backlog = not cursor.get(name, {}).get("complete", False)
            subreddit = self.reddit.subreddit(name)
            taken = 0
            for post in self._newest(subreddit.new, lambda t: not why_gone(t), to_the_end=backlog):
                if taken == self.source.max_posts:
                    break
                self._thread(post)
                taken += 1
                self.night.progress(len(self.seen), len(self.seen))
                self.night.checkpoint(cursor)
            cursor[name] = {"complete": taken < self.source.max_posts}
            if self.known:
                self._late_comments(subreddit)
        return cursor

    def _recheck(self) -> None:
        """Ask for every known item by its name, a hundred at a time."""
        names = sorted(self.known)
        found: dict[str, Thing] = {}
        for at in range(0, len(names), _PAGE):
            chunk = names[at : at + _PAGE]
            there = {t.fullname: t for t in patiently(lambda c=chunk: list(self.reddit.info(fullnames=c)))}
            if not there and len(chunk) >= _MANY:
                # Rather a server in trouble than so many deletions at once, and deletion is for good.
                raise TransientError(
                    f"source {self.source.name}: {server(self.source)} knows none of {len(chunk)} collected items."
                )
            found |= there
            self.night.progress(at + len(chunk), len(names))
        for name in names:
            self.seen.add(name)
            self.night.asked()
            thing = found.get(name)
            reason = why_gone(thing) if thing else "missing"
            if reason:
                self.night.vanish(self.known[name], name, reason, by_author=True)
                self.night.count(reason)
            else:
                self._take(thing, self.known[name] or address_of(thing))

    def _newest(
        self,
        listing: Callable[..., Iterable[Thing]],
        wanted: Callable[[Thing], bool],
        *,
        to_the_end: bool = False,
    ) -> Iterator[Thing]:
        """What a listing has that was not seen before, newest first, until a page has nothing wanted."""
        after: list[str] = []
        met: set[str] = set()
        while True:
            page = self._page_after(listing, after, met)
            if not page:
                return
            fresh = [thing for thing in page if thing.fullname not in self.seen]
            met |= {thing.fullname for thing in page}
            after = [thing.fullname for thing in page]
            yield from fresh
            if not to_the_end and not any(map(wanted, fresh)):
                return

    def _page_after(self, listing: Callable[..., Iterable[Thing]], after: list[str], met: set[str]) -> list[Thing]:
        """The page after the last thing, or after one before it: the last may have been deleted meanwhile."""
        starts = [*reversed(after[-_STEPS_BACK:])] or [""]
        for start in starts:
            params = {"after": start} if start else {}
            page = patiently(lambda p=params: list(listing(limit=_PAGE, params=p)))
            if new := [thing for thing in page if thing.fullname not in met]:
                return new
        return []

    def _thread(self, post: Submission) -> None:
        try:
            comments, whole = patiently(lambda: read_thread(self.reddit, post.id))
        except NotFound:  # deleted since it was listed
            self.night.asked()
            self.night.reject(address_of(post), "missing", item=post.fullname)
            return
        self._new(post)
        if not whole:
            self.night.asked()
            self.night.reject(address_of(post), "thread_incomplete", item=post.fullname)
        for comment in comments:
            if comment.fullname not in self.seen:
                self._new(comment)

    def _late_comments(self, subreddit: praw.models.Subreddit) -> None:
        """Comments on threads that were collected before; a thread not yet collected comes whole one night."""

        def wanted(comment: Thing) -> bool:
            return comment.link_id in self.known and not why_gone(comment)

        for comment in self._newest(subreddit.comments, wanted):
            if comment.link_id in self.known:
                self._new(comment)

    def _new(self, thing: Thing) -> None:
        self.seen.add(thing.fullname)
        self.night.asked()
        if reason := why_gone(thing):
            self.night.reject(address_of(thing), reason, item=thing.fullname)
        else:
            self._take(thing, address_of(thing))

    def _take(self, thing: Thing, address: str) -> None:
        """Make an item of a text that is new or was edited; a score that moved makes none."""
        post = isinstance(thing, Submission)
        title, body = (thing.title, thing.selftext) if post else ("", thing.body)
        digest = keyed_hash("post", title, body)
        before = self.night.state.validators.get(thing.fullname)
        if before and before.digest == digest:
            self.night.count("unchanged")
            return
        self.night.remember(Validator(thing.fullname, "", "", digest))
        self.night.keep(
            address,
            body.encode(),
            "text/markdown",
            item=thing.fullname,
            group=thing.fullname if post else thing.link_id,
            parent="" if post else thing.parent_id,
            title=title,
            author=thing.author.name,
            score=thing.score,
            created_at=datetime.fromtimestamp(thing.created_utc, UTC),
        )
