"""The server over real HTTP: validators, robots, sitemaps, the forum through the real PRAW, the log, the process."""

from __future__ import annotations

import gzip
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import praw
import pytest
import requests

from sovereign_tasks.demo import SUBREDDIT, DemoServer, pages, resources, threads
from sovereign_tasks.demo.reddit_api import cut_listing


@pytest.fixture(scope="module")
def server() -> Iterator[DemoServer]:
    with DemoServer() as running:
        yield running


@pytest.fixture(scope="module")
def second() -> Iterator[DemoServer]:
    with DemoServer(day=2) as running:
        yield running


def _reddit(server: DemoServer) -> praw.Reddit:
    base = server.forum_url
    return praw.Reddit(
        client_id="x", client_secret="y", user_agent="test", reddit_url=base, oauth_url=f"{base}/", short_url=base,
        check_for_updates=False, check_for_async=False,
    )  # fmt: skip


def test_every_page_is_served_as_built_and_again_as_304(server: DemoServer) -> None:
    session = requests.Session()
    for path, page in pages(1).items():
        got = session.get(server.url + path, headers={"Host": "www.roofers-almanac.example"})
        assert (got.status_code, got.content, got.headers["ETag"]) == (200, page.body, page.etag)
        again = session.get(server.url + path, headers={"If-None-Match": f'"other", W/{page.etag}'})
        assert (again.status_code, again.content) == (304, b"")


def test_validators(server: DemoServer) -> None:
    url = f"{server.url}/parts/gutters.html"
    first = requests.get(url)
    stamp = first.headers["Last-Modified"]
    assert requests.get(url, headers={"If-Modified-Since": stamp}).status_code == 304
    assert requests.get(url, headers={"If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"}).status_code == 200
    assert requests.get(url, headers={"If-Modified-Since": "yesterday"}).status_code == 200
    both = {"If-None-Match": '"stale"', "If-Modified-Since": stamp}
    assert requests.get(url, headers=both).status_code == 200
    head = requests.head(url)
    assert (head.content, head.headers["Content-Length"]) == (b"", str(len(first.content)))


def test_redirects_missing_and_gone(server: DemoServer, second: DemoServer) -> None:
    hop = requests.get(f"{server.url}/old-home.html")
    assert [r.status_code for r in hop.history] == [301, 301]
    assert hop.url == f"{server.url}/"
    assert requests.get(f"{server.url}/partners/directory-2016.html").status_code == 404
    assert requests.get(f"{second.url}/notes/company-softball.html").status_code == 410
    assert requests.get(f"{second.url}/amp/inspect-from-ground.html").status_code == 404
    assert requests.post(f"{server.url}/").status_code == 405


def test_a_connection_that_will_be_closed_is_said_to_be(server: DemoServer) -> None:
    assert "Connection" not in requests.get(f"{server.url}/healthz").headers
    asked = requests.get(f"{server.url}/healthz", headers={"Connection": "close"})
    assert asked.headers["Connection"] == "close"


@pytest.mark.parametrize("day", [1, 2])
def test_robots_and_sitemaps_lead_to_the_days_pages(day: int, server: DemoServer, second: DemoServer) -> None:
    url = (server if day == 1 else second).url
    robots = requests.get(f"{url}/robots.txt").text
    assert "Disallow: /drafts/" in robots
    assert "Crawl-delay" not in robots
    index = requests.get(re.search(r"Sitemap: http://[^/]+(.+)", robots).expand(url + r"\1")).text
    children = [requests.get(url + path).content for path in re.findall(r"<loc>http://[^/]+([^<]+)", index)]
    plain, packed = children[0].decode(), gzip.decompress(children[1]).decode()
    listed = set(re.findall(r"<loc>http://www.roofers-almanac.example([^<]+)", plain + packed))
    assert listed == set(pages(day)) - {"/members/pricing-survey.html"}
    assert listed.isdisjoint(path for path in resources(day) if path.startswith("/drafts/"))


@pytest.mark.parametrize("day", [1, 2])
def test_praw_reads_every_thread_and_comment(day: int, server: DemoServer, second: DemoServer) -> None:
    reddit = _reddit(server if day == 1 else second)
    posts = list(reddit.subreddit(SUBREDDIT).new(limit=None))
    assert [post.id for post in posts] == [thread.id for thread in threads(day)]
    held_back = 0
    for post, thread in zip(posts, threads(day), strict=True):
        held_back += any(isinstance(c, praw.models.MoreComments) for c in post.comments.list())
        post.comments.replace_more(limit=None)
        read = {c.id: (c.body, c.author and c.author.name, c.score, c.parent_id[3:]) for c in post.comments.list()}
        assert read == {c.id: (c.body, c.author, c.score, c.parent or thread.id) for c in thread.comments}
        assert (post.title, post.selftext, post.score) == (thread.title, thread.body, thread.score)
    assert held_back == 1
    assert len(list(reddit.subreddit(SUBREDDIT).comments(limit=None))) == sum(len(t.comments) for t in threads(day))
    assert reddit.auth.limits["remaining"] is not None


def test_deleted_posts_leave_listings_cursors_and_info(second: DemoServer) -> None:
    reddit = _reddit(second)
    gone = {thread.id for thread in threads(1)} - {thread.id for thread in threads(2)}
    for post in gone:
        assert list(reddit.subreddit(SUBREDDIT).new(params={"before": f"t3_{post}"})) == []
    kept = list(reddit.info(fullnames=[f"t3_{thread.id}" for thread in threads(1)]))
    assert len(kept) == len(threads(1)) - 1
    husks = [post for post in kept if post.author is None]
    assert [(post.id in gone, post.selftext, post.removed_by_category) for post in husks] == [
        (True, "[deleted]", "deleted")
    ]
    known = threads(1)[3].id
    newer = list(reddit.subreddit(SUBREDDIT).new(params={"before": f"t3_{known}"}))
    assert len(newer) == [thread.id for thread in threads(2)].index(known)


def test_listings_are_paged_by_100_and_stop_at_1000() -> None:
    things = [{"kind": "t3", "data": {"name": f"t3_{number}"}} for number in range(1500)]
    after, seen = None, 0
    while True:
        page = cut_listing(things, {"limit": "1024", **({"after": after} if after else {})})["data"]
        assert len(page["children"]) == 100
        seen, after = seen + 100, page["after"]
        if after is None:
            break
    assert seen == 1000
    assert cut_listing(things, {"after": "t3_1200"})["data"]["children"] == []


def test_the_forum_asks_for_credentials(server: DemoServer) -> None:
    assert requests.get(f"{server.forum_url}/r/{SUBREDDIT}/new").status_code == 401
    assert requests.post(f"{server.forum_url}/api/v1/access_token").status_code == 401
    bearer = {"Authorization": "bearer demo"}
    assert requests.get(f"{server.forum_url}/r/Other/new", headers=bearer).status_code == 404


def test_the_log_has_a_json_line_a_request_whatever_the_path(tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    with DemoServer(log_file=log) as server:
        requests.get(f"{server.url}/robots.txt", headers={"Host": "www.roofers-almanac.example"})
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(b'GET /\x1b[31m"\xff{"status":200} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
            while raw.recv(4096):
                pass
    raw_lines = log.read_bytes()
    assert raw_lines.isascii()
    assert b"\x1b" not in raw_lines
    first, second_row = (json.loads(line) for line in raw_lines.splitlines())
    size = len(resources(1)["/robots.txt"].body)
    assert {k: v for k, v in first.items() if k != "time"} == {
        "method": "GET", "host": "www.roofers-almanac.example", "path": "/robots.txt", "status": 200, "bytes": size,
    }  # fmt: skip
    assert second_row["status"] in (400, 404)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_serves_and_ends_with_zero(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "sovereign_tasks.demo", "--port", "0", "--documents", str(tmp_path / "docs")]
    process = subprocess.Popen([*command, "--log", str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().split()[-1]
        assert requests.get(f"{url}/healthz").text == "ok\n"
        process.send_signal(number)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.stdout.close()
    assert len(list((tmp_path / "docs").iterdir())) == 10


def test_a_taken_port_is_told_in_one_sentence(server: DemoServer, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sovereign_tasks.demo", "--port", str(server.port), "--documents", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"port {server.port}" in done.stderr
    assert "Traceback" not in done.stderr
