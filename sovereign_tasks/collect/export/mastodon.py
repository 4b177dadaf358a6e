"""Mastodon's archive: the notes of outbox.json (ActivityPub); boosts and what was not public are left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sovereign_tasks.collect.export.posts import Post, Posts, json_of
from sovereign_tasks.collect.fragment import text_of_html
from sovereign_tasks.collect.local import Broken
from sovereign_tasks.collect.tabular.times import when

WANTED = re.compile(r"(?:[^/]+/)?(?P<name>(?:outbox|actor)\.json)")
PARTS: dict[str, str] = {}
_PUBLIC = {"https://www.w3.org/ns/activitystreams#Public", "as:Public", "Public"}


def read(members: Mapping[str, bytes], *, private: bool) -> Posts:
    """One's own notes, and with `private` those to followers; a direct message, named to people alone, never."""
    outbox = json_of(members, "outbox.json")
    activities = outbox.get("orderedItems") if isinstance(outbox, dict) else None
    if not isinstance(activities, list):
        raise Broken("unreadable", "outbox.json has no orderedItems")
    actor = json_of(members, "actor.json") if "actor.json" in members else {}
    user, author = str(actor.get("preferredUsername") or ""), str(actor.get("name") or "")
    posts = Posts()
    for activity in activities:
        note = activity.get("object") if isinstance(activity, dict) else None
        if not isinstance(note, dict) or activity.get("type") != "Create":
            posts.leave("repost")
        elif note.get("type") != "Note":
            posts.leave("no_note")
        elif not _may_be_read(note, private):
            posts.leave("not_public")
        else:
            posts.posts.append(_post(note, user, author or user))
    return posts


def _may_be_read(note: Mapping[str, Any], private: bool) -> bool:
    audience = {str(who) for key in ("to", "cc") for who in _list(note.get(key))}
    return bool(audience & _PUBLIC) or (private and any(who.endswith("/followers") for who in audience))


def _post(note: Mapping[str, Any], user: str, author: str) -> Post:
    item = str(note.get("id") or "")
    named = [str(tag.get("name") or "") for tag in _list(note.get("tag")) if tag.get("type") == "Mention"]
    people = {part for name in named for part in (name.strip("@"), name.strip("@").partition("@")[0])} | {user}
    return Post(
        str(note.get("url") or item),
        item,
        text_of_html(str(note.get("content") or "")),
        answers=str(note.get("inReplyTo") or ""),
        title=str(note.get("summary") or ""),
        author=author,
        created_at=when(str(note.get("published") or "")),
        people=tuple(sorted(people - {""})),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
