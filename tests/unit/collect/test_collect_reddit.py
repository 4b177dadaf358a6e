from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from collect_helpers import EMPTY, Reply, after, reasons, run
from pydantic import ValidationError

from sovereign_tasks.collect.reddit import RedditSource
from sovereign_tasks.collect.reddit import api as reddit_api
from sovereign_tasks.collect.reddit import listing as reddit_listing
from sovereign_tasks.collect.reddit import visit as reddit_visit
from sovereign_tasks.errors import TransientError, UserError


class Forum:
    """A subreddit r/Roofs behind the API's shapes; listings give `page` things and stop there."""

    def __init__(self) -> None:
        self.things: dict[str, dict] = {}
        self.page = 100
        self.listing_end = 1000
        self.hidden_behind_more: set[str] = set()
        self.vanish_once: set[str] = set()
        self.short = 0  # answers about things by name that give the last one alone, then nothing
        self.cut = False
        self.busy, self.retry_after = 0, ""
        self.limits: dict[str, str] = {}
        self.status = 200

    def post(self, ident: str, text: str, **more: object) -> None:
        data = {"id": ident, "name": f"t3_{ident}", "title": f"Title {ident}", "selftext": text, **self._common(more)}
        self.things[data["name"]] = {"kind": "t3", "data": data}

    def comment(self, ident: str, parent: str, text: str, **more: object) -> None:
        link = parent if parent.startswith("t3_") else self.things[parent]["data"]["link_id"]
        data = {"id": ident, "name": f"t1_{ident}", "body": text, "parent_id": parent, "link_id": link}
        self.things[data["name"]] = {"kind": "t1", "data": data | {"replies": ""} | self._common(more)}

    def _common(self, more: dict) -> dict:
        created = 1_767_225_600 + len(self.things)
        return {"author": "roofer", "score": 1, "created_utc": created, "subreddit": "Roofs"} | more

    def answer(self, handler) -> Reply:
        reply = self._answer(handler)
        reply.headers |= self.limits
        if handler.close_connection:
            reply.headers["Connection"] = "close"  # PRAW asks for it, yet reuses what isn't said to be closed
        return reply

    def _answer(self, handler) -> Reply:
        url = urlsplit(handler.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        path = url.path.removeprefix("/api-of-ours")
        if self.status != 200:
            return Reply(status=self.status)
        if path == "/api/v1/access_token":
            return _json({"access_token": "x", "expires_in": 3600, "token_type": "bearer", "scope": "*"})
        if self.busy:
            self.busy -= 1
            return Reply(status=429, headers={"Retry-After": self.retry_after})
        if path == "/r/Roofs/new":
            return self._listing("t3", query, lambda data: data["subreddit"] == "Roofs")
        if path.rstrip("/") == "/r/Roofs/comments":
            return self._listing("t1", query, lambda data: data["subreddit"] == "Roofs")
        if path.startswith("/user/Mason/"):
            kind = "t3" if path.split("/")[3] == "submitted" else "t1"
            return self._listing(kind, query, lambda data: data["author"] == "Mason")
        if path == "/api/info/":
            named = [self.things[n] for n in query["id"].split(",") if n in self.things]
            if self.short:
                self.short, named = self.short - 1, named[-1:] if not self.cut else []
                self.cut = self.short > 0
            return _json(_list(named))
        if path == "/api/morechildren/":
            ids = parse_qs(handler.form)["children"][0].split(",")
            return _json({"json": {"errors": [], "data": {"things": [self.things[f"t1_{i}"] for i in ids]}}})
        if path.startswith("/comments/"):
            return self._thread(f"t3_{path.split('/')[2]}")
        return Reply(status=404)

    def _listing(self, kind: str, query: dict[str, str], wanted: Callable[[dict], bool]) -> Reply:
        things = [(n, t) for n, t in reversed(self.things.items()) if t["kind"] == kind and wanted(t["data"])]
        names = [n for n, _ in things[: self.listing_end]]
        if cursor := query.get("after"):
            if cursor in self.vanish_once:
                self.vanish_once.discard(cursor)
                del self.things[cursor]
            names = names[names.index(cursor) + 1 :] if cursor in self.things else []
        page = names[: self.page]
        return _json(_list([self.things[n] for n in page], page[-1] if len(names) > self.page else None))

    def _thread(self, name: str) -> Reply:
        if name not in self.things:
            return Reply(status=404)
        flat = [t for t in self.things.values() if t["data"].get("link_id") == name]
        shown = [t for t in flat if t["data"]["name"] not in self.hidden_behind_more]
        more = [t["data"]["id"] for t in flat if t["data"]["name"] in self.hidden_behind_more]
        roots = [t for t in shown if t["data"]["parent_id"] == name]
        if more:
            data = {"children": more, "count": len(more), "parent_id": name, "id": more[0], "name": f"t1_{more[0]}"}
            roots.append({"kind": "more", "data": data | {"depth": 0}})
        return _json([_list([self.things[name]]), _list([self._with_replies(t, shown) for t in roots])])

    def _with_replies(self, thing: dict, shown: list[dict]) -> dict:
        below = [self._with_replies(t, shown) for t in shown if t["data"]["parent_id"] == thing["data"].get("name")]
        replies = _list(below) if below else ""
        return thing if thing["kind"] == "more" else {"kind": "t1", "data": thing["data"] | {"replies": replies}}


def _list(children: list[dict], after: str | None = None) -> dict:
    return {"kind": "Listing", "data": {"children": children, "after": after, "before": None, "dist": len(children)}}


def _json(value: object) -> Reply:
    return Reply(json.dumps(value), headers={"Content-Type": "application/json"})


@pytest.fixture
def forum(server) -> Forum:
    forum = Forum()
    server.otherwise = forum.answer
    forum.post("p1", "How steep?")
    forum.comment("c1", "t3_p1", "Four in twelve.", author="mason", score=7)
    forum.comment("c2", "t1_c1", "Agreed.")
    forum.post("p2", "Which slate?")
    return forum


SETTINGS = {
    "name": "forum",
    "kind": "reddit",
    "subreddits": ["Roofs"],
    "agreement": "ours",
    "licence": "owner",
    "consent": "own-content",
}


@pytest.fixture
def night(server, forum):
    def gather(state=EMPTY, stop_after=None, **settings):
        source = RedditSource(**(SETTINGS | {"endpoint": f"http://{server.address}/api-of-ours"} | settings))
        return run(source, state, contact="me@x.example", stop_after=stop_after)

    return gather


def names(got) -> list[str]:
    return sorted(i.item for i in got.items)


def test_a_thread_is_one_item_per_author_joined_by_its_group(night):
    got = night()
    by_name = {i.item: i for i in got.items}
    post, reply = by_name["t3_p1"], by_name["t1_c2"]
    assert post.address == "https://www.reddit.com/r/Roofs/comments/p1/"
    assert (post.title, post.body, post.parent, post.group) == ("Title p1", b"How steep?", "", "t3_p1")
    assert reply.address == "https://www.reddit.com/r/Roofs/comments/p1/comment/c2/"
    assert (reply.title, reply.parent, reply.group, reply.media_type) == ("", "t1_c1", "t3_p1", "text/markdown")
    assert (by_name["t1_c1"].author, by_name["t1_c1"].score) == ("mason", 7)
    assert reply.created_at.year == 2026


def test_second_night_brings_new_edited_and_late_and_nothing_else(night, forum):
    first = night()
    state = after(EMPTY, first)
    second = night(state)
    assert second.items == second.gone == []
    assert second.reasons == {"unchanged": 4}

    forum.things["t3_p2"]["data"]["score"] = 99
    forum.things["t1_c1"]["data"]["body"] = "Three in twelve. (edited)"
    forum.comment("c3", "t3_p2", "Welsh.")
    forum.post("p3", "New one")
    forum.comment("c4", "t3_p3", "New answer")
    third = night(after(state, second))
    assert names(third) == ["t1_c1", "t1_c3", "t1_c4", "t3_p3"]
    assert third.rows == len(third.items) + sum(third.reasons.values())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"author": "[deleted]", "body": "[deleted]"}, "deleted"),
        ({"author": "[deleted]"}, "deleted"),
        ({"removed_by_category": "moderator"}, "removed"),
        ({"body": "[removed]"}, "removed"),
        (None, "missing"),
    ],
)
def test_what_was_deleted_or_removed_is_gone_for_good(night, forum, change, reason):
    state = after(EMPTY, night())
    if change is None:
        del forum.things["t1_c1"]
    else:
        forum.things["t1_c1"]["data"] |= change
    got = night(state)
    assert [(g.item, g.reason, g.by_author) for g in got.gone] == [("t1_c1", reason, True)]
    assert got.gone[0].address == "https://www.reddit.com/r/Roofs/comments/p1/comment/c1/"
    assert got.items == []
    assert night(after(state, got)).gone == []


def test_a_deleted_text_is_never_taken_up(night, forum):
    forum.comment("c9", "t3_p2", "still readable", removed_by_category="moderator")
    got = night()
    assert "t1_c9" not in names(got)
    address = "https://www.reddit.com/r/Roofs/comments/p2/comment/c9/"
    assert reasons(got, "forum", {"c9": (address, "t1_c9")}) == {"c9": "removed"}
    assert got.rejections[0].text == address


def test_half_a_character_breaks_nothing(night, forum):
    forum.post("p3", "How\ud800?", title="Steep\udfff")
    got = night()
    assert [(i.title, i.body) for i in got.items if i.item == "t3_p3"] == [("Steep?", b"How??")]
    assert night(after(EMPTY, got)).items == []


def test_folded_comments_are_unfolded(night, forum):
    forum.comment("c3", "t3_p1", "folded")
    forum.hidden_behind_more = {"t1_c3"}
    assert "t1_c3" in names(night())


def test_a_cursor_deleted_between_two_pages_loses_nothing(night, forum):
    for n in range(3, 9):
        forum.post(f"p{n}", "x")
    forum.page = 3
    forum.vanish_once = {"t3_p6"}
    got = night()
    assert [n for n in names(got) if n.startswith("t3_")] == [f"t3_p{n}" for n in (1, 2, 3, 4, 5, 7, 8)]
    address = "https://www.reddit.com/r/Roofs/comments/p6/"
    assert reasons(got, "forum", {"p6": (address, "t3_p6")}) == {"p6": "missing"}


def test_a_cap_leaves_newer_threads_for_the_next_nights(night, forum):
    for n in range(3, 6):
        forum.post(f"p{n}", "x")
    state, posts = EMPTY, []
    for _ in range(4):
        got = night(state, max_posts=2)
        posts.append([n for n in names(got) if n.startswith("t3_")])
        state = after(state, got)
    assert posts == [["t3_p1", "t3_p2"], ["t3_p3", "t3_p4"], ["t3_p5"], []]


def test_a_busy_server_is_waited_for_as_long_as_it_asks(night, forum, monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(reddit_api.time, "sleep", slept.append)
    forum.busy, forum.retry_after = 2, "250"
    assert len(night().items) == 4
    assert slept == [250.0, 250.0]


@pytest.mark.parametrize("wait", ["9999", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_server_that_is_busy_for_too_long_is_left_alone(night, forum, server, monkeypatch, wait):
    slept: list[float] = []
    monkeypatch.setattr(reddit_api.time, "sleep", slept.append)
    forum.busy, forum.retry_after = 2, wait
    with pytest.raises(TransientError, match="http 429"):
        night()
    assert slept == []
    assert forum.busy == 1


@pytest.mark.parametrize("wait", ["-5", "soon", "0", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_wait_that_says_nothing_grows(night, forum, monkeypatch, wait):
    slept: list[float] = []
    monkeypatch.setattr(reddit_api.time, "sleep", slept.append)
    forum.busy, forum.retry_after = 3, wait
    assert len(night().items) == 4
    assert slept == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("limits", "longest"),
    [(("600", "0", "30"), 30), (("600", "0", "99999999"), 600), (("x", "?", "now"), 0), (("1", "nan", "5"), 0)],
)
def test_what_is_left_of_the_rate_limit_is_kept_to(night, forum, monkeypatch, limits, longest):
    slept: list[float] = []
    monkeypatch.setattr("prawcore.rate_limit.time.sleep", slept.append)
    forum.limits = dict(zip(("X-Ratelimit-Used", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"), limits, strict=True))
    assert len(night().items) == 4
    assert max([*map(round, slept), 0]) == longest


def test_a_server_that_is_down_or_has_lost_everything_is_worth_a_retry(night, forum, monkeypatch):
    monkeypatch.setattr("prawcore.sessions.time.sleep", lambda seconds: None)
    for n in range(3, 30):
        forum.post(f"p{n}", "x")
    state = after(EMPTY, night())
    kept = forum.things
    forum.things = {}
    with pytest.raises(TransientError, match="knows none of 31 collected items"):
        night(state)
    forum.things, forum.status = kept, 503
    with pytest.raises(TransientError, match=r"^source forum: http://.* can't be read \(http 503\)\.$"):
        night(state)


def test_a_chunk_that_comes_back_empty_erases_nothing(night, forum, monkeypatch):
    monkeypatch.setattr(reddit_visit, "PAGE", 25)
    for n in range(100, 150):
        forum.post(f"p{n}", "x")
    state = after(EMPTY, night())
    for name in [n for n in forum.things if n > "t3_p121"]:
        del forum.things[name]
    with pytest.raises(TransientError, match="knows none of 18 collected items"):
        night(state)


def test_an_answer_that_is_short_once_erases_nothing(night, forum):
    state = after(EMPTY, night())
    forum.short = 1
    assert night(state).reasons == {"unchanged": 4}
    del forum.things["t1_c1"]
    forum.short = 1
    assert [g.item for g in night(state).gone] == ["t1_c1"]


def test_few_items_that_come_back_empty_are_not_erased(night, forum):
    state = after(EMPTY, night())
    forum.things = {}
    with pytest.raises(TransientError, match="knows none of 4 collected items"):
        night(state)


def test_a_server_that_falls_silent_when_asked_once_more_erases_nothing(night, forum):
    state = after(EMPTY, night())
    forum.short = 2
    with pytest.raises(TransientError, match="knows none of 3 collected items"):
        night(state)


def test_a_source_s_only_item_can_go(night, forum):
    for name in ("t1_c1", "t1_c2", "t3_p2"):
        del forum.things[name]
    state = after(EMPTY, night())
    forum.things = {}
    assert [g.item for g in night(state).gone] == ["t3_p1"]


def test_another_endpoint_never_gets_the_credentials_of_reddit(night, forum, server, monkeypatch):
    monkeypatch.setenv("REDDIT_CLIENT_ID", "real-id")
    monkeypatch.setenv("REDDIT_CLIENT_SECRET", "real-secret")
    assert night().items
    sent = [base64.b64decode(a.headers["Authorization"].split()[1]) for a in server.asked if "token" in a.path]
    assert sent == [b"none:none"]


def test_credentials_and_subreddits_are_asked_for_in_one_sentence(night, forum, monkeypatch):
    monkeypatch.delenv("REDDIT_CLIENT_ID", raising=False)
    with pytest.raises(UserError, match=r"REDDIT_CLIENT_ID .*not set in the environment; register .*prefs/apps"):
        night(endpoint="")
    with pytest.raises(UserError, match=r"r/Absent does not exist or is closed to you .*; correct subreddits\."):
        night(subreddits=["Absent"])
    with pytest.raises(UserError, match=r"u/Absent does not exist or is closed to you .*; correct users\."):
        night(subreddits=[], users=["Absent"])
    forum.status = 401
    with pytest.raises(UserError, match=r"source forum: http://.* wants credentials .* endpoint gets none; .*\.$"):
        night()


@pytest.mark.parametrize(
    "agreement", ["", "  ", "TODO", "<your agreement>", "n/a", "none", "xxx", "your agreement here"]
)
def test_a_placeholder_is_no_agreement(agreement):
    with pytest.raises(ValidationError, match=r"names no agreement; .*Data API Terms.*licensing"):
        RedditSource(**SETTINGS | {"agreement": agreement})


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"subreddits": []}, "subreddits and users are both empty"),
        ({"subreddits": ["r/Roofs"]}, "without r/"),
        ({"users": ["u/Mason"]}, "without u/"),
        ({"users": ["../api"]}, "is no name"),
    ],
)
def test_places_are_named_plainly(settings, why):
    with pytest.raises(ValidationError, match=why):
        RedditSource(**SETTINGS | settings)


@pytest.fixture
def mason(forum, monkeypatch) -> Forum:
    """Mason asks in r/Roofs and r/Tiles, and answers himself, others and somebody else's thread."""
    monkeypatch.setenv("REDDIT_USERNAME", "Mason")
    forum.post("m1", "Which underlay?", author="Mason", subreddit="Tiles")
    forum.comment("a1", "t3_m1", "Felt.", author="other", subreddit="Tiles", link_author="Mason")
    forum.comment("m2", "t1_a1", "Thanks, felt it is.", author="Mason", subreddit="Tiles", link_author="Mason")
    forum.comment("m3", "t1_c1", "Five, in snow.", author="Mason", link_author="roofer")
    return forum


def test_an_account_gives_its_own_writing_alone(night, mason):
    got = night(subreddits=[], users=["me"])
    assert [(i.item, i.group, i.parent, i.author) for i in sorted(got.items, key=lambda i: i.item)] == [
        ("t1_m2", "t3_m1", "t1_a1", "Mason"),
        ("t1_m3", "t1_m3", "", "Mason"),
        ("t3_m1", "t3_m1", "", "Mason"),
    ]
    mason.things["t1_m2"]["data"] |= {"body": "Edited."}
    del mason.things["t1_m2"]["data"]["link_author"]
    mason.things["t1_m3"]["data"]["author"] = "[deleted]"
    mason.post("m4", "Another", author="Mason")
    second = night(after(EMPTY, got), subreddits=[], users=["me"])
    assert [(i.item, i.group, i.parent) for i in second.items] == [
        ("t3_m4", "t3_m4", ""),
        ("t1_m2", "t3_m1", "t1_a1"),
    ]
    assert [(g.item, g.reason, g.by_author) for g in second.gone] == [("t1_m3", "deleted", True)]
    assert night(after(after(EMPTY, got), second), subreddits=[], users=["Mason"]).items == []


def test_what_an_account_wrote_in_a_collected_subreddit_belongs_to_its_thread(night, mason):
    got = night(users=["me"])
    by_name = {i.item: i for i in got.items}
    assert (by_name["t1_m3"].group, by_name["t1_m3"].parent) == ("t3_p1", "t1_c1")
    assert len(names(got)) == len(set(names(got)))

    mason.comment("m5", "t3_p2", "Welsh.", author="Mason")
    capped = night(users=["me"], max_posts=1)
    assert capped.reasons == {"in_subreddit": 1}
    assert names(capped) == ["t1_c1", "t1_c2", "t1_m2", "t1_m3", "t3_m1", "t3_p1"]
    assert names(night(after(EMPTY, capped), users=["me"], max_posts=1)) == ["t1_m5", "t3_p2"]


def test_me_has_to_be_somebody(night, forum, monkeypatch):
    monkeypatch.delenv("REDDIT_USERNAME", raising=False)
    with pytest.raises(UserError, match=r"source forum: users: me is the account in REDDIT_USERNAME, which is not set"):
        night(subreddits=[], users=["me"])


def test_comments_that_a_listing_lost_are_looked_for_in_their_threads(night, forum, server, monkeypatch):
    monkeypatch.setattr(reddit_listing, "END", 9)
    forum.listing_end = 10
    for n in range(3, 6):
        forum.post(f"p{n}", "x")
    forum.things["t3_p1"]["data"]["num_comments"] = 2
    state = after(EMPTY, night())
    for n in range(100, 125):
        forum.comment(f"d{n}", f"t3_p{n % 3 + 1}", "late", created_utc=1_800_000_000 + n)
    for n, late in ((1, 10), (2, 8), (3, 8)):
        forum.things[f"t3_p{n}"]["data"]["num_comments"] = late
    first = night(state, max_posts=2)
    assert first.reasons["listing_end"] == 1
    assert list(reasons(first, "forum", {"end": ("https://www.reddit.com/r/Roofs/comments/", "")})) == ["end"]
    second = night(after(state, first), max_posts=2)
    late = names(first) + names(second)
    assert sorted(n for n in late if n.startswith("t1_d")) == [f"t1_d{n}" for n in range(100, 125)]
    assert "listing_end" not in second.reasons
    assert "again" not in second.cursor["Roofs/comments"]
    asked = len(server.asked)
    assert night(after(after(state, first), second)).items == []
    assert not [a for a in server.asked[asked:] if a.path.startswith("/api-of-ours/comments/")]


def test_threads_that_a_listing_lost_are_said(night, forum, monkeypatch):
    monkeypatch.setattr(reddit_listing, "END", 9)
    forum.listing_end = 10
    state = after(EMPTY, night())
    for n in range(100, 125):
        forum.post(f"q{n}", "x")
    got = night(state)
    assert len([n for n in names(got) if n.startswith("t3_q")]) == 10
    assert got.reasons["listing_end"] == 1
    assert "listing_end" not in night(after(state, got)).reasons


def test_a_backlog_that_the_listing_still_shows_is_not_lost(night, forum, monkeypatch):
    monkeypatch.setattr(reddit_listing, "END", 9)
    forum.listing_end = 10
    for n in range(3, 7):
        forum.post(f"p{n}", "x")
    first = night(max_posts=3)
    for n in range(10, 16):
        forum.post(f"p{n}", "x")
    assert "listing_end" not in night(after(EMPTY, first), max_posts=3).reasons
    forum.post("p16", "x")
    assert night(after(EMPTY, first), max_posts=3).reasons["listing_end"] == 1


def test_a_night_that_was_cut_off_keeps_to_its_cap_and_goes_on(night, forum, monkeypatch):
    monkeypatch.setattr("sovereign_tasks.collect.night.PART_ITEMS", 2)
    for n in range(3, 12):
        forum.post(f"p{n}", "x")
    whole = night(max_posts=7)
    assert len(whole.parts) > 3
    for k in range(len(whole.parts)):
        start = night(max_posts=7, stop_after=k)
        rest = night(after(EMPTY, start), max_posts=7)
        assert sorted(names(start) + names(rest)) == names(whole)
        assert after(after(EMPTY, start), rest) == after(EMPTY, whole)

    state = after(EMPTY, whole)
    del forum.things["t3_p3"]
    forum.things["t1_c2"]["data"]["body"] = "Edited."
    second = night(state, max_posts=7)
    assert second.gone
    for k in range(1, len(second.parts)):
        start = night(state, max_posts=7, stop_after=k)
        rest = night(after(state, start), max_posts=7)
        assert Counter(start.reasons) + Counter(rest.reasons) == Counter(second.reasons)
        assert start.rows + rest.rows == second.rows
