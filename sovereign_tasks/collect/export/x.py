"""X's archive: data/tweets.js and its further parts, with long texts of data/note-tweet.js put in.

A member is JavaScript that assigns JSON (window.YTD.tweets.part0 = [...]); data/manifest.js says how many parts and
posts there are, which shows an archive that was copied in part. Reposts are left out, direct messages never opened.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sovereign_tasks.collect.export.posts import Post, Posts, json_of
from sovereign_tasks.collect.local import Broken

WANTED = re.compile(r"(?:(?:.*/)?data/)?(?P<name>(?:(?:note-)?tweets?(?:-part\d+)?|account|manifest)\.js)")
PARTS: dict[str, str] = {}
_CUT = re.compile(r"(?:…|\.\.\.)?\s*(?:https://t\.co/\w+)?\s*\Z")
_CREATED = "%a %b %d %H:%M:%S %z %Y"
_NOTE_KEY = 100


def read(members: Mapping[str, bytes], *, private: bool) -> Posts:
    """One's own posts and replies; a repost is counted. `Broken` where a part is missing or cut short."""
    parts = {name: json_of(members, name, after="=") for name in members if name != "manifest.js"}
    tweets = sorted(name for name in parts if name.startswith("tweet"))
    for number in range(max(len(tweets), 1)):
        part = f"-part{number}" if number else ""
        if not {f"tweets{part}.js", f"tweet{part}.js"} & parts.keys():
            raise Broken("missing", f"there is no data/tweets{part}.js")
    _check_whole(members, parts)
    account = next(_rows(parts, "account", "account"), {})
    user, author = str(account.get("username") or ""), str(account.get("accountDisplayName") or "")
    notes: dict[str, list[Any]] = {}
    for note in _rows(parts, "note-tweet", "noteTweet"):
        core = note.get("core") or {}
        notes.setdefault(str(core.get("text", ""))[:_NOTE_KEY], []).append(core)
    posts = Posts()
    for tweet in _rows(parts, "tweet", "tweet"):
        text = html.unescape(str(tweet.get("full_text") or tweet.get("text") or ""))
        if text.startswith("RT @"):
            posts.leave("repost")
        else:
            posts.posts.append(_post(tweet, _whole_text(text, notes), user, author))
    return posts


def _rows(parts: Mapping[str, Any], start: str, key: str) -> Iterator[dict[str, Any]]:
    for name, rows in parts.items():
        if name.startswith(start):
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise Broken("unreadable", f"{name} is no list")
            yield from (found for row in rows if isinstance(found := row.get(key, row), dict))


def _check_whole(members: Mapping[str, bytes], parts: Mapping[str, Any]) -> None:
    if "manifest.js" not in members:
        return
    types = json_of(members, "manifest.js", after="=").get("dataTypes", {})
    for file in (f for kind in ("tweets", "noteTweet") for f in types.get(kind, {}).get("files", [])):
        name, count = str(file.get("fileName", "")).rpartition("/")[2], str(file.get("count", ""))
        if name not in parts:
            raise Broken("missing", f"there is no data/{name}")
        if count.isdigit() and int(count) != len(parts[name]):
            raise Broken("truncated", f"data/{name} has {len(parts[name])} of {count} rows")


def _whole_text(text: str, notes: Mapping[str, list[Any]]) -> tuple[str, list[Any]]:
    """The long text that a shortened post begins, with its links; else the post's own text."""
    begun = _CUT.sub("", text)
    for core in notes.get(begun[:_NOTE_KEY], []) if len(begun) >= _NOTE_KEY else []:
        if str(core["text"]).startswith(begun):
            return str(core["text"]), core.get("urls") or []
    return text, []


def _post(tweet: Mapping[str, Any], said: tuple[str, list[Any]], user: str, author: str) -> Post:
    text, note_urls = said
    entities = tweet.get("entities") or {}
    for url in [*(entities.get("urls") or []), *note_urls]:
        short, long = url.get("url") or url.get("shortUrl"), url.get("expanded_url") or url.get("expandedUrl")
        if short and long:
            text = text.replace(short, long)
    for picture in entities.get("media") or []:
        text = text.replace(picture.get("url") or "\0", "")
    item = str(tweet.get("id_str") or tweet.get("id") or "")
    mentions = entities.get("user_mentions") or []
    return Post(
        f"https://x.com/{user or 'i'}/status/{item}",
        item,
        text.strip(),
        answers=str(tweet.get("in_reply_to_status_id_str") or tweet.get("in_reply_to_status_id") or ""),
        author=author,
        created_at=_time(str(tweet.get("created_at", ""))),
        people=tuple(
            sorted({str(m[k]) for m in mentions for k in ("screen_name", "name") if m.get(k)} | {user} - {""})
        ),
    )


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _CREATED)
    except ValueError:
        return None
