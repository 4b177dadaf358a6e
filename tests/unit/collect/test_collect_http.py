from __future__ import annotations

import json
from pathlib import Path

import pytest
from collect_helpers import HOST, ROOT, Reply

from sovereign_tasks.collect.fetch import Fetcher, Refused
from sovereign_tasks.collect.fetch.canonical import canonical
from sovereign_tasks.collect.fetch.connect import is_public
from sovereign_tasks.collect.fetch.robots import answered

CASES = Path(__file__).parents[4] / "shared" / "data" / "robots_cases.json"


class Clock:
    """Time that passes only while something sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


def fetcher(server, clock: Clock, rate: float = 4.0) -> Fetcher:
    return Fetcher(
        "", rate=rate, max_bytes=1000, timeout=5, connect_to={HOST: server.address}, clock=clock, sleep=clock.sleep
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
    assert max(clock.slept) == pytest.approx(60.0)
    assert server.statuses("/b") == [503, 503, 503]


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
