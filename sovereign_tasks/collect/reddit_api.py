"""Reddit's API as the collector needs it: a client, patience, and what a post or comment says of itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import praw
import requests
from praw.exceptions import DuplicateReplaceException
from praw.models import Comment, Submission
from prawcore.exceptions import TooManyRequests

from sovereign_tasks.collect.http import user_agent
from sovereign_tasks.errors import UserError

if TYPE_CHECKING:
    from sovereign_tasks.collect.reddit import RedditSource

T = TypeVar("T")
Thing = Submission | Comment
REDDIT = "https://www.reddit.com"
CREDENTIALS = ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET")
_TRIES = 5
_LONGEST_WAIT = 60.0


def server(source: RedditSource) -> str:
    """The server's address, for a person to read."""
    return source.endpoint or REDDIT


def refused_client(source: RedditSource, why: str) -> str:
    """What to tell the owner where the server does not accept the client."""
    if source.endpoint:
        return (
            f"source {source.name}: {source.endpoint} wants credentials ({why}), and an endpoint gets none; "
            f"let it answer without, or correct endpoint."
        )
    return f"source {source.name}: {REDDIT} refuses {' and '.join(CREDENTIALS)} ({why}); correct them."


def client(source: RedditSource, contact: str, session: requests.Session) -> praw.Reddit:
    """A read-only client on `session`, or a `UserError` without credentials for Reddit itself."""
    missing = [name for name in CREDENTIALS if not os.environ.get(name)]
    if missing and not source.endpoint:
        raise UserError(
            f"source {source.name}: {' and '.join(missing)} not set in the environment; register an app of type "
            f"script at {REDDIT}/prefs/apps and set both."
        )
    own = source.endpoint.rstrip("/")
    # Reddit's credentials are for Reddit: no other server gets them, whoever it belongs to.
    client_id, client_secret = ("none", "none") if own else (os.environ[name] for name in CREDENTIALS)
    # PRAW joins paths to oauth_url as urls are joined, which keeps a path of its own only with the slash.
    urls = {"reddit_url": own, "oauth_url": f"{own}/", "short_url": own} if own else {}
    return praw.Reddit(
        client_id=client_id,
        client_secret=client_secret,
        user_agent=user_agent(contact),
        requestor_kwargs={"session": session},
        check_for_updates=False,
        check_for_async=False,
        **urls,
    )


def patiently(ask: Callable[[], T]) -> T:
    """Ask again after as long as a busy server wants, a minute at most and five times at most."""
    for left in reversed(range(_TRIES)):
        try:
            return ask()
        except TooManyRequests as e:
            if not left:
                raise
            time.sleep(min(float(e.retry_after or 1), _LONGEST_WAIT))
    raise AssertionError("the last try answers or raises")


def read_thread(reddit: praw.Reddit, post_id: str) -> tuple[list[Comment], bool]:
    """A thread's comments and whether they are all; asked anew each time, as a broken forest can't go on."""
    forest = reddit.submission(post_id).comments
    try:
        forest.replace_more(limit=None)
    except (DuplicateReplaceException, AssertionError):  # the server's tree contradicts itself
        return [c for c in forest.list() if isinstance(c, Comment)], False
    return forest.list(), True


def address_of(thing: Thing) -> str:
    """The permanent address, without the title's words, which Reddit can do without."""
    thread = thing.id if isinstance(thing, Submission) else thing.link_id.removeprefix("t3_")
    post = f"{REDDIT}/r/{thing.subreddit.display_name}/comments/{thread}/"
    return post if isinstance(thing, Submission) else f"{post}comment/{thing.id}/"


def why_gone(thing: Thing) -> str:
    """Why a post or comment may not be kept, or empty; its text can still be there after a removal."""
    text = thing.selftext if isinstance(thing, Submission) else thing.body
    by = vars(thing).get("removed_by_category")  # as an attribute, its absence would cost a request
    if by and by not in ("deleted", "author"):
        return "removed"
    if by or thing.author is None or text.strip() in ("[deleted]", "[deleted by user]"):
        return "deleted"
    return "removed" if text.strip() == "[removed]" else ""
