"""Reddit's API as the collector needs it: a client, patience, and what a post or comment says of itself."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import praw
import requests
from praw.exceptions import DuplicateReplaceException
from praw.models import Comment, Submission
from prawcore.exceptions import TooManyRequests
from urllib3 import Retry
from urllib3.exceptions import InvalidHeader

from sovereign_tasks.collect.fetch import NO_CONTACT, user_agent
from sovereign_tasks.collect.reddit import TERMS
from sovereign_tasks.errors import UserError

if TYPE_CHECKING:
    from sovereign_tasks.collect.reddit import RedditSource

T = TypeVar("T")
Thing = Submission | Comment
REDDIT = "https://www.reddit.com"
CREDENTIALS = ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET")
ACCOUNT = "REDDIT_USERNAME"
_TRIES = 5
_WINDOW = 600.0  # seconds in which Reddit counts requests
_LONGEST_WAIT = _WINDOW


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
            f"script at {REDDIT}/prefs/apps, once Reddit has granted you access ({TERMS}), and set both."
        )
    if not contact.strip() and not source.endpoint:
        raise UserError(f"source {source.name}: {NO_CONTACT}")
    session.hooks["response"].append(lambda response, **_: tame(response))
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


def accounts(source: RedditSource) -> list[str]:
    """The accounts whose own writing is collected; `UserError` where `me` is nobody."""
    if "me" in source.users and not os.environ.get(ACCOUNT, "").strip():
        raise UserError(f"source {source.name}: users: me is the account in {ACCOUNT}, which is not set; set it.")
    return sorted({os.environ[ACCOUNT].strip().removeprefix("u/") if u == "me" else u for u in source.users})


def patiently(ask: Callable[[], T]) -> T:
    """Ask again once a busy server's time is up, never before; what waits for too long or too often raises."""
    waited = 0.0
    for tries in itertools.count(1):
        try:
            return ask()
        except TooManyRequests as e:
            seconds = float(e.retry_after or 0) or 2.0 ** (tries - 1)
            waited += seconds
            if tries == _TRIES or waited > _LONGEST_WAIT:
                raise
            time.sleep(seconds)
    raise AssertionError("the last try answers or raises")


def tame(response: requests.Response) -> None:
    """Make what a server says of its limits numbers that PRAW can read, and its window no longer than Reddit's."""
    headers = response.headers
    if "retry-after" in headers:
        try:
            headers["retry-after"] = str(float(Retry().parse_retry_after(headers["retry-after"])))
        except (InvalidHeader, ValueError, OverflowError):
            del headers["retry-after"]
    try:
        used, left, reset = (float(headers[f"x-ratelimit-{name}"]) for name in ("used", "remaining", "reset"))
        headers["x-ratelimit-used"] = str(max(int(used), 0))
        headers["x-ratelimit-remaining"] = str(max(int(left), 0))
        headers["x-ratelimit-reset"] = str(math.ceil(min(max(reset, 0.0), _WINDOW)))
    except (KeyError, ValueError, OverflowError):
        headers.pop("x-ratelimit-remaining", None)


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
