from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from collect_helpers import HOST, ROOT, Clock, Reply

from sovereign_tasks.collect.fetch import Fetcher, Refused, user_agent
from sovereign_tasks.collect.fetch.canonical import canonical
from sovereign_tasks.collect.fetch.connect import is_public
from sovereign_tasks.collect.fetch.pace import Host
from sovereign_tasks.collect.fetch.robots import answered
from sovereign_tasks.errors import UserError

CASES = Path(__file__).parents[4] / "shared" / "data" / "robots_cases.json"


def fetcher(server, clock: Clock, rate: float = 4.0) -> Fetcher:
    return Fetcher(
        "me@x.example",
        rate=rate,
        max_bytes=1000,
        timeout=5,
        connect_to={HOST: server.address},
        clock=clock,
        sleep=clock.sleep,
    )


def test_requests_to_one_host_keep_their_distance(server):
    server.replies = {"/a": Reply("x")}
    clock = Clock()
    with fetcher(server, clock) as f:
        for _ in range(3):
            f.ask(f"{ROOT}/a")
    assert clock.slept == [0.25, 0.25, 0.25]  # robots.txt is a request too


def test_crawl_delay_is_honoured_and_an_absurd_one_is_a_refusal(server):
    server.replies = {"/robots.txt": Reply("User-agent: sovereign\nCrawl-delay: 7"), "/a": Reply("x")}
    clock = Clock()
    with fetcher(server, clock) as f:
        for _ in range(3):
            f.ask(f"{ROOT}/a")
    assert clock.slept == [0.25, 7.0, 7.0]
    server.replies["/robots.txt"] = Reply("User-agent: *\nCrawl-delay: 86400")
    with fetcher(server, clock) as f, pytest.raises(Refused, match="robots"):
        f.ask(f"{ROOT}/a")


def test_retry_after_is_waited_for_up_to_a_cap(server):
    answers = iter([Reply(status=429, headers={"Retry-After": "3"}), Reply("x")])
    server.replies = {"/a": lambda _: next(answers), "/b": Reply(status=503, headers={"Retry-After": "86400"})}
    clock = Clock()
    with fetcher(server, clock, rate=1000) as f:
        assert f.ask(f"{ROOT}/a").body == b"x"
        assert 3.0 in clock.slept
        assert f.ask(f"{ROOT}/b").status == 503
        with pytest.raises(Refused) as e:
            f.ask(f"{ROOT}/a")
    assert (e.value.measured, e.value.transient) == ("Retry-After 86400 s before", True)
    assert max(clock.slept) == 3.0
    assert server.statuses("/b") == [503]


def test_all_who_wait_for_a_host_heed_what_it_asks_of_one():
    clock, asleep, rested = Clock(), threading.Semaphore(0), threading.Event()
    asked: list[float] = []

    def sleep(seconds: float) -> None:
        asleep.release()
        rested.wait(5)
        clock.now += seconds

    def ask(_: int) -> None:
        host.wait(0.0)
        asked.append(clock.now)

    host = Host(3, clock, sleep)
    host.wait(1.0)
    with ThreadPoolExecutor(3) as threads:
        waiting = threads.map(ask, range(3))
        for _ in range(3):
            asleep.acquire()
        host.rest(50)  # while all of them wait for their turn
        rested.set()
        list(waiting)
    assert min(asked) >= 50


def test_who_waits_for_a_host_that_is_left_alone_does_not_ask(server):
    answers = iter([Reply(status=429, headers={"Retry-After": "86400"})])
    server.replies = {"/a": lambda _: next(answers)}
    with fetcher(server, Clock()) as f:
        f.rules(ROOT)
        host = f._hosts[HOST]
        wait = host.wait
        host.wait = lambda pause: (wait(pause), host.leave("meanwhile"))
        with pytest.raises(Refused, match="meanwhile"):
            f.ask(f"{ROOT}/a")
    assert server.statuses("/a") == []


def test_a_connection_that_fails_is_tried_once_more_in_its_turn(server):
    def hang_up(handler):
        tries.append(clock.now)
        handler.close_connection = True
        handler.connection.close()

    tries, clock = [], Clock()
    server.replies = {"/a": hang_up}
    with fetcher(server, clock) as f, pytest.raises(Refused, match="unreachable"):
        f.ask(f"{ROOT}/a")
    assert tries == [0.25, 0.5]


@pytest.mark.parametrize(
    ("contact", "named"),
    [
        ("owner@site.example", " (+owner@site.example)"),
        ("Jürgen 😀 <a@b.example>", " (+J%C3%BCrgen %F0%9F%98%80 <a@b.example>)"),
        ("https://site.example/a\r\nX-Evil: 1\x00\x7f\udcff", " (+https://site.example/a X-Evil: 1)"),
        (" \n\x00", ""),
    ],
)
def test_any_contact_is_named_in_a_legal_header(server, contact, named):
    assert user_agent(contact).partition(" ")[2] == named.strip()
    server.replies = {"/a": Reply("x")}
    with Fetcher(contact, rate=1e6, max_bytes=10, timeout=5, connect_to={HOST: server.address}) as f:
        assert f.ask(f"{ROOT}/a").body == b"x"
    assert server.asked[0].headers["User-Agent"].endswith(named)


def test_one_connection_serves_many_pages(server):
    ports = set()

    def note(handler):
        ports.add(handler.client_address[1])
        return Reply("x")

    server.replies = {f"/{n}": note for n in range(5)}
    with fetcher(server, Clock()) as f:
        for n in range(5):
            f.ask(f"{ROOT}/{n}")
    assert len(ports) == 1


def test_a_host_that_fails_again_and_again_is_left_alone(server):
    def hang_up(handler):
        handler.close_connection = True
        handler.connection.close()

    server.replies = {f"/{n}": hang_up for n in range(9)}
    reasons = []
    with fetcher(server, Clock()) as f:
        for n in range(9):
            with pytest.raises(Refused) as e:
                f.ask(f"{ROOT}/{n}")
            reasons.append(e.value.measured)
    assert set(reasons[5:]) == {"5 failures in a row before"}
    assert "5 failures in a row before" not in reasons[:5]


@pytest.mark.parametrize(
    ("peer", "public"),
    [
        ("8.8.8.8", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fe80::1", False),
        ("64:ff9b:1::808:808", False),
        ("fec0::1", False),
        ("::7f00:1", False),
        ("::8.8.8.8", False),
        ("192.88.99.1", False),
        ("::ffff:192.88.99.1", False),
        ("2606:4700::1111", True),
        ("64:ff9b::808:808", True),
    ],
)
def test_only_public_peers_count_as_public(peer, public):
    assert is_public(peer) is public


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "017700000001", "localhost", "[::ffff:127.0.0.1]", "0"])
def test_other_spellings_of_loopback_are_blocked_at_the_connection(server, host):
    port = server.address.rpartition(":")[2]
    with fetcher(server, Clock()) as f, pytest.raises(Refused) as e:
        f.ask(f"http://{host}:{port}/a")
    assert e.value.reason in ("blocked_address", "unreachable")
    assert server.asked == []


@pytest.mark.parametrize(
    ("address", "spelt"),
    [
        ("HTTP://WWW.Site.Example:80", "http://www.site.example/"),
        ("https://site.example:443/A?b=2&a=1#top", "https://site.example/A?b=2&a=1"),
        ("http://site.example:8080/", "http://site.example:8080/"),
        ("/p?utm_source=a&q=1&fbclid=x", "http://base.example/p?q=1"),
        ("../a b/ü", "http://base.example/a%20b/%C3%BC"),
        ("http://user:secret@site.example/", "http://site.example/"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://site.example/%7Ea", "http://site.example/~a"),
        ("mailto:a@b.example", None),
        ("javascript:void(0)", None),
        ("http://[::1", None),
        ("http://site.example:99999/", None),
        ("https:///nowhere", None),
        ("http://site.example/" + "a" * 3000, None),
    ],
)
def test_an_address_has_one_spelling(address, spelt):
    assert canonical(address, "http://base.example/x/y") == spelt


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
def test_robots_verdicts_agree_with_the_reference():
    cases = json.loads(CASES.read_text())
    same = sum(answered(200, c["robots"].encode(), c["ua"]).allowed(c["url"]) == c["allowed"] for c in cases)
    print(f"{same} of {len(cases)} verdicts equal")
    assert same >= 139


def test_a_strangers_server_is_not_asked_by_who_does_not_say_who_they_are(server):
    server.replies = {"/a": Reply("x")}
    settings = {"rate": 1e6, "max_bytes": 10, "timeout": 5, "connect_to": {HOST: server.address}}
    with Fetcher(" ", **settings) as f:
        assert f.ask(f"{ROOT}/a").body == b"x"
        with pytest.raises(UserError, match=r"contact in config/platform.yaml is empty"):
            f.ask("http://stranger.example/a")
