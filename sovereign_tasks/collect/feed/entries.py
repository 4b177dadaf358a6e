"""Reading a feed: the entries of RSS, RDF, Atom and JSON Feed alike."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.sax import SAXException

import feedparser

from sovereign_tasks.collect.fetch import Refused
from sovereign_tasks.collect.fetch.canonical import canonical
from sovereign_tasks.records import keyed_hash

WHOLE_CHARS = 1000  # visible characters from which a description is taken for the whole text
_TAIL = 400
_TITLE_CHARS = 500
_ITEM_CHARS = 200  # the ledger has room for 255
_TEXT_TYPES = ("text/html", "application/xhtml+xml", "text/plain")
_TAG = re.compile(r"<[^<>]*>")
_CUT = re.compile(r"\[\s*(?:…|\.{3})\s*\]|(?:…|\.{3})\W*$|(?:read more|continue reading)\W*$", re.I)
_MAILBOX = re.compile(r"\S+@\S+ \((.+)\)")  # as RSS has authors
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.I)
_NO_TEXT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # controls, halves of characters
_ENDED = re.compile(rb"</\s*(?:\w+:)?(?:rss|feed|rdf)\s*>\s*(?:<!--[^<>]*-->\s*)*\Z", re.I)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `item` names it for good, and `link` is its page, canonical, or empty.

    `text` is what the feed itself has of it, and `whole` says whether that is likely to be all of it. `people` are
    those it names beside its author.
    """

    item: str
    link: str
    title: str
    author: str
    people: tuple[str, ...]
    created_at: datetime | None
    text: str
    media_type: str
    whole: bool


def read_entries(address: str, body: bytes, headers: Mapping[str, str]) -> list[Entry]:
    """The entries in the feed's order; `Refused` with not_a_feed for anything else.

    A feed with faults in its XML is read as far as it goes if it goes to its end. `address` is the feed's own, by
    which its links are resolved and ids that are no address are told from other feeds'.
    """
    try:
        if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return [_from_json(address, item) for item in _json_items(body)]
        content_type = headers.get("Content-Type", "application/xml")
        parsed = feedparser.parse(  # a stream: plain bytes would be tried as the name of a file
            io.BytesIO(body),
            response_headers={"content-type": content_type, "content-location": address},
            sanitize_html=False,
            resolve_relative_uris=False,
        )
        fault = parsed.get("bozo_exception")
        if not parsed.get("version") or (isinstance(fault, SAXException) and not _ENDED.search(body[-1000:])):
            raise Refused("not_a_feed", _where(fault))
        return [_from_xml(address, entry) for entry in parsed.entries]
    except Refused:
        raise
    except Exception as e:  # whatever a feed can do to a parser, the other feeds go on
        raise Refused("not_a_feed", type(e).__name__) from None


def _where(fault: Exception | None) -> str:
    line = getattr(fault, "getLineNumber", lambda: None)()
    return f"line {line}" if line else ""


def _from_xml(address: str, entry: Any) -> Entry:
    contents = [c for c in entry.get("content", []) if c.get("value", "").strip() and c.get("type") in _TEXT_TYPES]
    summary = entry.get("summary_detail", {})
    text = (contents[0] if contents else summary).get("value", "")
    kind = (contents[0] if contents else summary).get("type", "text/html")
    title = entry.get("title_detail", {})
    link = entry.get("feedburner_origlink") or entry.get("link", "")
    names = [person.get("name", "") for person in [*entry.get("authors", []), *entry.get("contributors", [])]]
    if mailbox := _MAILBOX.fullmatch(entry.get("author", "")):
        names[:1] = [mailbox[1]]  # feedparser cuts addresses with a long last part in the middle
    return _entry(
        address,
        entry.get("id", ""),
        link,
        _plain(title.get("value", "")) if title.get("type") != "text/plain" else _words(title.get("value", "")),
        _words(names[0]) if names else "",
        names[1:],
        _moment(entry.get("published_parsed") or entry.get("updated_parsed")),
        (text, kind if kind in _TEXT_TYPES else "text/html", bool(contents)),
        entry.get("published", ""),
    )


def _json_items(body: bytes) -> list[Mapping[str, Any]]:
    feed = json.loads(body.decode("utf-8-sig"))
    if not str(feed.get("version", "")).startswith("https://jsonfeed.org/version/"):
        raise Refused("not_a_feed")
    return [item for item in feed["items"] if isinstance(item, dict)]


def _from_json(address: str, item: Mapping[str, Any]) -> Entry:
    def said(*keys: str) -> str:
        return next((item[key] for key in keys if isinstance(item.get(key), str) and item[key]), "")

    authors = item.get("authors") or [item.get("author")]
    names = [_words(str(author.get("name", ""))) for author in authors if isinstance(author, dict)]
    text, kind = (said("content_html"), "text/html") if said("content_html") else (said("content_text"), "text/plain")
    return _entry(
        address,
        str(item.get("id", "")),
        said("url"),
        _words(said("title")),
        names[0] if names else "",
        names,
        _iso(said("date_published", "date_modified")),
        (text or said("summary"), kind if text else "text/plain", bool(text)),
        said("date_published"),
    )


def _entry(
    address: str,
    ident: str,
    link: str,
    title: str,
    author: str,
    people: Iterable[str],
    created_at: datetime | None,
    content: tuple[str, str, bool],
    published: str,
) -> Entry:
    text, kind, given = content
    text, author, link = _clean(text), _clean(author), _clean(link)
    title = _clean(title)[:_TITLE_CHARS]
    link = (canonical(link, address) or "") if link.strip() else ""
    item = ident.strip() or link or keyed_hash("entry", title, _clean(published) or text)
    if not _SCHEME.match(item):
        item = f"{address}#{item}"  # 17 is some entry of every other feed too
    if len(item) > _ITEM_CHARS or _clean(item) != item:
        item = keyed_hash("item", item.encode(errors="surrogatepass"))
    others = tuple(sorted({_words(_clean(person)) for person in people} - {"", author}))
    whole = (given or len(_plain(text)) >= WHOLE_CHARS) and not _CUT.search(_plain(text)[-_TAIL:])
    if kind != "text/plain":  # a piece of a page, as a page
        text = f"<html><body><article>{text}</article></body></html>" if text.strip() else ""
    return Entry(item, link, title, author, others, created_at, text, f"{kind}; charset=utf-8", whole)


def _moment(parsed: Any) -> datetime | None:
    try:
        return datetime(*parsed[:6], tzinfo=UTC) if parsed else None
    except ValueError:
        return None


def _iso(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _plain(text: str) -> str:
    """Visible words of a piece of HTML."""
    return _words(html.unescape(_TAG.sub(" ", text)))


def _clean(text: str) -> str:
    """Text that every store can keep: a feed can spell what no text has."""
    return _NO_TEXT.sub("", text)


def _words(text: str) -> str:
    return " ".join(text.split())
