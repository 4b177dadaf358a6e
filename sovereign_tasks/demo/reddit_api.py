"""The Reddit API's shapes over the forum's threads, as far as PRAW reads posts, comments and what is gone."""

from __future__ import annotations

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


def _info(day: int, ids: Sequence[str]) -> Json:
    """Posts and comments by full name; one that is wholly gone is left out."""
    known = {}
    for thread in all_threads(day):
        if thread.deleted and thread.score % 2:  # of deleted posts Reddit still shows some as a husk
            continue
        known[f"t3_{thread.id}"] = _post(thread)
        known |= {f"t1_{comment.id}": _comment(thread, comment) for comment in thread.comments}
    return _listing([known[name] for name in ids if name in known])


def _more_children(day: int, form: Mapping[str, str]) -> Json:
    wanted = form.get("children", "").split(",")
    things = [
        _comment(thread, comment)
        for thread in all_threads(day)
        if f"t3_{thread.id}" == form.get("link_id")
        for comment in thread.comments
        if comment.id in wanted
    ]
    return {"json": {"errors": [], "data": {"things": things}}}


def answer(day: int, path: str, query: Mapping[str, str]) -> Json | list[Json] | None:
    """The JSON for a path under the API's root (query and form fields together), or None for a 404."""
    live = [thread for thread in all_threads(day) if not thread.deleted]
    match [part for part in path.split("/") if part]:
        case ["api", "v1", "access_token"]:
            return {"access_token": "demo", "token_type": "bearer", "expires_in": 86400, "scope": "*"}
        case ["api", "morechildren"]:
            return _more_children(day, query)
        case ["api", "info"]:
            return _info(day, query.get("id", "").split(","))
        case ["r", name, "new"] if name.lower() == SUBREDDIT.lower():
            return cut_listing([_post(thread) for thread in live], query)
        case ["r", name, "comments"] if name.lower() == SUBREDDIT.lower():
            pairs = [(thread, comment) for thread in live for comment in thread.comments]
            pairs.sort(key=lambda pair: (-pair[1].created_utc, pair[1].id))
            return cut_listing([_comment(thread, comment) for thread, comment in pairs], query)
        case ["comments", post, *_] | ["r", _, "comments", post, *_]:
            return next((_thread_page(thread) for thread in live if thread.id == post), None)
    return None
