from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from html import escape

import pytest
from collect_helpers import EMPTY, HOST, ROOT, Reply, after, reasons, run
from pydantic import ValidationError

from sovereign_tasks.collect import feed as feed_module
from sovereign_tasks.collect.feed import FeedSource
from sovereign_tasks.collect.feed.entries import WHOLE_CHARS, read_entries
from sovereign_tasks.collect.fetch import Refused
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import Validator

FEED = f"{ROOT}/feed.xml"
XML = {"Content-Type": "application/rss+xml"}
LONG = "<p>" + "Slate is laid from the eaves up. " * 40 + "</p>"
SETTINGS = {
    "name": "blog",
    "kind": "feed",
    "feeds": [FEED],
    "licence": "owner",
    "consent": "own-content",
    "requests_per_second": 10_000.0,
    "timeout_seconds": 5.0,
}


def rss(*items: str, before: str = "") -> str:
    spaces = 'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    return (
        f'<?xml version="1.0"?>{before}<rss version="2.0" {spaces}><channel><title>Blog</title>{"".join(items)}'
        "</channel></rss>"
    )


def item(n: int, text: str = LONG, link: str = "", **more: str) -> str:
    tags = {"guid": f"urn:post:{n}", "link": link or f"{ROOT}/post/{n}", "title": f"Post {n}"} | more
    return (
        f"<item>{''.join(f'<{k}>{v}</{k}>' for k, v in tags.items())}<description>{escape(text)}</description></item>"
    )


def page(text: str = "A whole page.", head: str = "") -> str:
    return f"<html><head><title>T</title>{head}</head><body><p>{text}</p></body></html>"


@pytest.fixture
def night(server):
    def gather(state=EMPTY, stop_after=None, **settings):
        source = FeedSource(**(SETTINGS | {"connect_to": {HOST: server.address}} | settings))
        return run(source, state, contact="me@x.example", stop_after=stop_after)

    return gather


def names(got) -> list[str]:
    return sorted(i.item for i in got.items)


def test_an_entry_is_one_item_with_its_whole_text(night, server):
    when = format_datetime(datetime(2026, 1, 5, 10, tzinfo=UTC))
    server.replies["/feed.xml"] = Reply(
        rss(
            '<item><guid isPermaLink="false">17</guid><link>/post/1?utm_source=feed#top</link>'
            f"<title>Ridge &amp;amp; &lt;i&gt;hip&lt;/i&gt;</title><pubDate>{when}</pubDate>"
            "<author>kim@x.example (Kim Lee)</author><description>Short.</description>"
            f"<enclosure url='{ROOT}/a.mp3' type='audio/mpeg' length='9'/>"
            "<content:encoded><![CDATA[<p>All of it.</p>]]></content:encoded></item>"
        ),
        headers=XML,
    )
    (got,) = night().items
    assert (got.address, got.item) == (f"{ROOT}/post/1", f"{FEED}#17")
    assert (got.title, got.author, got.parent) == ("Ridge & hip", "Kim Lee", "")
    assert got.body == b"<html><body><article><p>All of it.</p></article></body></html>"
    assert got.media_type == "text/html; charset=utf-8"
    assert got.created_at == datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert [a.path for a in server.asked] == ["/robots.txt", "/feed.xml"]


ATOM = f"""<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>tag:x,1</id><title type="html">A &lt;b&gt;b
&lt;/b&gt;</title><link href="{ROOT}/a"/><author><name>Ann</name></author><contributor><name>Bo</name></contributor>
<updated>2026-01-05T10:00:00Z</updated>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Text</p></div>
</content></entry></feed>"""
RDF = f"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
xmlns:dc="http://purl.org/dc/elements/1.1/"><item rdf:about="{ROOT}/a"><title>A b</title><link>{ROOT}/a</link>
<dc:creator>Ann</dc:creator><dc:date>2026-01-05T10:00:00Z</dc:date><description>Text</description></item></rdf:RDF>"""
OLD = f"""<rss version="0.91"><channel><item><title>A b</title><link>{ROOT}/a</link><description>Text</description>
</item></channel></rss>"""
JSON = json.dumps(
    {
        "version": "https://jsonfeed.org/version/1.1",
        "items": [
            {"id": "tag:x,1", "url": "/a", "title": "A b", "content_text": "Text", "authors": [{"name": "Ann"}],
             "date_published": "2026-01-05T11:00:00+01:00"},
            "no item",
        ],
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("body", "ident", "author", "people"),
    [
        (ATOM, "tag:x,1", "Ann", ("Bo",)),
        (RDF, f"{ROOT}/a", "Ann", ()),
        (OLD, f"{ROOT}/a", "", ()),
        (JSON, "tag:x,1", "Ann", ()),
    ],
)
def test_every_kind_of_feed_is_read(body, ident, author, people):
    (entry,) = read_entries(FEED, body.encode(), {"Content-Type": "text/plain"})
    assert (entry.item, entry.link, entry.title, entry.author) == (ident, f"{ROOT}/a", "A b", author)
    assert entry.people == people
    assert "Text" in entry.text
    assert entry.created_at == (datetime(2026, 1, 5, 10, tzinfo=UTC) if author else None)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("x" * WHOLE_CHARS, True),
        ("<b>" * 500 + "x", False),
        ("word " * 300 + "[&#8230;]", False),
        ("word " * 300 + "…</p>", False),
        ("word " * 300 + "<p>Continue reading</p>", False),
        ("word " * 300 + "[...]<p>The post X appeared first on Y.</p>", False),
        ("He said ... and left. " + "word " * 300, True),
    ],
)
def test_a_summary_is_told_from_a_whole_text(text, whole):
    (entry,) = read_entries(FEED, rss(item(1, text)).encode(), XML)
    assert entry.whole is whole


def test_a_second_night_costs_one_request_and_an_edited_entry_comes_anew(night, server):
    server.replies["/feed.xml"] = Reply(rss(item(2), item(1)), headers=XML, etag=True)
    state = after(EMPTY, first := night())
    assert names(first) == ["urn:post:1", "urn:post:2"]
    second = night(state)
    assert (second.items, second.reasons, second.rows) == ([], {"not_modified": 1}, 1)
    assert server.statuses("/feed.xml") == [200, 304]

    server.replies["/feed.xml"] = Reply(rss(item(3), item(2, LONG + "Edited.")), headers=XML, etag=True)
    third = night(after(state, second))
    assert names(third) == ["urn:post:2", "urn:post:3"]
    assert third.gone == []  # a feed shows its newest alone
    assert third.rows == len(third.items) + sum(third.reasons.values())


def test_a_summary_brings_its_page_and_the_page_says_when_it_is_gone(night, server):
    server.replies["/feed.xml"] = Reply(rss(item(1, "Short.", author="Kim"), item(2)), headers=XML, etag=True)
    server.replies["/post/1"] = Reply(page(), etag=True)
    state = after(EMPTY, got := night())
    one = next(i for i in got.items if i.item == "urn:post:1")
    assert (one.body, one.media_type, one.title, one.author) == (page().encode(), "text/html", "Post 1", "Kim")
    assert server.statuses("/post/2") == []

    again = night(state)
    assert again.reasons == {"not_modified": 2}
    assert server.statuses("/post/1") == [200, 304]
    server.replies["/post/1"] = Reply(status=410)
    gone = night(after(state, again))
    assert [(g.address, g.item, g.reason) for g in gone.gone] == [(f"{ROOT}/post/1", "urn:post:1", "http_410")]
    assert gone.reasons == {"not_modified": 1, "http_410": 1}
    last = night(after(after(state, again), gone))
    assert (last.gone, last.reasons) == ([], {"not_modified": 1})


def test_only_a_few_known_pages_are_asked_again_and_all_in_turn(night, server, monkeypatch):
    monkeypatch.setattr(feed_module, "_PAGES_AGAIN", 2)
    server.replies["/feed.xml"] = Reply(rss(*(item(n, "Short.") for n in range(5))), headers=XML, etag=True)
    server.replies |= {f"/post/{n}": Reply(page(f"{n}"), etag=True) for n in range(5)}
    state = after(EMPTY, night())
    for _ in range(3):
        server.asked.clear()
        state = after(state, night(state))
        assert len([a for a in server.asked if a.path.startswith("/post/")]) == 2
    assert {a.path for a in server.asked if a.status == 304} == {"/feed.xml", "/post/4", "/post/0"}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(page(head='<meta name="robots" content="noindex">')), "noindex"),
        (Reply(page(), headers={"X-Robots-Tag": "noindex"}), "noindex"),
        (Reply(b"ID3", headers={"Content-Type": "audio/mpeg"}), "content_type"),
        (Reply(status=404), "http_404"),
        (Reply(status=302, headers={"Location": "https://other.example/"}), "off_site"),
        (Reply(status=302, headers={"Location": "/post/1"}), "redirect_loop"),
        (Reply(page("x" * 3000)), "too_large"),
    ],
)
def test_a_page_that_may_not_be_kept_is_left_out_once(night, server, reply, reason):
    server.replies["/feed.xml"] = Reply(rss(item(2, LONG), item(1, "Short.")), headers=XML, etag=True)
    server.replies["/post/1"] = reply
    got = night(max_bytes=2500)
    assert names(got) == ["urn:post:2"]
    assert reasons(got, "blog", {"1": (f"{ROOT}/post/1", "urn:post:1")}) == {"1": reason}
    server.replies["/feed.xml"] = Reply(rss(item(3), item(1, "Short.")), headers=XML, etag=True)
    assert names(second := night(after(EMPTY, got), max_bytes=2500)) == ["urn:post:3"]
    assert second.reasons == ({"http_404": 1} if reason == "http_404" else {"unchanged": 1})


def test_a_page_that_comes_after_its_entry_is_taken_once_the_feed_changes(night, server):
    server.replies["/feed.xml"] = Reply(rss(item(2), item(1, "Short.")), headers=XML, etag=True)
    state = after(EMPTY, night(max_entries=1))
    server.replies["/post/1"] = Reply(page())
    server.replies["/feed.xml"] = Reply(rss(item(3), item(2), item(1, "Short.")), headers=XML, etag=True)
    assert names(night(state, max_entries=1)) == ["urn:post:1"]


def test_an_edited_entry_whose_page_is_the_same_is_no_news(night, server):
    server.replies["/feed.xml"] = Reply(rss(item(1, "Short.")), headers=XML, etag=True)
    server.replies["/post/1"] = Reply(page())
    state = after(EMPTY, night())
    server.replies["/feed.xml"] = Reply(rss(item(1, "Shorter.")), headers=XML, etag=True)
    assert night(state).reasons == {"unchanged": 1}
    server.replies["/post/1"] = Reply(page("Edited."))
    assert names(night(state)) == ["urn:post:1"]


def test_robots_and_hosts_bound_the_pages(night, server):
    server.replies["/robots.txt"] = Reply("User-agent: *\nDisallow: /post/1", headers={"Content-Type": "text/plain"})
    other = "http://blog.example/post/2"
    server.replies["/feed.xml"] = Reply(rss(item(1, "Short."), item(2, "Short.", other)), headers=XML, etag=True)
    server.replies["/post/2"] = Reply(page())
    both = {HOST: server.address, "blog.example": server.address}
    got = night(connect_to=both)
    rows = {"1": (f"{ROOT}/post/1", "urn:post:1"), "2": (other, "urn:post:2")}
    assert reasons(got, "blog", rows) == {"1": "robots", "2": "off_site"}
    assert names(night(after(EMPTY, got), connect_to=both, hosts=["blog.example"])) == ["urn:post:2"]


def test_where_the_text_comes_from_can_be_said(night, server):
    server.replies["/feed.xml"] = Reply(rss(item(1, LONG), item(2, "Short.")), headers=XML, etag=True)
    server.replies |= {f"/post/{n}": Reply(page(f"Page {n}")) for n in (1, 2)}
    entries = night(full_text="entry")
    assert [b"Slate" in i.body for i in entries.items] == [True, False]
    assert server.statuses("/post/2") == []
    pages = night(after(EMPTY, entries), full_text="page")
    assert [i.body for i in pages.items] == [page("Page 1").encode(), page("Page 2").encode()]
    back = night(after(after(EMPTY, entries), pages))
    assert [b"Slate" in i.body for i in back.items] == [True, False]
    assert names(night(after(after(after(EMPTY, entries), pages), back), full_text="page")) == names(pages)


def test_a_cap_takes_the_oldest_and_leaves_the_rest_for_the_next_nights(night, server):
    server.replies["/feed.xml"] = Reply(rss(*(item(n) for n in (5, 4, 3, 2, 1))), headers=XML, etag=True)
    state, taken = EMPTY, []
    for _ in range(4):
        got = night(state, max_entries=2)
        taken.append(names(got))
        state = after(state, got)
    assert taken == [["urn:post:1", "urn:post:2"], ["urn:post:3", "urn:post:4"], ["urn:post:5"], []]
    assert server.statuses("/feed.xml") == [200, 200, 200, 304]


def test_a_page_that_is_down_is_asked_again_the_next_night(night, server):
    server.replies["/feed.xml"] = Reply(rss(item(1, "Short.")), headers=XML, etag=True)
    server.replies["/post/1"] = Reply(status=500)
    state = after(EMPTY, first := night())
    assert (first.items, first.reasons) == ([], {"http_error": 1})
    server.replies["/post/1"] = Reply(page())
    assert names(night(state)) == ["urn:post:1"]


def test_an_entry_that_moved_leaves_its_old_address(night, server):
    server.replies["/feed.xml"] = Reply(rss(item(1)), headers=XML)
    state = after(EMPTY, night())
    server.replies["/feed.xml"] = Reply(rss(item(1, link=f"{ROOT}/new/1")), headers=XML)
    moved = night(state)
    assert [(g.address, g.reason) for g in moved.gone] == [(f"{ROOT}/post/1", "moved")]
    assert after(state, moved).known == [(f"{ROOT}/new/1", "urn:post:1")]
    assert night(after(state, moved)).reasons == {"unchanged": 1}


def test_an_entry_whose_mark_was_taken_away_comes_once_more(night, server):
    server.replies["/feed.xml"] = Reply(rss(item(1)), headers=XML, etag=True)
    state = after(EMPTY, night())
    del state.validators["urn:post:1"]
    assert names(night(state)) == ["urn:post:1"]


def test_an_entry_that_left_its_feed_comes_once_more_from_its_page(night, server):
    entries = [item(n, "Short.") for n in (1, 2)]
    server.replies["/feed.xml"] = Reply(rss(*entries, item(3)), headers=XML, etag=True)
    server.replies |= {f"/post/{n}": Reply(page(f"{n}"), etag=True) for n in (1, 2)}
    state = after(EMPTY, night())
    server.replies["/feed.xml"] = Reply(rss(item(4), entries[1]), headers=XML, etag=True)
    state = after(state, night(state))
    for name in ("urn:post:1", "urn:post:2", "urn:post:3"):  # as a publish under other rules does
        state.validators[name] = Validator(name, "", "", "")
    server.asked.clear()
    again = night(state)
    assert [(i.address, i.item, i.body) for i in again.items] == [
        (f"{ROOT}/post/{n}", f"urn:post:{n}", page(f"{n}").encode()) for n in (1, 2)
    ]
    assert again.rows == len(again.items) + sum(again.reasons.values())
    state = after(state, again)
    assert state.cursor["left"] == ["urn:post:3"]  # came from the feed alone, and stays as it is
    assert night(state).reasons == {"not_modified": 3}  # the feed and both pages
    assert server.statuses("/feed.xml") == [200, 304]
    assert server.statuses("/post/1") == [200, 304]

    server.replies["/feed.xml"] = Reply(rss(item(3)), headers=XML, etag=True)
    back = night(state)
    assert names(back) == ["urn:post:3"]
    assert back.cursor["left"] == []


def test_an_entry_that_is_back_in_its_feed_is_asked_for_in_full(night, server):
    first = rss(item(1, "Short."))
    server.replies["/feed.xml"] = Reply(first, headers=XML, etag=True)
    server.replies["/post/1"] = Reply(page(), etag=True)
    state = after(EMPTY, night())
    state.validators["urn:post:1"] = Validator("urn:post:1", "", "", "")
    state.cursor["left"] = ["urn:post:1"]
    server.replies["/feed.xml"] = Reply(rss(item(2), item(1, "Short.")), headers=XML, etag=True)
    assert names(night(state)) == ["urn:post:1", "urn:post:2"]


@pytest.mark.parametrize("bad", ["a\ud800b", "a\0b", "a\x1bb"])
def test_a_feed_that_spells_what_is_no_text_breaks_nothing(night, server, bad):
    author = {"authors": [{"name": bad}, {"name": f"{bad} two"}]}
    fields = ("id", "url", "title", "content_html", "summary", "date_published")
    entries = [dict.fromkeys(fields, bad) | author, {"title": bad, "content_text": bad}]
    body = {"version": "https://jsonfeed.org/version/1.1", "items": entries}
    server.replies["/feed.xml"] = Reply(json.dumps(body), headers={"Content-Type": "application/feed+json"})
    got = night(full_text="entry")
    assert [(i.title, b"ab" in i.body) for i in got.items] == [("ab", True), ("ab", True)]
    for words in (w for i in got.items for w in (i.item, i.address, i.title, i.author, i.headers, i.body.decode())):
        assert bad not in words
        words.encode()
    assert sorted(json.loads(i.headers)["people"] for i in got.items) == [[], ["ab two"]]
    assert night(after(EMPTY, got), full_text="entry").items == []


def test_ids_fit_into_the_ledger_and_stay_apart():
    ids = ["urn:" + "x" * 4000, "urn:" + "x" * 4001, "urn:a\0b", "urn:ab", "http://[bad", "urn:" + "y" * 196]
    feed = {"version": "https://jsonfeed.org/version/1.1", "items": [{"id": i} for i in [*ids, "17"]]}
    addresses = (FEED, f"{ROOT}/{'z' * 300}")
    entries = [e.item for address in addresses for e in read_entries(address, json.dumps(feed).encode(), XML)]
    assert len(set(entries)) == len(ids) + 2
    assert max(map(len, entries)) == 200
    assert {"urn:ab", "http://[bad", f"{FEED}#17"} < set(entries)
    assert all(name.isprintable() for name in entries)


def test_a_feed_that_moved_is_followed_and_two_feeds_may_share_an_entry(night, server):
    server.replies["/feed.xml"] = Reply(status=301, headers={"Location": "/new.xml"})
    server.replies["/new.xml"] = Reply(rss(item(1)), headers=XML, etag=True)
    server.replies["/tag.xml"] = Reply(rss(item(1), item(2)), headers=XML, etag=True)
    feeds = [FEED, f"{ROOT}/tag.xml"]
    got = night(feeds=feeds)
    assert names(got) == ["urn:post:1", "urn:post:2"]
    assert night(after(EMPTY, got), feeds=feeds).reasons == {"not_modified": 2}


@pytest.mark.parametrize(
    "body",
    [
        "<!doctype html><html><body>No feed</body></html>",
        rss(item(1), item(2))[:-60],
        "/etc/hostname",
        "",
        '{"version": "https://jsonfeed.org/version/1", "items": ' + "[" * 100_000,
        '{"version": "1.0"}',
        "\x00\x01\x02",
    ],
)
def test_what_is_no_feed_is_said_and_harms_no_other(night, server, body):
    server.replies["/feed.xml"] = Reply(body, headers=XML)
    server.replies["/good.xml"] = Reply(rss(item(1)), headers=XML)
    got = night(feeds=[FEED, f"{ROOT}/good.xml"])
    assert reasons(got, "blog", {"bad": (FEED, "")}) == {"bad": "not_a_feed"}
    assert names(got) == ["urn:post:1"]


def test_faults_that_readers_forgive_are_forgiven(night, server):
    server.replies["/feed.xml"] = Reply(rss(item(1, title="Slate & tile")) + "\n<!-- cached -->\n", headers=XML)
    assert [i.title for i in night().items] == ["Slate & tile"]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BOMBS = {
    "billion laughs": rss(item(1, title="&l9;"), before=f'<!DOCTYPE rss [<!ENTITY l0 "lol">{LAUGHS}]>'),
    "quadratic": rss(item(1, title="&a;" * 10_000), before=f'<!DOCTYPE rss [<!ENTITY a "{"x" * 50_000}">]>'),
    "external": rss(item(1, title="&x;"), before='<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/hostname">]>'),
    "deep": rss(item(1, title="<a>" * 50_000 + "</a>" * 50_000)),
    "deep text": rss(item(1, "<div>" * 400_000)),
    "unclosed": rss(item(1, title="<" * 500_000)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_harmless(night, server, bomb):
    server.replies["/bad.xml"] = Reply(BOMBS[bomb], headers=XML)
    server.replies["/feed.xml"] = Reply(rss(item(2)), headers=XML)
    got = night(feeds=[f"{ROOT}/bad.xml", FEED], full_text="entry")
    assert "urn:post:2" in names(got)
    assert sum(len(i.body) + len(i.title) for i in got.items) < 3_000_000
    with open("/etc/hostname") as name:  # noqa: PTH123
        assert name.read().strip() not in {i.title for i in got.items}


def test_a_feed_of_ten_megabytes_is_refused(night, server):
    server.replies["/feed.xml"] = Reply(rss(item(1, "<div>" * 2_000_000)), headers=XML)
    assert night().reasons == {"too_large": 1}


@pytest.mark.parametrize("depth", [1000, 60_000])
def test_nesting_breaks_no_reader(depth):
    body = f'<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>urn:1</id>{"<a>" * depth}</entry></feed>'
    with contextlib.suppress(Refused):
        assert len(read_entries(FEED, body.encode(), XML)) <= 1


def test_a_night_that_was_cut_off_goes_on(night, server, monkeypatch):
    monkeypatch.setattr("sovereign_tasks.collect.night.PART_ITEMS", 2)
    server.replies["/feed.xml"] = Reply(rss(*(item(n, "Short.") for n in range(9))), headers=XML, etag=True)
    server.replies["/more.xml"] = Reply(rss(*(item(n) for n in range(20, 26))), headers=XML, etag=True)
    server.replies |= {f"/post/{n}": Reply(page(f"{n}"), etag=True) for n in range(9)}
    settings = {"feeds": [FEED, f"{ROOT}/more.xml"], "max_entries": 12}
    whole = night(**settings)
    assert len(whole.items) == 12
    for k in range(len(whole.parts)):
        start = night(stop_after=k, **settings)
        rest = night(after(EMPTY, start), **settings)
        assert sorted(names(start) + names(rest)) == names(whole)
        assert after(after(EMPTY, start), rest) == after(EMPTY, whole)


def test_nothing_that_answers_is_worth_a_retry(night, server):
    server.replies["/feed.xml"] = Reply(status=500)
    with pytest.raises(TransientError, match=rf"source blog: {FEED} can't be reached \(500\)"):
        night()
    with pytest.raises(UserError, match=r"leads to 127\.0\.0\.1, which is no public address"):
        night(feeds=[f"http://{server.address}/feed.xml"])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"feeds": []}, "at least 1 item"),
        ({"feeds": ["www.site.example/feed"]}, "'www.site.example/feed' is not an http or https address"),
        ({"hosts": ["http://blog.example/"]}, "is not a host; write it without scheme"),
        ({"full_text": "both"}, "'auto', 'entry' or 'page'"),
    ],
)
def test_settings_are_checked(settings, why):
    with pytest.raises(ValidationError, match=why):
        FeedSource(**SETTINGS | settings)
