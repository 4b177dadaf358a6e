from __future__ import annotations

import gzip
import socket
import subprocess
import sys
import threading

import collect_helpers
import pytest
from collect_helpers import EMPTY, HOST, NOW, ROOT, Clock, Reply, after, run

from sovereign_tasks.collect import night, page
from sovereign_tasks.collect.fetch import Fetcher
from sovereign_tasks.collect.web import WebSource, sitemap
from sovereign_tasks.collect.web import crawl as crawling
from sovereign_tasks.errors import TransientError, UserError


def crawl(source, state=EMPTY):
    return run(source, state, contact="owner@site.example")


def links(*paths: str) -> str:
    return "<title>A  page</title>" + "".join(f'<a href="{p}">x</a>' for p in paths)


def reasons(got, server) -> dict[str, str]:
    known = {*server.replies, *(a.path for a in server.asked)}
    return collect_helpers.reasons(got, "site", {path: (f"{ROOT}{path}", "") for path in known})


def paths(got) -> list[str]:
    return [i.address.removeprefix(ROOT) for i in got.items]


def assert_all_accounted(got) -> None:
    assert got.rows == len(got.items) + sum(got.reasons.values())


def test_follows_links_within_the_start_hosts_and_states_what_it_is(server, web_source):
    server.replies = {
        "/": Reply(links("/b", "a#part", "/a?utm_source=x", "http://elsewhere.example/", "/tags/x")),
        "/a": Reply("plain words", headers={"Content-Type": "text/plain; charset=utf-8"}),
        "/b": Reply(links("/")),
    }
    got = crawl(web_source(exclude=["^/tags/"]))
    assert paths(got) == ["/", "/a", "/b"]
    first = got.items[0]
    assert (first.title, first.kind, first.group, first.fetched_at) == ("", "web", f"{ROOT}/", NOW)
    assert got.items[1].media_type == "text/plain; charset=utf-8"
    assert {a.headers["Host"] for a in server.asked} == {HOST}
    assert all(a.headers["User-Agent"].startswith("Sovereign/") for a in server.asked)
    assert all("(+owner@site.example)" in a.headers["User-Agent"] for a in server.asked)
    assert got.notes["requests"] == len(server.asked)
    assert_all_accounted(got)


def test_second_night_asks_conditionally_and_yields_only_what_changed(server, web_source):
    server.replies = {
        "/": Reply(links("/etag", "/modified", "/bare"), etag=True),
        "/etag": Reply("one", etag=True),
        "/modified": Reply("two", modified="Thu, 01 Jan 2026 00:00:00 GMT"),
        "/bare": Reply("three"),
    }
    first = crawl(web_source())
    state = after(EMPTY, first)
    second = crawl(web_source(), state)
    assert paths(first) == ["/", "/bare", "/etag", "/modified"]
    assert second.items == []
    assert second.reasons == {"not_modified": 3, "unchanged": 1}
    assert server.statuses("/etag") == [200, 304]
    assert server.statuses("/modified") == [200, 304]

    server.replies["/etag"] = Reply("one, edited", etag=True)
    server.replies["/"] = Reply(links("/etag", "/modified", "/bare", "/new"), etag=True)
    server.replies["/new"] = Reply("four", etag=True)
    del server.replies["/bare"]
    third = crawl(web_source(), after(state, second))
    assert paths(third) == ["/", "/etag", "/new"]
    assert [(g.address, g.reason, g.by_author) for g in third.gone] == [(f"{ROOT}/bare", "http 404", False)]
    assert_all_accounted(third)
    server.replies["/bare"] = Reply("three")
    server.replies["/"] = Reply(links("/bare"), etag=True)
    assert "/bare" in paths(crawl(web_source(), after(after(state, second), third)))


def test_redirects_are_recorded_as_their_target_and_loops_end(server, web_source):
    to = lambda path, status=301: Reply(status=status, headers={"Location": path})  # noqa: E731
    server.replies = {
        "/": Reply(links("/old", "/loop1", "/out", "/new", "/none")),
        "/old": to("/new"),
        "/new": Reply("here"),
        "/loop1": to("/loop2", 302),
        "/loop2": to("/loop1", 302),
        "/out": to("http://elsewhere.example/"),
        "/none": Reply(status=302),
    }
    got = crawl(web_source())
    assert paths(got) == ["/", "/new"]
    assert server.statuses("/new") == [200]
    assert reasons(got, server) == {"/loop2": "redirect_loop", "/out": "off_site", "/none": "http_error"}
    assert {r.measured for r in got.rejections} == {"", "elsewhere.example", "302 without a usable Location"}
    assert_all_accounted(got)


def test_robots_rules_hold_for_links_redirects_and_sitemaps(server, web_source):
    server.replies = {
        "/robots.txt": Reply("\ufeffUser-agent: *\nDisallow: /private/\n", headers={"Content-Type": "text/plain"}),
        "/": Reply(links("/private/a", "/hop")),
        "/hop": Reply(status=301, headers={"Location": "/private/b"}),
        "/private/a": Reply("secret"),
        "/private/b": Reply("secret"),
    }
    got = crawl(web_source())
    assert paths(got) == ["/"]
    assert reasons(got, server) == {"/private/a": "robots", "/private/b": "robots"}
    assert not [a for a in server.asked if a.path.startswith("/private")]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_failing_robots_disallow_everything(server, web_source, status):
    server.replies = {
        "/robots.txt": Reply(status=status, headers={"Retry-After": "0"}),
        "/": Reply("x"),
    }
    with pytest.raises(TransientError, match=rf"source site: {ROOT}/ can't be reached \(robots.txt answered {status}"):
        crawl(web_source())
    assert server.statuses("/") == []


@pytest.mark.parametrize("status", [401, 404, 410])
def test_absent_robots_allow_everything(server, web_source, status):
    server.replies = {"/robots.txt": Reply("User-agent: *\nDisallow: /", status=status), "/": Reply("x")}
    assert paths(crawl(web_source())) == ["/"]


def test_sitemaps_named_in_robots_with_index_and_gzip(server, web_source):
    head = '<?xml version="1.0"?>'
    ns = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
    listing = f"{head}<urlset {ns}><url><loc>{ROOT}/deep</loc></url><url><loc>http://x.example/</loc></url></urlset>"
    broken = f"{head}<urlset {ns}><url><loc>{ROOT}/last</loc></url><url><loc>{ROOT}/cut"
    server.replies = {
        "/robots.txt": Reply(f"Sitemap: {ROOT}/index.xml\nSitemap: {ROOT}/missing.xml\n"),
        "/index.xml": Reply(
            f"{head}<sitemapindex {ns}><sitemap><loc>{ROOT}/a.xml.gz</loc></sitemap>"
            f"<sitemap><loc>{ROOT}/b.xml</loc></sitemap></sitemapindex>"
        ),
        "/a.xml.gz": Reply(gzip.compress(listing.encode()), headers={"Content-Type": "application/gzip"}),
        "/b.xml": Reply(broken),
        "/": Reply("start"),
        "/deep": Reply("found"),
        "/last": Reply("found too"),
    }
    got = crawl(web_source())
    assert paths(got) == ["/", "/deep", "/last"]
    assert reasons(got, server) == {"/missing.xml": "http_404"}
    assert server.statuses("/sitemap.xml") == []
    assert_all_accounted(got)


def test_noindex_nofollow_and_canonical_are_obeyed(server, web_source):
    server.replies = {
        "/": Reply(links("/meta", "/header", "/follow-not", "/other-bot", "/copy?page=1")),
        "/meta": Reply('<meta name="robots" content="noindex">' + links("/from-meta")),
        "/header": Reply("x", headers={"X-Robots-Tag": "none"}),
        "/follow-not": Reply('<meta name="ROBOTS" content="NoFollow">' + links("/hidden")),
        "/other-bot": Reply("x", headers={"X-Robots-Tag": "otherbot: noindex, nofollow"}),
        "/copy?page=1": Reply('<link rel="canonical" href="/original">'),
        "/original": Reply("the one"),
        "/from-meta": Reply("reached"),
        "/hidden": Reply("unreached"),
    }
    got = crawl(web_source())
    assert paths(got) == ["/", "/follow-not", "/from-meta", "/original", "/other-bot"]
    assert reasons(got, server) == {"/meta": "noindex", "/header": "noindex", "/copy?page=1": "canonical"}


def test_a_known_page_that_asks_not_to_be_indexed_or_moved_is_gone(server, web_source):
    server.replies = {"/": Reply(links("/a", "/b", "/c")), "/a": Reply("a"), "/b": Reply("b"), "/c": Reply("c")}
    state = after(EMPTY, crawl(web_source()))
    server.replies["/a"] = Reply("a", headers={"X-Robots-Tag": "noindex"})
    server.replies["/b"] = Reply(status=308, headers={"Location": "/d"})
    server.replies["/d"] = Reply("b")
    got = crawl(web_source(exclude=["^/c$"]), state)
    assert {(g.address.removeprefix(ROOT), g.reason) for g in got.gone} == {
        ("/a", "noindex"),
        ("/b", "moved"),
        ("/c", "excluded"),
    }
    assert paths(got) == ["/d"]


def test_caps_on_size_type_and_time_reject_with_a_reason(server, web_source):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        try:
            for _ in range(400):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                stop.wait(0.02)
        except OSError:
            pass
        handler.close_connection = True

    stop = threading.Event()
    zeros = {"Content-Encoding": "gzip", "Content-Type": "text/html"}
    server.replies = {
        "/": Reply(links("/bomb", "/drip", "/image", "/error", "/gone")),
        "/bomb": Reply(gzip.compress(b"\0" * 20_000_000), headers=zeros),
        "/drip": drip,
        "/image": Reply(b"\x89PNG", headers={"Content-Type": "image/png"}),
        "/error": Reply(status=500),
        "/gone": Reply(status=410),
    }
    got = crawl(web_source(max_bytes=100_000, timeout_seconds=0.5))
    stop.set()
    assert reasons(got, server) == {
        "/bomb": "too_large",
        "/drip": "timeout",
        "/image": "content_type",
        "/error": "http_error",
        "/gone": "http_410",
    }
    assert {r.text for r in got.rejections} == {f"{ROOT}{p}" for p in ("/bomb", "/drip", "/image", "/error", "/gone")}
    assert got.notes["bytes"] < 1_000_000
    assert set(got.cursor["waiting"]) == {f"{ROOT}/drip", f"{ROOT}/error"}
    assert_all_accounted(got)


def test_page_cap_leaves_the_rest_for_the_next_night(server, web_source):
    server.replies = {"/": Reply(links(*(f"/{n}" for n in range(9))), etag=True)}
    server.replies |= {f"/{n}": Reply(str(n), etag=True) for n in range(9)}
    source = web_source(max_pages=4)
    state, nights = EMPTY, []
    for _ in range(4):
        got = crawl(source, state)
        nights.append(len(got.items))
        state = after(state, got)
    assert nights == [4, 4, 2, 0]


def test_pages_without_validators_take_turns_under_a_cap(server, web_source):
    server.replies = {"/": Reply(links(*(f"/{n}" for n in range(9))))} | {f"/{n}": Reply(str(n)) for n in range(9)}
    source = web_source(max_pages=4)
    state, asked = EMPTY, []
    for _ in range(8):
        server.asked.clear()
        state = after(state, crawl(source, state))
        asked.append({a.path for a in server.asked if a.path[1:].isdigit()})
    every = {f"/{n}" for n in range(9)}
    assert set().union(*asked[:4]) == every  # nothing new waits for the known
    assert set().union(*asked[5:]) == every  # and nothing known for what comes before it


def test_sitemaps_give_so_many_addresses_in_all(server, web_source, monkeypatch):
    monkeypatch.setattr(sitemap, "MAX_ADDRESSES", 5)
    server.replies = {"/robots.txt": Reply("".join(f"Sitemap: {ROOT}/{n}.xml\n" for n in range(4))), "/": Reply("x")}
    for n in range(4):
        listed = "".join(f"<url><loc>{ROOT}/{n}/{m}</loc></url>" for m in range(3))
        server.replies[f"/{n}.xml"] = Reply(f"<urlset>{listed}</urlset>")
    crawl(web_source())
    assert len([a for a in server.asked if a.path.count("/") == 2]) == 5


def test_a_page_that_breaks_the_reader_is_rejected_alone(server, web_source, monkeypatch):
    def read_page(address, *rest):
        if address.endswith("/bad"):
            raise RecursionError("words of the page")
        return real(address, *rest)

    real = page.read_page
    monkeypatch.setattr(page, "read_page", read_page)
    server.replies = {"/": Reply(links("/bad", "/good")), "/bad": Reply("x"), "/good": Reply("y")}
    got = crawl(web_source())
    assert paths(got) == ["/", "/good"]
    assert [(r.reason, r.measured) for r in got.rejections] == [("unreadable", "RecursionError")]
    assert_all_accounted(got)


def test_depth_is_kept_over_nights(server, web_source):
    server.replies = {
        "/": Reply(links("/1")),
        "/1": Reply(links("/2")),
        "/2": Reply(links("/3")),
        "/3": Reply("deep"),
    }
    source = web_source(max_depth=2)
    first = crawl(source)
    assert paths(first) == ["/", "/1", "/2"]
    server.replies["/2"] = Reply("edited" + links("/3"))
    assert paths(crawl(source, after(EMPTY, first))) == ["/2"]


def test_private_addresses_are_refused_but_for_the_allowance(server, web_source):
    server.replies = {
        "/": Reply(links("/hop")),
        "/hop": Reply(status=302, headers={"Location": f"http://{server.address}/admin"}),
        "/admin": Reply("inside"),
    }
    with pytest.raises(UserError, match="connect_to"):
        crawl(web_source(start=[f"http://{server.address}/"], connect_to={}))
    assert server.asked == []
    got = crawl(web_source(start=[f"{ROOT}/", f"http://{server.address}/other"]))
    assert paths(got) == ["/"]
    assert {r.reason for r in got.rejections} == {"blocked_address"}
    assert server.statuses("/admin") == []


def test_an_unreachable_site_is_one_sentence_worth_a_retry(web_source):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(TransientError, match=rf"^source site: {ROOT}/ can't be reached \(.*\)\.$"):
        crawl(web_source(start=[f"{ROOT}/?email=hector@mail.example.org"], connect_to={HOST: address}))


def test_environment_proxies_are_not_used(server, web_source, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.replies = {"/": Reply("x")}
    assert paths(crawl(web_source())) == ["/"]


def test_declared_bounds_hold_for_links_sitemaps_and_redirects(server, web_source):
    server.replies = {
        "/": Reply(links("/guide/a", "/shop/b", "http://docs.site.example/guide/c", "http://x.example/guide/d")),
        "/guide/a": Reply("a" + links("/guide/old")),
        "/guide/old": Reply(status=301, headers={"Location": "/shop/b"}),
        "/guide/c": Reply("c"),
        "/sitemap.xml": Reply(
            f"<urlset><url><loc>{ROOT}/guide/e</loc></url><url><loc>{ROOT}/shop/f</loc></url></urlset>"
        ),
        "/guide/e": Reply("e"),
    }
    docs = {HOST: server.address, "docs.site.example": server.address}
    got = crawl(web_source(include=["^/guide/"], hosts=["docs.site.example"], connect_to=docs))
    assert sorted(i.address for i in got.items) == [
        "http://docs.site.example/guide/c",
        f"{ROOT}/",
        f"{ROOT}/guide/a",
        f"{ROOT}/guide/e",
    ]
    assert [(r.text, r.reason) for r in got.rejections] == [(f"{ROOT}/guide/old", "off_site")]
    assert not [a for a in server.asked if a.path.startswith("/shop") or a.path == "/guide/d"]


def test_several_hosts_are_asked_at_once_and_one_host_once(server, web_source):
    under_way, most, lock = {}, {}, threading.Lock()
    both = threading.Barrier(2, timeout=10)

    def slow(handler):
        host = handler.headers["Host"]
        with lock:
            under_way[host] = under_way.get(host, 0) + 1
            most[host] = max(most.get(host, 0), under_way[host])
        if handler.path == "/first":
            both.wait()  # is passed only if the two hosts are asked at the same time
        with lock:
            under_way[host] -= 1
        return Reply(links(*(f"/{n}" for n in range(5))))

    server.otherwise = slow
    server.replies = {path: Reply(status=404) for path in ("/robots.txt", "/sitemap.xml")}
    hosts = ["a.example", "b.example"]
    got = crawl(web_source(start=[f"http://{h}/first" for h in hosts], connect_to=dict.fromkeys(hosts, server.address)))
    assert len(got.items) == 12  # the page shown for what is not there is the home page, which tells nothing
    assert got.reasons == {}
    assert most == {"a.example": 1, "b.example": 1}


def test_a_page_that_only_says_that_there_is_none_is_left_out(server, web_source):
    absent = (
        "<title>{0}</title><nav>Home Prices Contact</nav><p>Sorry, {0} was not found on this server, try the search."
    )
    server.otherwise = lambda handler: Reply(absent.format(handler.path))
    server.replies = {
        "/robots.txt": Reply(status=404),
        "/sitemap.xml": Reply(status=404),
        "/": Reply("<nav>Home Prices Contact</nav><p>Roofs of every kind, laid by us." + links("/real", "/was-there")),
        "/real": Reply("<nav>Home Prices Contact</nav><p>A slate roof lasts a hundred years or more."),
        "/was-there": Reply("<p>An offer for this week."),
    }
    first = crawl(web_source())
    assert paths(first) == ["/", "/real", "/was-there"]
    del server.replies["/was-there"]
    server.replies["/"] = Reply("<p>Roofs, laid by us." + links("/never-there"))
    second = crawl(web_source(), after(EMPTY, first))
    assert [(g.address, g.reason) for g in second.gone] == [(f"{ROOT}/was-there", "soft 404")]
    assert reasons(second, server) == {"/never-there": "soft_404"}
    assert paths(second) == ["/"]
    assert_all_accounted(second)


def test_a_crawl_cut_off_goes_on_where_it_was_and_ends_the_same(server, web_source, monkeypatch):
    monkeypatch.setattr(night, "PART_ITEMS", 3)
    to = lambda path: Reply(status=301, headers={"Location": path})  # noqa: E731
    server.replies = {
        "/": Reply(links(*(f"/{n}" for n in range(12))), etag=True),
        "/hop": to("/hop2"),
        "/hop2": to("/hop"),
    }
    server.replies |= {f"/{n}": Reply(f"page {n}" + links(f"/{n}/deep", "/hop"), etag=True) for n in range(12)}
    server.replies |= {f"/{n}/deep": Reply(f"deep {n}", modified="Thu, 01 Jan 2026 00:00:00 GMT") for n in range(12)}
    del server.replies["/7"]
    source = web_source(max_pages=20)
    whole = crawl(source)
    assert len(whole.parts) > 5
    for durable in range(1, len(whole.parts)):
        server.asked.clear()
        cut = run(source, stop_after=durable)
        asked_before = len(server.asked)
        state = after(EMPTY, cut)
        rest = crawl(source, state)
        assert after(state, rest) == after(EMPTY, whole), f"cut off after part {durable}"
        assert sorted([*paths(cut), *paths(rest)]) == paths(whole)
        done = {i.address.removeprefix(ROOT) for i in cut.items}
        assert not done & {a.path for a in server.asked[asked_before:]}


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """What the fetchers of sources, and so their nights, go by."""
    clock = Clock()

    def fetcher(self, night, connections=1):
        return Fetcher(
            night.contact,
            rate=self.requests_per_second,
            max_bytes=self.max_bytes,
            timeout=self.timeout_seconds,
            connect_to=self.connect_to,
            connections=connections,
            clock=clock,
            sleep=clock.sleep,
        )

    monkeypatch.setattr(WebSource, "fetcher", fetcher)
    return clock


def test_a_night_ends_with_its_hours_and_the_next_goes_on(server, web_source, clock):
    names = [f"/{n:02}" for n in range(60)]
    server.replies = {"/": Reply(links(*names), etag=True)} | {n: Reply(n, etag=True) for n in names}
    first = crawl(web_source())
    assert len(first.items) == 61
    state, source, asked = after(EMPTY, first), web_source(requests_per_second=1.0, max_hours=20 / 3600), []
    for _ in range(4):
        server.asked.clear()
        began = clock.now
        got = crawl(source, state)
        assert got.items == got.gone == got.rejections == []
        assert clock.now - began <= 22
        asked.append({a.path for a in server.asked} & set(names))
        state = after(state, got)
    assert set().union(*asked) == set(names)
    assert len(asked[0]) < 20


def test_an_endless_pause_costs_a_site_its_hours_and_loses_nothing(server, web_source, clock):
    server.replies = {
        "/robots.txt": Reply("User-agent: *\nCrawl-delay: 300"),
        "/": Reply(links(*(f"/{n}" for n in range(50)))),
    } | {f"/{n}": Reply(str(n)) for n in range(50)}
    got = crawl(web_source(max_hours=1.0))
    assert clock.now <= 3600 + 300
    assert len(got.items) + len(got.cursor["waiting"]) == 51
    assert f"{ROOT}/49" in got.cursor["waiting"]


def test_a_crawl_cut_off_has_only_the_rest_of_its_hours(server, web_source, clock, monkeypatch):
    monkeypatch.setattr(night, "PART_ITEMS", 10)
    server.replies = {"/": Reply(links(*(f"/{n}" for n in range(50))))} | {f"/{n}": Reply(str(n)) for n in range(50)}
    source = web_source(requests_per_second=1.0, max_hours=25 / 3600)
    whole = crawl(source)
    cut = run(source, stop_after=1)
    rest = crawl(source, after(EMPTY, cut))
    assert len(cut.items) + len(rest.items) <= len(whole.items) + 1


def test_what_a_site_lists_without_end_is_bounded_and_found_in_later_nights(server, web_source, monkeypatch):
    monkeypatch.setattr(crawling, "_MOST_WAITING", 5)
    server.replies = {"/": Reply(links(*(f"/{n}" for n in range(30))), etag=True)}
    server.replies |= {f"/{n}": Reply(str(n), etag=True) for n in range(30)}
    source, state, found = web_source(max_pages=5), EMPTY, []
    for _ in range(12):
        got = crawl(source, state)
        assert len(got.cursor["waiting"]) <= 10
        found += paths(got)
        state = after(state, got)
        if not got.notes.get("links_dropped"):
            break
    assert crawl(source, EMPTY).notes["links_dropped"] == 31 - (5 + 5)
    for _ in range(3):
        got = crawl(source, state)
        found += paths(got)
        state = after(state, got)
    assert sorted(found) == sorted(server.replies)


def test_a_site_that_shows_its_home_page_for_what_is_not_there_is_crawled(server, web_source):
    home = "<h1>Roofs of every kind, laid by us since long ago.</h1>" + links("/real")
    server.otherwise = lambda _: Reply(home)
    server.replies = {
        "/robots.txt": Reply(status=404),
        "/sitemap.xml": Reply(status=404),
        "/": Reply(status=302, headers={"Location": "/home"}),
        "/home": Reply(home),
        "/real": Reply("<p>A slate roof lasts a hundred years or more."),
    }
    first = crawl(web_source())
    assert paths(first) == ["/home", "/real"]
    home += "<p>Closed on Friday, open again after the weekend as usual."
    server.replies["/home"] = Reply(home)
    second = crawl(web_source(), after(EMPTY, first))
    assert (paths(second), second.gone) == (["/home"], [])


def test_a_start_page_is_not_judged_nor_is_a_known_one_that_did_not_change(server, web_source):
    absent = "<h1>Sorry, there is nothing here that we could show you today.</h1>"
    server.replies = {
        "/robots.txt": Reply(status=404),
        "/": Reply("<h1>Welcome to our shop, where roofs are made.</h1>"),
        "/begin": Reply(absent + links("/a")),
        "/a": Reply("<p>An offer for this week, and for the next one too."),
    }
    source = web_source(start=[f"{ROOT}/begin"])
    first = crawl(source)
    assert paths(first) == ["/a", "/begin"]
    server.otherwise = lambda _: Reply("<p>An offer for this week, and for the next one too.")
    second = crawl(source, after(EMPTY, first))
    assert (second.items, second.gone) == ([], [])
    assert second.reasons["unchanged"] == 2


@pytest.mark.parametrize("status", [302, 303, 307])
def test_a_passing_redirect_leaves_a_known_page_as_it_is(server, web_source, status):
    server.replies = {"/": Reply(links("/a", "/b")), "/a": Reply("a"), "/b": Reply("b")}
    first = crawl(web_source())
    state = after(EMPTY, first)
    server.replies["/a"] = Reply(status=status, headers={"Location": "/b"})
    got = crawl(web_source(), state)
    assert (got.items, got.gone) == ([], [])
    assert got.reasons == {"redirect": 1, "unchanged": 2}
    server.replies["/a"] = Reply("a")
    assert crawl(web_source(), after(state, got)).items == []


def test_wider_bounds_find_what_pages_that_did_not_change_lead_to(server, web_source):
    server.replies = {
        "/": Reply(links("/1", "/tags/x"), etag=True),
        "/1": Reply(links("/2"), etag=True),
        "/2": Reply(links("/3") + "<meta name=robots content=noindex>", etag=True),
        "/3": Reply("three", etag=True),
        "/tags/x": Reply("x", etag=True),
    }
    narrow = web_source(max_depth=2, exclude=["^/tags/"])
    first = crawl(narrow)
    assert paths(first) == ["/", "/1"]
    state = after(EMPTY, first)
    found = []
    for _ in range(5):  # the cap lets no night ask for everything
        got = crawl(web_source(max_depth=3, max_pages=2), state)
        assert not got.gone
        found += paths(got)
        state = after(state, got)
    assert sorted(found) == ["/3", "/tags/x"]
    server.asked.clear()
    assert crawl(web_source(max_depth=3), state).reasons == {"not_modified": 5}


def test_a_site_is_crawled_however_its_host_is_spelt(server, web_source):
    server.replies = {"/": Reply(links("http://docs.xn--bcher-kva.example/c")), "/c": Reply("c")}
    hosts = {HOST: server.address, "docs.xn--bcher-kva.example": server.address}
    for spelt in ("Docs.Bücher.Example", "docs.xn--bcher-kva.example.:80", "DOCS.bücher.example:443"):
        source = web_source(hosts=[spelt], connect_to=hosts)
        assert [i.address for i in crawl(source).items] == ["http://docs.xn--bcher-kva.example/c", f"{ROOT}/"]
    assert web_source(hosts=["Site.example:8080"]).hosts == ["site.example:8080"]


@pytest.mark.parametrize("target", ["127.0.0.1", "10.0.0.5:80", "[::1]:8080", "::1", "server.local:65535", "web_1:80"])
def test_an_allowance_names_where_to_connect(web_source, target):
    if target == "::1":
        with pytest.raises(ValueError, match="is not address:port"):
            web_source(connect_to={HOST: target})
    else:
        assert web_source(connect_to={HOST: target}).connect_to == {HOST: target}


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:abc", "127.0.0.1:0", "h:65536", "h:", "", ":80", "http://h", "h/p", "a@h:80", "[zz]:80", "a b"],
)
def test_an_allowance_that_leads_nowhere_is_refused_with_the_settings(web_source, target):
    with pytest.raises(ValueError, match=r"is not address:port; write it as 10\.0\.0\.5:80"):
        web_source(connect_to={HOST: target})


def test_two_robots_headers_are_read_one_by_one(server, web_source):
    def twice(handler):
        handler.send_response(200)
        for name, value in [
            ("Content-Type", "text/html"),
            ("X-Robots-Tag", "googlebot: nofollow"),
            ("X-Robots-Tag", "noindex"),
            ("Content-Length", "1"),
        ]:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(b"x")

    server.replies = {"/": Reply(links("/a")), "/a": twice}
    got = crawl(web_source())
    assert (paths(got), got.reasons) == (["/"], {"noindex": 1})


@pytest.mark.parametrize("filler", ["<a/>", "<!---->", "<a>"])
def test_a_sitemap_costs_no_more_than_what_is_taken_of_it(filler):
    code = f"""
import resource
from sovereign_tasks.collect.web.sitemap import read_sitemap
body = b"<urlset><url><loc>http://a.example/1</loc></url>" + {filler.encode()!r} * {6_000_000 // len(filler)}
read_sitemap(b"<urlset><url><loc>http://a.example/</loc></url></urlset>")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(read_sitemap(body), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    found, _, kilobytes = got.rpartition(" ")
    assert found == "(['http://a.example/1'], [])"
    assert int(kilobytes) < 20_000
