from __future__ import annotations

import io
import json
import tarfile
import zipfile
from types import SimpleNamespace

import pytest
from archive_helpers import accounted, resumes_anywhere
from collect_helpers import EMPTY, after, run

from sovereign_tasks.collect.export import ExportSource, archive
from sovereign_tasks.collect.export import reddit as export_reddit
from sovereign_tasks.collect.reddit import api as reddit_api
from sovereign_tasks.errors import UserError


def source(format_, path, **settings):
    owner = {"licence": "owner", "consent": "own-content"}
    return ExportSource(name="me", kind="export", format=format_, path=str(path), **owner, **settings)


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path


def unpacked(path, members):
    for name, body in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(body, encoding="utf-8", newline="")
    return path


def tarred(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body.encode())
            archive.addfile(info, io.BytesIO(body.encode()))
    return path


def texts(got):
    return sorted(i.body.decode() for i in got.items)


def js(name, rows, part=0):
    return f"window.YTD.{name}.part{part} = {json.dumps(rows)}"


def tweet(n, text, **more):
    row = {"id_str": str(n), "full_text": text, "created_at": "Wed Oct 10 20:19:24 +0000 2018", "entities": {}}
    return {"tweet": row | more}


LONG = "A long text about the pump that goes on and on. " * 12
LINKS = {"urls": [{"url": "https://t.co/aa", "expanded_url": "https://pump.example/manual"}]}
MENTION = {"user_mentions": [{"screen_name": "danah", "name": "Dana Hill"}]}


def x_members(tweets=None, **more):
    first = [
        tweet(1, "Bleed the pump &amp; wait. https://t.co/aa", entities=LINKS),
        tweet(2, "Then close the valve.", in_reply_to_status_id_str="1"),
        tweet(3, "@danah that is the seal.", in_reply_to_status_id_str="999", entities=MENTION),
        tweet(4, "RT @other: not mine"),
        tweet(5, LONG[:270] + "… https://t.co/zz"),
    ]
    second = [
        tweet(6, "And open it again.", in_reply_to_status_id_str="2"),
        tweet(7, "https://t.co/pic", entities=PICTURE),
    ]
    members = {
        "data/account.js": js("account", [{"account": {"username": "me", "accountDisplayName": "Max Example"}}]),
        "data/tweets.js": js("tweets", first if tweets is None else tweets),
        "data/tweets-part1.js": js("tweets", second, 1),
        "data/note-tweet.js": js("note_tweet", [{"noteTweet": {"core": {"text": LONG.strip(), "urls": []}}}]),
        "data/deleted-tweets.js": js("deleted_tweets", [tweet(8, "deleted")]),
        "data/direct-messages.js": js("direct_messages", [{"dmConversation": {"messages": ["secret"]}}]),
    }
    return members | more


PICTURE = {"media": [{"url": "https://t.co/pic"}]}


def test_x_posts_with_threads_links_and_long_texts(tmp_path):
    got = run(source("x", zipped(tmp_path / "x.zip", x_members())))
    items = {i.item: i for i in got.items}
    assert texts(got) == sorted(
        [
            "Bleed the pump & wait. https://pump.example/manual",
            "Then close the valve.",
            "@danah that is the seal.",
            LONG.strip(),
            "And open it again.",
        ]
    )
    assert items["1"].address == "https://x.com/me/status/1"
    assert items["1"].author == "Max Example"
    assert items["1"].created_at.isoformat() == "2018-10-10T20:19:24+00:00"
    assert [(items[n].parent, items[n].group) for n in "1263"] == [("", "1"), ("1", "1"), ("2", "1"), ("", "3")]
    assert json.loads(items["3"].headers) == {"people": ["Dana Hill", "danah", "me"]}
    assert got.reasons == {"repost": 1, "no_words": 1}
    assert accounted(got)


@pytest.mark.parametrize("form", [zipped, unpacked, tarred])
def test_an_archive_reads_alike_in_every_form_and_below_a_folder(tmp_path, form):
    plain = run(source("x", zipped(tmp_path / "x.zip", x_members())))
    nested = run(source("x", form(tmp_path / "other", {f"twitter-2024/{n}": b for n, b in x_members().items()})))
    assert texts(nested) == texts(plain)


def test_a_newer_archive_takes_the_place_of_the_older_one(tmp_path):
    path = zipped(tmp_path / "x.zip", x_members())
    state = after(EMPTY, run(source("x", path)))
    again = run(source("x", path), state)
    assert (again.items, again.reasons) == ([], {"not_modified": 1})
    zipped(path, x_members([tweet(1, "Bleed the pump twice."), tweet(9, "New.")]))
    got = run(source("x", path), state)
    assert texts(got) == ["And open it again.", "Bleed the pump twice.", "New."]
    assert [i.parent for i in got.items if i.item == "6"] == [""]
    assert sorted((g.item, g.by_author) for g in got.gone) == [("2", True), ("3", True), ("5", True)]


@pytest.mark.parametrize(
    "broken",
    [
        lambda p: p.write_bytes(p.read_bytes()[:-200]),
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(p.read_bytes().replace(b"data/tweets.js", b"data/tweetz.js")),
        lambda p: zipped(p, x_members() | {"data/tweets.js": x_members()["data/tweets.js"][:-30]}),
        lambda p: zipped(p, x_members() | {"data/tweets.js": 'window.YTD.tweets.part0 = {"a": 1}'}),
        lambda p: zipped(p, x_members() | {"data/manifest.js": MANIFEST % ("data/tweets.js", 6)}),
        lambda p: zipped(p, x_members() | {"data/manifest.js": MANIFEST % ("data/tweets-part2.js", 6)}),
    ],
)
def test_a_broken_or_half_copied_archive_changes_nothing(tmp_path, broken):
    path = zipped(tmp_path / "x.zip", x_members())
    state = after(EMPTY, run(source("x", path)))
    broken(path)
    with pytest.raises(UserError, match=r"^source me: path: .*x\.zip is no complete x archive \(.*\); copy it .*\.$"):
        run(source("x", path), state)


MANIFEST = 'window.__THAR_CONFIG = {"dataTypes": {"tweets": {"files": [{"fileName": "%s", "count": "%d"}]}}}'


def test_a_manifest_that_agrees_is_no_fault(tmp_path):
    members = x_members() | {"data/manifest.js": MANIFEST % ("data/tweets.js", 5)}
    assert run(source("x", zipped(tmp_path / "x.zip", members))).items


def test_a_member_that_unpacks_to_too_much_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBER", 1_000_000)
    members = x_members() | {"data/tweets-part2.js": " " * 5_000_000}
    for path in (zipped(tmp_path / "x.zip", members), tarred(tmp_path / "x.tar.gz", members)):
        with pytest.raises(UserError, match="too_large"):
            run(source("x", path))


def test_links_out_of_an_unpacked_folder_are_not_followed(tmp_path):
    path = unpacked(tmp_path / "x", x_members())
    (tmp_path / "secret.js").write_text(js("tweets", [tweet(10, "secret")]))
    (path / "data" / "tweets-part3.js").symlink_to(tmp_path / "secret.js")
    assert "secret" not in texts(run(source("x", path)))


SHARES = (
    "Date,ShareLink,ShareCommentary,SharedUrl,MediaUrl,Visibility\r\n"
    '2024-01-05 12:00:00,https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A11,"Bleed the pump.""\r\n""'
    'Then say """"done"""".",,,MEMBER_NETWORK\r\n'
    "2024-01-06 12:00:00,https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A12,,,,MEMBER_NETWORK\r\n"
    "2024-01-07 12:00:00,https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A13,For friends,,,CONNECTIONS\r\n"
)
COMMENTS = (
    "Date,Link,Message\r\n"
    "2024-01-05 12:00:00,https://www.linkedin.com/feed/update/urn%3Ali%3Aactivity%3A67,"
    '"He calls it \\"the seal\\", rightly."\r\n'
)
ARTICLE = (
    '<html><body><h1><a href="https://www.linkedin.com/pulse/pumps-max-example">On pumps</a></h1>'
    '<p class="created">Created on 2020-01-01</p>%s<div><p>Words.</p></div></body></html>'
)
LINKEDIN = {
    "Profile.csv": "First Name,Last Name\nMax,Example\n",
    "Shares.csv": SHARES,
    "Comments.csv": COMMENTS,
    "messages.csv": "FROM,CONTENT\nsomebody,secret\n",
    "Articles/Articles/pumps.html": ARTICLE % '<p class="published">Published on 2020-01-02</p>',
    "Articles/Articles/draft.html": ARTICLE % "",
}


def test_linkedin_shares_comments_and_articles(tmp_path):
    path = zipped(tmp_path / "l.zip", LINKEDIN)
    got = run(source("linkedin", path))
    items = {i.item.partition(":")[0]: i for i in got.items}
    assert items["share"].body.decode() == 'Bleed the pump.\nThen say "done".'
    assert items["share"].address == "https://www.linkedin.com/feed/update/urn:li:share:11"
    assert items["comment"].body.decode() == 'He calls it "the seal", rightly.'
    assert (items["article"].title, items["article"].media_type) == ("On pumps", "text/html")
    assert items["article"].address == "https://www.linkedin.com/pulse/pumps-max-example"
    assert {i.author for i in got.items} == {"Max Example"}
    assert got.reasons == {"draft": 1, "no_words": 1, "not_public": 1}
    assert accounted(got)
    assert b"For friends" in {i.body for i in run(source("linkedin", path, private=True)).items}


def test_a_linkedin_archive_of_another_choice_of_data_deletes_nothing(tmp_path):
    path = zipped(tmp_path / "l.zip", LINKEDIN)
    state = after(EMPTY, run(source("linkedin", path)))
    zipped(path, {n: b for n, b in LINKEDIN.items() if n != "Comments.csv"})
    with pytest.raises(UserError, match=r"missing: there is no Comments.csv any more"):
        run(source("linkedin", path), state)
    zipped(path, LINKEDIN | {"Comments.csv": COMMENTS[:-20]})
    with pytest.raises(UserError, match=r"truncated: Comments.csv row 2"):
        run(source("linkedin", path), state)


def note(n, to, content="<p>Hello <span>world</span></p>", **more):
    base = {"id": f"https://m.example/users/me/statuses/{n}", "type": "Note", "to": [to], "cc": [], "content": content}
    base |= {"url": f"https://m.example/@me/{n}", "published": "2024-01-02T03:04:05Z"}
    return {"type": "Create", "to": [to], "object": base | more}


PUBLIC, FOLLOWERS = "https://www.w3.org/ns/activitystreams#Public", "https://m.example/users/me/followers"
TAGS = [{"type": "Mention", "name": "@dana@other.example", "href": "x"}, {"type": "Hashtag", "name": "#pump"}]
OUTBOX = [
    note(1, PUBLIC, '<p>Bleed the <a href="x">pump</a>.<br>Wait.</p><p>Then go on &amp; on.</p>'),
    note(2, PUBLIC, inReplyTo="https://m.example/users/me/statuses/1", content="<p>Close it.</p>"),
    note(3, FOLLOWERS, "<p>Unlisted.</p>", cc=[PUBLIC], tag=TAGS),
    note(4, FOLLOWERS, "<p>For followers.</p>"),
    note(5, "https://other.example/users/dana", "<p>For Dana alone.</p>"),
    {"type": "Announce", "object": "https://other.example/9"},
    note(6, PUBLIC, type="Question"),
]


def mastodon(outbox):
    actor = {"preferredUsername": "me", "name": "Max Example"}
    return {
        "outbox.json": json.dumps({"orderedItems": outbox}),
        "actor.json": json.dumps(actor),
        "likes.json": "{",
        "media_attachments/a.bin": "x" * 1000,
    }


@pytest.mark.parametrize(("form", "name"), [(tarred, "m.tar.gz"), (zipped, "m.zip"), (unpacked, "m")])
def test_mastodon_notes_that_were_public(tmp_path, form, name):
    path = form(tmp_path / name, mastodon(OUTBOX))
    got = run(source("mastodon", path))
    assert texts(got) == ["Bleed the pump.\nWait.\n\nThen go on & on.", "Close it.", "Unlisted."]
    one, two, three = got.items
    assert (one.address, two.parent, two.group) == ("https://m.example/@me/1", one.item, one.item)
    assert json.loads(three.headers) == {"people": ["dana", "dana@other.example", "me"]}
    assert got.reasons == {"not_public": 2, "repost": 1, "no_note": 1}
    shown = run(source("mastodon", path, private=True))
    assert texts(shown) == sorted([*texts(got), "For followers."])


def test_a_mastodon_archive_that_is_cut_short_changes_nothing(tmp_path):
    path = tarred(tmp_path / "m.tar.gz", mastodon(OUTBOX))
    state = after(EMPTY, run(source("mastodon", path)))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(UserError, match="no complete mastodon archive"):
        run(source("mastodon", path), state)


REDDIT = {
    "posts.csv": "id,permalink,date,ip,subreddit,gildings,title,url,body\n"
    "abc1,https://www.reddit.com/r/pumps/comments/abc1/how_to/,2024-01-02 03:04:05 UTC,10.1.2.3,pumps,0,"
    '"How, then?",,"Bleed it.\n\nWait, u/dana said."\n'
    "abc2,https://www.reddit.com/r/pumps/comments/abc2/gone/,2024-01-02 03:04:05 UTC,,pumps,0,Gone,,[removed]\n",
    "comments.csv": "id,permalink,date,ip,subreddit,gildings,link,parent,body,media\n"
    "def1,https://www.reddit.com/r/pumps/comments/abc1/how_to/def1/,2024-01-03 03:04:05 UTC,10.1.2.3,pumps,0,"
    "https://www.reddit.com/r/pumps/comments/abc1/how_to/,,To add to this.,\n"
    "def2,https://www.reddit.com/r/pumps/comments/zzz9/other/def2/,2024-01-03 03:04:05 UTC,,pumps,0,"
    "https://www.reddit.com/r/pumps/comments/zzz9/other/,yyy8,It is the seal.,\n",
    "statistics.csv": "statistic,value\naccount name,max_example\n",
    "messages.csv": "id,body\n1,secret\n",
}


def test_reddit_posts_and_comments_under_the_addresses_of_its_api(tmp_path):
    got = run(source("reddit", zipped(tmp_path / "r.zip", REDDIT)))
    items = {i.item: i for i in got.items}
    post, comment, other = items["t3_abc1"], items["t1_def1"], items["t1_def2"]
    assert (post.title, post.body.decode(), post.author) == (
        "How, then?",
        "Bleed it.\n\nWait, u/dana said.",
        "max_example",
    )
    assert (comment.parent, comment.group) == ("t3_abc1", "t3_abc1")
    assert (other.parent, other.group) == ("", "t1_def2")
    assert post.created_at.isoformat() == "2024-01-02T03:04:05+00:00"
    assert json.loads(post.headers) == {"people": ["dana"]}
    assert "10.1.2.3" not in str(got.items)
    assert got.reasons == {"deleted": 1}
    thing = SimpleNamespace(id="def2", link_id="t3_zzz9", subreddit=SimpleNamespace(display_name="pumps"))
    assert other.address == reddit_api.address_of(thing) == export_reddit.address_of("pumps", "zzz9", "def2")


def test_a_reddit_archive_without_a_table_or_with_half_of_one_changes_nothing(tmp_path):
    path = unpacked(tmp_path / "r", REDDIT)
    state = after(EMPTY, run(source("reddit", path)))
    (path / "comments.csv").write_text(REDDIT["comments.csv"][:-20])
    with pytest.raises(UserError, match=r"truncated: comments\.csv row 3"):
        run(source("reddit", path), state)
    (path / "comments.csv").unlink()
    with pytest.raises(UserError, match=r"missing: there is no comments\.csv"):
        run(source("reddit", path), state)
    with pytest.raises(UserError, match="does not exist"):
        run(source("reddit", tmp_path / "absent.zip"))


def test_a_night_cut_off_goes_on_where_it_was(tmp_path, monkeypatch):
    path = unpacked(tmp_path / "x", x_members())
    state = after(EMPTY, resumes_anywhere(source("x", path), monkeypatch))
    unpacked(path, x_members([tweet(1, "Bleed it twice."), tweet(2, "Close it."), tweet(9, "New.")]))
    assert resumes_anywhere(source("x", path), monkeypatch, state).gone


def test_a_broken_row_deletes_nothing_by_its_author(tmp_path):
    path = zipped(tmp_path / "r.zip", REDDIT)
    state = after(EMPTY, run(source("reddit", path)))
    broken = (
        REDDIT["comments.csv"].replace(",yyy8,It is", ',yyy8,"It" is') + REDDIT["comments.csv"].splitlines()[1] + "\n"
    )
    zipped(path, REDDIT | {"comments.csv": broken})
    got = run(source("reddit", path), state)
    assert got.gone == []
    assert [r.reason for r in got.rejections] == ["quoting"]
    zipped(path, REDDIT | {"comments.csv": REDDIT["comments.csv"].partition("def2")[0]})
    assert [(g.item, g.by_author) for g in run(source("reddit", path), after(state, got)).gone] == [("t1_def2", True)]


def test_the_name_of_a_post_is_never_longer_than_the_ledger_keeps(tmp_path):
    long = "9" * 300
    outbox = [note(long, PUBLIC), note(2, PUBLIC, inReplyTo=f"https://m.example/users/me/statuses/{long}")]
    got = run(source("mastodon", zipped(tmp_path / "m.zip", mastodon([*outbox, note("3\n", PUBLIC)]))))
    root, *_ = (i for i in got.items if long in i.address)
    assert root.item.startswith("https:")
    assert max(len(i.item) for i in got.items) < 60
    assert {i.parent for i in got.items} == {"", root.item}
    assert all(i.item.isprintable() for i in got.items)
