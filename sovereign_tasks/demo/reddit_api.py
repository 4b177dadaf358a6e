"""The Reddit API's shapes over the forum's threads, as far as PRAW reads posts, comments and what is gone."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from sovereign_tasks.demo.forum import SUBREDDIT, Comment, Thread, all_threads

PAGE = 100
LISTING_END = 1000  # Reddit shows no more of any listing

Json = dict[str, Any]


def _thing(kind: str, data: Json) -> Json:
    return {"kind": kind, "data": data}


def _post(thread: Thread) -> Json:
    name = f"t3_{thread.id}"
    permalink = f"/r/{SUBREDDIT}/comments/{thread.id}/"
    data = {
        "id": thread.id, "name": name, "title": thread.title, "selftext": thread.body, "subreddit": SUBREDDIT,
        "author": thread.author or "[deleted]", "score": thread.score, "ups": thread.score, 
        "is_self": True, "created_utc": float(thread.created_utc), "edited": False,
        "num_comments": len(thread.comments),
        "permalink": permalink, 
        "url": f"https://www.reddit.com{permalink}", "over_18": False, "stickied": False,
        "removed_by_category": "deleted" if thread.deleted else None,
    }  # fmt: skip
    return _thing("t3", data)


def _comment(thread: Thread, comment: Comment, replies: Json | str = "") -> Json:
    data = {
        "id": comment.id, "name": f"t1_{comment.id}", "body": comment.body, "edited": False,
        "author": comment.author or "[deleted]", "score": comment.score, "ups": comment.score,
        "created_utc": float(comment.created_utc), "link_id": f"t3_{thread.id}",
        "link_author": thread.author or "[deleted]",
        "parent_id": f"t1_{comment.parent}" if comment.parent else f"t3_{thread.id}",
        "subreddit": SUBREDDIT, "permalink": f"/r/{SUBREDDIT}/comments/{thread.id}/_/{comment.id}/",
        "replies": replies, "stickied": False, "distinguished": None, "depth": 0,
    }  # fmt: skip
    return _thing("t1", data)


def _listing(children: list[Json], after: str | None = None, before: str | None = None) -> Json:
    return _thing("Listing", {"after": after, "before": before, "dist": len(children), "children": children})


def cut_listing(things: Sequence[Json], query: Mapping[str, str]) -> Json:
    """One page of a listing: at most 100, none past the 1,000th, empty when the cursor is gone."""
    things = things[:LISTING_END]
    names = [thing["data"]["name"] for thing in things]
    limit = min(int(query["limit"]) if query.get("limit", "").isdigit() else 25, PAGE) or PAGE
    after, before = query.get("after"), query.get("before")
    if (after and after not in names) or (before and before not in names):
        return _listing([])
    if before:
        end = names.index(before)
        start = max(0, end - limit)
    else:
        start = names.index(after) + 1 if after else 0
        end = min(start + limit, len(things))
    chosen = list(things[start:end])
    more = names[end - 1] if chosen and end < len(things) and not before else None  # else PRAW would ask twice
    earlier = names[start] if chosen and start > 0 else None
    return _listing(chosen, more, earlier)


def _tree(thread: Thread, comments: Sequence[Comment], parent: str | None) -> list[Json]:
    children = []
    for comment in (c for c in comments if c.parent == parent):
        replies = _tree(thread, comments, comment.id)
        children.append(_comment(thread, comment, _listing(replies) if replies else ""))
    return children


def _thread_page(thread: Thread) -> list[Json]:
    shown = thread.comments[: len(thread.comments) - thread.hidden]
    tree = _tree(thread, shown, None)
    hidden = [comment.id for comment in thread.comments[len(shown) :]]
    if hidden:
        more = {
            "id": hidden[0],
            "name": f"t1_{hidden[0]}",
            "count": len(hidden),
            "children": hidden,
            "depth": 0,
        }
        tree.append(_thing("more", {**more, "parent_id": f"t3_{thread.id}"}))
    return [_listing([_post(thread)]), _listing(tree)]


class Api:
    """What the API answers over a forum's threads, newest first, the deleted ones included."""

    def __init__(self, threads: Sequence[Thread]) -> None:
        self._live = [thread for thread in threads if not thread.deleted]
        self._by_id = {thread.id: thread for thread in self._live}
        # Of deleted posts Reddit still shows some as a husk.
        self._known = {thread.id: thread for thread in threads if not (thread.deleted and thread.score % 2)}
        pairs = [(thread, comment) for thread in self._live for comment in thread.comments]
        self._comments = sorted(pairs, key=lambda pair: (-pair[1].created_utc, pair[1].id))
        self._comment_ids = {c.id: (thread, c) for thread in self._known.values() for c in thread.comments}

    def answer(self, path: str, query: Mapping[str, str]) -> Json | list[Json] | None:
        """The JSON for a path under the API's root (query and form fields together), or None for a 404."""
        match [part for part in path.split("/") if part]:
            case ["api", "v1", "access_token"]:
                return {"access_token": "demo", "token_type": "bearer", "expires_in": 86400, "scope": "*"}
            case ["api", "morechildren"]:
                return self._more_children(query)
            case ["api", "info"]:
                return self._info(query.get("id", "").split(","))
            case ["r", name, "new"] if name.lower() == SUBREDDIT.lower():
                return cut_listing([_post(thread) for thread in self._live[:LISTING_END]], query)
            case ["r", name, "comments"] if name.lower() == SUBREDDIT.lower():
                return cut_listing([_comment(*pair) for pair in self._comments[:LISTING_END]], query)
            case ["user", name, "submitted"]:
                return cut_listing([_post(t) for t in self._live if t.author == name][:LISTING_END], query)
            case ["user", name, "comments"]:
                own = [_comment(*pair) for pair in self._comments if pair[1].author == name]
                return cut_listing(own[:LISTING_END], query)
            case ["comments", post, *_] | ["r", _, "comments", post, *_]:
                return _thread_page(self._by_id[post]) if post in self._by_id else None
        return None

    def _info(self, names: Sequence[str]) -> Json:
        """Posts and comments by full name; one that is wholly gone is left out."""
        found = []
        for kind, _, ident in (name.partition("_") for name in names):
            if kind == "t3" and ident in self._known:
                found.append(_post(self._known[ident]))
            elif kind == "t1" and ident in self._comment_ids:
                found.append(_comment(*self._comment_ids[ident]))
        return _listing(found)

    def _more_children(self, form: Mapping[str, str]) -> Json:
        pairs = [self._comment_ids[i] for i in form.get("children", "").split(",") if i in self._comment_ids]
        things = [_comment(thread, c) for thread, c in pairs if f"t3_{thread.id}" == form.get("link_id")]
        return {"json": {"errors": [], "data": {"things": things}}}


@functools.cache
def bundled(day: int) -> Api:
    """The bundled forum as it is on day 1 or 2."""
    return Api(all_threads(day))
