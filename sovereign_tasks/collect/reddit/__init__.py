"""Subreddits and accounts through PRAW: new threads and comments, edits, and deletions, which must be honoured."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sovereign_tasks.collect.night import Night
from sovereign_tasks.sources import Profile, SourceConfig

TERMS = (
    "see Reddit's Responsible Builder Policy and Data API Terms, at support.reddithelp.com and redditinc.com/policies"
)
_SUBREDDIT = re.compile(r"[A-Za-z0-9_]{1,50}")
_USER = re.compile(r"[A-Za-z0-9_-]{1,50}")
_NO_AGREEMENT = re.compile(
    r"\W*(?:todo|tbd|fixme|none|null|n/?a|no|yes|true|false|x+|your .*|my agreement|an? agreement|(?:the )?agreement"
    r"|place ?holder|change ?me|example|test|unknown|pending|<.*>|\[.*\])?\W*",
    re.I | re.S,
)


class RedditSource(SourceConfig):
    """New posts and comments of subreddits, or of accounts of your own, through Reddit's own API."""

    kind: Literal["reddit"]
    profile: Profile = "forum"
    subreddits: list[str] = Field([])
    """Subreddits without the r/."""
    users: list[str] = Field([])
    """Accounts whose own posts and comments alone are collected, without the u/; me is that in REDDIT_USERNAME."""
    agreement: str
    """The agreement under which Reddit lets you use its data for training."""
    endpoint: str = ""
    """Address of another server that speaks Reddit's API; empty for Reddit itself."""
    max_posts: int = Field(500, ge=1)
    """New posts per subreddit and night at most, and of an account's posts and comments each."""

    @field_validator("subreddits")
    @classmethod
    def _subreddit_names(cls, names: list[str]) -> list[str]:
        return _spelt(names, _SUBREDDIT, "r/")

    @field_validator("users")
    @classmethod
    def _user_names(cls, names: list[str]) -> list[str]:
        return _spelt(names, _USER, "u/")

    @field_validator("agreement")
    @classmethod
    def _agreed(cls, agreement: str) -> str:
        if _NO_AGREEMENT.fullmatch(agreement):
            raise ValueError(
                f"{agreement!r} names no agreement; Reddit's data may train a model only with its permission: "
                f"ask for it ({TERMS}; commercial use through Reddit's data licensing) and name what you were granted"
            )
        return agreement

    @model_validator(mode="after")
    def _somewhere(self) -> RedditSource:
        if not self.subreddits and not self.users:
            raise ValueError("subreddits and users are both empty; name at least one subreddit or account")
        return self


def _spelt(names: list[str], spelling: re.Pattern[str], prefix: str) -> list[str]:
    for name in names:
        if not spelling.fullmatch(name):
            raise ValueError(f"{name!r} is no name; write it without {prefix} and as Reddit spells it")
    return names


def collect(source: RedditSource, night: Night) -> dict[str, Any]:
    """Collect a source's subreddits and accounts; a post and each comment are items of their own.

    `item` is the fullname, `group` the thread's; a comment of an account's on somebody else's thread is a root of
    its own. Known items are asked for again, a hundred a request: an edited text comes anew, a deleted or removed
    one is gone by its author. `UserError` without credentials or for a place that can't be read, `TransientError`
    when the server is down or too busy.
    """
    from sovereign_tasks.collect.reddit.session import visit  # PRAW, which settings can do without

    return visit(source, night)
