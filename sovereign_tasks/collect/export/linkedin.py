"""LinkedIn's archive: Shares.csv, Comments.csv and articles as HTML.

LinkedIn writes a share's text with each of its lines in quotes of its own, and a comment's quotes with a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from sovereign_tasks.collect.export.posts import Post, Posts, table_of
from sovereign_tasks.collect.local import Broken, text_of
from sovereign_tasks.collect.tabular.times import when
from sovereign_tasks.records import keyed_hash

WANTED = re.compile(r"(?:.*/)?(?P<name>Shares\.csv|Comments\.csv|Profile\.csv|(?:Articles/)+[^/]+\.html?)")
PARTS = {"share:": "Shares.csv", "comment:": "Comments.csv", "article:": "Articles/"}
_PUBLIC = {"", "MEMBER_NETWORK", "PUBLIC", "ANYONE"}
_TITLE = re.compile(r"<h1\b[^>]{0,500}>(.{0,2000}?)</h1>", re.IGNORECASE | re.DOTALL)
_PULSE = re.compile(r"https://www\.linkedin\.com/pulse/[^\"'\s<>?]{1,500}")
_LINE_QUOTES = re.compile(r'"\r?\n"')


def read(members: Mapping[str, bytes], *, private: bool) -> Posts:
    """One's own shares with words of their own, comments and published articles. `Broken` where none is there."""
    if not members.keys() - {"Profile.csv"}:
        raise Broken("missing", "there is no Shares.csv, Comments.csv or Articles folder")
    posts = Posts()
    author = ""
    if "Profile.csv" in members:
        profile = next(iter(table_of(members, "Profile.csv", posts)), {})
        author = f"{profile.get('First Name', '')} {profile.get('Last Name', '')}".strip()
    for row in table_of(members, "Shares.csv", posts) if "Shares.csv" in members else []:
        _share(posts, row, author, private)
    for row in table_of(members, "Comments.csv", posts, escape="\\") if "Comments.csv" in members else []:
        _comment(posts, row, author)
    for name, body in members.items():
        if name.startswith("Articles/"):
            _article(posts, name, body, author)
    return posts


def _share(posts: Posts, row: Mapping[str, str], author: str, private: bool) -> None:
    text, address = _unquoted(row.get("ShareCommentary", "")), unquote(row.get("ShareLink", ""))
    if row.get("Visibility", "") not in _PUBLIC and not private:
        posts.leave("not_public")
    else:
        item = f"share:{address.rpartition(':')[2] or keyed_hash('share', text)}"
        posts.posts.append(Post(address, item, text, author=author, created_at=when(row.get("Date", ""))))


def _comment(posts: Posts, row: Mapping[str, str], author: str) -> None:
    text, link = _unquoted(row.get("Message", "")), row.get("Link", "")
    named = parse_qs(urlsplit(link).query).get("commentUrn", [""])[0]
    item = f"comment:{named or keyed_hash('comment', link, row.get('Date', ''), text)}"
    posts.posts.append(Post(unquote(link), item, text, author=author, created_at=when(row.get("Date", ""))))


def _article(posts: Posts, name: str, body: bytes, author: str) -> None:
    text = text_of(body)
    if 'class="created"' in text and 'class="published"' not in text:
        posts.leave("draft")
        return
    address, heading = _PULSE.search(text), _TITLE.search(text)
    title = re.sub(r"<[^>]{0,500}>", "", heading[1]).strip() if heading else ""
    where = address[0] if address else name
    posts.posts.append(Post(where, f"article:{where}", text, title=title, author=author, media_type="text/html"))


def _unquoted(text: str) -> str:
    """A text without the quotes that LinkedIn puts around its lines."""
    text = _LINE_QUOTES.sub("\n", text.strip())
    if text.count('"') % 2:
        text = text.removeprefix('"') if text.startswith('"') else text.removesuffix('"')
    return text.replace('""', '"').strip()
