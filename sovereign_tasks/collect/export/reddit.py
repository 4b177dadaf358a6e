"""Reddit's data request archive: posts.csv and comments.csv, each item under the address that Reddit's API gives it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sovereign_tasks.collect.export.posts import Post, Posts, table_of
from sovereign_tasks.collect.local import Broken
from sovereign_tasks.collect.tabular.times import when

WANTED = re.compile(r"(?:[^/]+/)?(?P<name>(?:posts|comments|statistics)\.csv)")
PARTS: dict[str, str] = {}
_THREAD = re.compile(r"/comments/([a-z0-9]{1,13})(?:/|\Z)")
_GONE = {"[deleted]", "[deleted by user]", "[removed]"}
_MENTION = re.compile(r"(?<![\w/])/?u/([\w-]{2,20})")


def read(members: Mapping[str, bytes], *, private: bool) -> Posts:
    """One's own posts and comments; what was deleted or removed is counted. `Broken` where a table is missing."""
    for name in ("posts.csv", "comments.csv"):
        if name not in members:
            raise Broken("missing", f"there is no {name}")
    posts = Posts()
    said = table_of(members, "statistics.csv", posts) if "statistics.csv" in members else []
    author = next((row.get("value", "") for row in said if row.get("statistic") == "account name"), "")
    for row in table_of(members, "posts.csv", posts):
        _take(posts, row, "t3_", author)
    for row in table_of(members, "comments.csv", posts):
        _take(posts, row, "t1_", author)
    return posts


def _take(posts: Posts, row: Mapping[str, str], prefix: str, author: str) -> None:
    item, text, title = row.get("id", ""), row.get("body", ""), row.get("title", "")
    thread = _THREAD.search(row.get("permalink", "")) or _THREAD.search(row.get("link", ""))
    if text.strip() in _GONE or title.strip() in _GONE:
        posts.leave("deleted")
    elif not item or not thread:
        posts.leave("no_permalink")
    else:
        comment = prefix == "t1_"
        posts.posts.append(
            Post(
                address_of(row.get("subreddit", ""), thread[1], item if comment else ""),
                prefix + item,
                text,
                answers=_answered(row.get("parent", ""), thread[1]) if comment else "",
                title=title,
                author=author,
                created_at=when(row.get("date", "")),
                people=tuple(sorted(set(_MENTION.findall(text)))),
                media_type="text/markdown",
            )
        )


def address_of(subreddit: str, thread: str, comment: str) -> str:
    """The permanent address of a post or comment, spelt as the API's collector does."""
    post = f"https://www.reddit.com/r/{subreddit}/comments/{thread}/"
    return f"{post}comment/{comment}/" if comment else post


def _answered(parent: str, thread: str) -> str:
    """The item that a comment answers: the thread's post where the archive names no other comment."""
    if parent.startswith(("t1_", "t3_")):
        return parent
    return f"t1_{parent}" if parent and parent != thread else f"t3_{thread}"
