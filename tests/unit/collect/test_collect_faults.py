"""Servers that misbehave, each over a real socket, and what the fetcher makes of them."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from collect_helpers import HOST, ROOT, Clock, Reply, Server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sovereign_tasks.collect.fetch import Fetcher, Refused
from sovereign_tasks.records import Validator

TIMEOUT = 0.4
LONG = 10 * TIMEOUT
OTHER = "http://other.site.example"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
Raw = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers don't complain on stderr that their client hung up."""
    monkeypatch.setattr(ThreadingHTTPServer, "handle_error", lambda *_: None)


@pytest.fixture
def other() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def ended() -> Iterator[threading.Event]:
    """Set when the test is over, so that servers which hang or drip end too."""
    event = threading.Event()
    yield event
    event.set()


def fetcher(server: Server, clock: Clock | None = None, *, rate: float = 1e6, **settings: object) -> Fetcher:
    clock = clock or Clock()
    defaults = {
        "max_bytes": 100_000,
        "timeout": 10.0,
        "connect_to": {HOST: server.address},
        "clock": clock,
        "sleep": clock.sleep,
    }
    return Fetcher("me@x.example", rate=rate, **(defaults | settings))


def refused(f: Fetcher, address: str = f"{ROOT}/a") -> Refused:
    with pytest.raises(Refused) as e:
        f.ask(address)
    return e.value


def says(*parts: bytes, then: Raw = lambda _: None) -> Raw:
    """A reply that is just these bytes, after which the connection ends."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(b"".join(parts))
        then(handler)

    return write


def drips(ended: threading.Event, drop: bytes) -> Raw:
    def write(handler: BaseHTTPRequestHandler) -> None:
        try:
            while not ended.wait(TIMEOUT / 8):
                handler.wfile.write(drop)
        except OSError:
            pass

    return write


def stalls(ended: threading.Event) -> Raw:
    return lambda _: ended.wait() and None


# Busy and failing servers


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("7", 7),
        (lambda: formatdate(time.time() + 30.5, usegmt=True), 30),
        (lambda: formatdate(time.time() - 30, usegmt=True), 0),
        ("-5", 1),
        ("soon", 1),
        ("149", 149),
        ("9" * 5000, 1),
        (None, 1),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(server, status, asked, waited):
    asked = asked() if callable(asked) else asked
    busy = Reply("later", status=status, headers={"Retry-After": asked} if asked else {})
    answers = iter([busy, Reply("x")])
    server.replies = {"/a": lambda _: next(answers)}
    clock = Clock()
    with fetcher(server, clock) as f:
        assert f.ask(f"{ROOT}/a").body == b"x"
    assert clock.now == pytest.approx(waited, abs=2)
    assert len(server.peers) == 1


@pytest.mark.parametrize("asked", ["151", "86400", "9" * 30])
def test_a_server_that_wants_to_be_left_in_peace_for_long_is_asked_no_more(server, asked):
    server.replies = {"/a": Reply(status=429, headers={"Retry-After": asked}), "/b": Reply("x")}
    clock = Clock()
    with fetcher(server, clock) as f:
        assert f.ask(f"{ROOT}/a").status == 429
        error = refused(f, f"{ROOT}/b")
    seconds = min(int(asked), 86400)
    assert (error.reason, error.measured, error.transient) == ("unreachable", f"Retry-After {seconds} s before", True)
    assert [len(server.statuses(path)) for path in ("/a", "/b")] == [1, 0]
    assert clock.now < 1


def test_a_server_that_stays_busy_costs_three_requests_and_a_bounded_wait(server):
    server.replies = {"/a": Reply(status=429, headers={"Retry-After": "60"})}
    clock = Clock()
    with fetcher(server, clock) as f:
        assert f.ask(f"{ROOT}/a").status == 429
    assert len(server.statuses("/a")) == 3
    assert clock.now < 150


def test_what_was_waited_for_before_counts_too(server):
    busy = Reply(status=429, headers={"Retry-After": "50"})
    server.replies = {"/robots.txt": Reply("User-agent: *\nCrawl-delay: 110"), "/a": busy, "/b": busy}
    clock = Clock()
    with fetcher(server, clock) as f:
        f.ask(f"{ROOT}/a")
        assert f.ask(f"{ROOT}/b").status == 429
    assert len(server.statuses("/b")) == 1


def test_an_error_of_the_server_is_an_answer_and_asked_once(server):
    server.replies = {"/a": Reply("broken", status=500)}
    with fetcher(server) as f:
        assert f.ask(f"{ROOT}/a").status == 500
    assert server.statuses("/a") == [500]


# Time


@pytest.mark.parametrize(
    "slow",
    [
        lambda ended: says(then=stalls(ended)),
        lambda ended: says(b"HTTP/1.1 200 OK\r\nX: ", then=drips(ended, b"y")),
        lambda ended: says(b"HTTP/1.1 200 OK\r\n", then=drips(ended, b"X: y\r\n")),
        lambda ended: says(then=drips(ended, b"HTTP/1.1 100 Continue\r\n\r\n")),
        lambda ended: says(HEAD, b"Content-Length: 1000\r\n\r\n", then=drips(ended, b"y")),
        lambda ended: says(HEAD, b"\r\n", then=drips(ended, b"y")),
        lambda ended: says(HEAD, b"Content-Length: 1000\r\n\r\nyyy", then=stalls(ended)),
        lambda ended: says(HEAD, b"Transfer-Encoding: chunked\r\n\r\n", then=drips(ended, b"1\r\ny\r\n")),
        lambda ended: says(HEAD, b"Transfer-Encoding: chunked\r\n\r\n1", then=drips(ended, b"0")),
    ],
    ids="hang header-value headers continue body endless-body stall chunks chunk-size".split(),
)
def test_a_slow_answer_ends_at_the_timeout(server, ended, slow):
    server.replies = {"/a": slow(ended)}
    began = time.monotonic()
    with fetcher(server, timeout=TIMEOUT) as f:
        error = refused(f)
    assert (error.reason, error.measured, error.transient) == ("timeout", "over 0.4 s", True)
    assert time.monotonic() - began < LONG


def test_the_body_of_a_missing_page_is_not_waited_for_either(server, ended):
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\n"
    server.replies = {"/a": says(head, then=drips(ended, b"y"))}
    began = time.monotonic()
    with fetcher(server, timeout=TIMEOUT) as f:
        assert f.ask(f"{ROOT}/a").status == 404
    assert time.monotonic() - began < LONG


def test_a_handshake_that_never_ends_is_a_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        settings = {"connect_to": {HOST: f"127.0.0.1:{port}"}}
        began = time.monotonic()
        with Fetcher("me@x.example", rate=1e6, max_bytes=10, timeout=TIMEOUT, **settings) as f:
            assert refused(f, f"https://{HOST}/").reason == "timeout"
    assert time.monotonic() - began < LONG


# Bodies


def test_a_truncated_body_is_no_page(server):
    server.replies = {"/a": says(HEAD, b"Content-Length: 1000\r\n\r\n", b"y" * 300)}
    with fetcher(server) as f:
        error = refused(f)
    assert (error.reason, error.measured, error.transient) == ("truncated", "300 of 1000 bytes", True)


@pytest.mark.parametrize("chunks", [b"5\r\nab", b"5\r\nabcde\r\n", b"zz\r\nabc\r\n", b"-9\r\nabc\r\n", b"\r\n\r\n"])
def test_a_chunked_body_that_breaks_is_no_page(server, chunks):
    server.replies = {"/a": says(HEAD, b"Transfer-Encoding: chunked\r\n\r\n", chunks)}
    with fetcher(server) as f:
        assert refused(f).reason == "truncated"


@pytest.mark.parametrize(("length", "surplus"), [(5, 3), (5, 300_000), (12_000, 300)])
@pytest.mark.parametrize("encrypted", [False, True])
def test_more_than_was_announced_is_cut_and_the_connection_given_up(server, authority, length, surplus, encrypted):
    def more(handler):
        head = HEAD + f"Content-Length: {length}\r\n\r\n".encode()
        handler.wfile.write(head + b"x" * length + b"HTTP/1.1 200 OK\r\n" + b"y" * surplus)

    server.replies = {"/a": more, "/b": Reply("second")}
    root = ROOT
    if encrypted:
        root = f"https://{HOST}"
        authority.secure(server, HOST)
    with fetcher(server) as f:
        f._session.verify = str(authority.path)
        f.rules(root)
        assert f.ask(f"{root}/a").body == b"x" * length
        assert f.ask(f"{root}/b").body == b"second"
    assert len(server.peers) == 2


@pytest.mark.parametrize("length", ["abc", "-5", "5, 6", "1e3", "0x5", "5 5", "9" * 40])
def test_a_length_that_is_none_is_refused(server, length):
    server.replies = {"/a": says(HEAD, f"Content-Length: {length}\r\n\r\nabcde".encode())}
    with fetcher(server) as f:
        assert refused(f).reason == "http_error"


@pytest.mark.parametrize(
    "answer",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
    ids="no-http status version long-line many-lines".split(),
)
def test_what_is_not_http_is_one_reason(server, answer):
    server.replies = {"/a": says(answer)}
    with fetcher(server) as f:
        error = refused(f)
    assert (error.reason, error.transient) == ("http_error", False)
    assert error.measured.startswith("invalid answer")


def test_strange_headers_are_survived(server):
    server.replies = {"/a": says(HEAD, b"\xff\xfe: \x80\x00\r\nnonsense\r\nContent-Length: 1\r\n\r\nx")}
    with fetcher(server) as f:
        assert f.ask(f"{ROOT}/a").status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "rot13", "gzip, " * 9 + "gzip"])
def test_a_body_that_does_not_unpack_is_refused(server, coding):
    server.replies = {"/a": Reply(b"no such thing, plain text", headers={"Content-Encoding": coding})}
    with fetcher(server) as f:
        error = refused(f)
    assert (error.reason, error.measured) == ("http_error", "content encoding")


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """1.5 MB of gzip that open to 1.5 GB of zeros."""
    zeros = bytes(16_000_000)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]
    return parts[0] + parts[1] * 95


@pytest.mark.parametrize("chunked", [False, True])
def test_a_bomb_stays_packed(server, bomb, chunked):
    coding = {"Content-Encoding": "gzip"}
    packed = f"{len(bomb):x}\r\n".encode() + bomb + b"\r\n0\r\n\r\n"
    chunks = says(HEAD, b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", packed)
    server.replies = {
        "/bomb": chunks if chunked else Reply(bomb, headers=coding),
        "/a": Reply(bomb, status=302, headers=coding | {"Location": "/bomb"}),
        "/gone": Reply(bomb, status=404, headers=coding),
    }
    with fetcher(server) as f:
        f.rules(ROOT)
        tracemalloc.start()
        try:
            assert f.ask(f"{ROOT}/a").target == f"{ROOT}/bomb"
            assert f.ask(f"{ROOT}/gone").body == b""
            error = refused(f, f"{ROOT}/bomb")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (error.reason, error.measured) == ("too_large", "over 100000 bytes")
        assert f.bytes < 500_000
    assert peak < 8_000_000


def test_answers_without_a_page_keep_the_connection(server):
    server.replies = {
        "/a": Reply("x", etag=True),
        "/moved": Reply("this way", status=301, headers={"Location": "/a"}),
        "/gone": Reply("n" * 5000, status=410),
    }
    with fetcher(server) as f:
        etag = f.ask(f"{ROOT}/a").headers["ETag"]
        assert f.ask(f"{ROOT}/a", Validator(f"{ROOT}/a", etag, "", "")).status == 304
        assert f.ask(f"{ROOT}/moved").target == f"{ROOT}/a"
        assert f.ask(f"{ROOT}/gone").status == 410
        assert f.ask(f"{ROOT}/a").body == b"x"
        assert f.requests == 6
    assert len(server.peers) == 1


def test_cookies_are_neither_kept_nor_sent(server):
    server.replies = {"/a": Reply("x", headers={"Set-Cookie": "who=you; Path=/"})}
    with fetcher(server) as f:
        f.ask(f"{ROOT}/a")
        f.ask(f"{ROOT}/a")
    assert all("Cookie" not in asked.headers for asked in server.asked)


# Where a redirect leads


@pytest.mark.parametrize(
    "host",
    "127.0.0.1 169.254.169.254 [::ffff:127.0.0.1] [::1] 2130706433 0x7f000001 0177.0.0.1 0 "
    "localhost inside.example both.example".split(),
)
def test_a_redirect_into_the_private_network_reaches_nothing(server, monkeypatch, host):
    port = int(server.address.rpartition(":")[2])
    server.replies = {"/a": Reply(status=302, headers={"Location": f"http://{host}:{port}/secret"})}
    names = {"inside.example": ["127.0.0.1"], "both.example": ["93.184.216.34", "127.0.0.1"]}
    resolve = socket.getaddrinfo

    def getaddrinfo(name, *args, **settings):
        if name in names:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in names[name]]
        return resolve(name, *args, **settings)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with fetcher(server) as f:
        target = f.ask(f"{ROOT}/a").target
        assert target
        before = len(server.peers)
        error = refused(f, target)
    assert error.reason == "blocked_address"
    assert not error.transient
    assert len(server.peers) == before


def test_a_public_host_needs_no_allowance(server, monkeypatch):
    monkeypatch.setattr("sovereign_tasks.collect.fetch.connect.is_public", lambda peer: peer == "127.0.0.1")
    server.replies = {"/a": Reply("x")}
    with fetcher(server) as f:
        assert f.ask(f"http://{server.address}/a").body == b"x"
    assert {asked.headers["Host"] for asked in server.asked} == {server.address}


def test_a_name_that_nobody_knows_is_unreachable(server):
    with fetcher(server) as f:
        assert [refused(f, f"http://{name}/").reason for name in ("nobody.invalid", "a" * 70)] == ["unreachable"] * 2


@pytest.mark.parametrize("location", ["", "ftp://x.example/", "http://[", "http://:80/", "http://x.example:x/"])
def test_a_redirect_to_no_address_is_refused(server, location):
    server.replies = {"/a": Reply(status=302, headers={"Location": location})}
    with fetcher(server) as f:
        assert refused(f).measured == "302 without a usable Location"


@pytest.mark.parametrize("location", [b"//", b"/\xff\xfe\x00", "/\u00fc".encode()])
def test_a_strange_redirect_is_an_address_like_any_other(server, location):
    server.replies = {"/a": says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ", location, b"\r\n\r\n")}
    with fetcher(server) as f:
        assert f.ask(f"{ROOT}/a").target.startswith(f"{ROOT}/")


# TLS


class Authority:
    """A certificate authority, and the certificates that it signs or that sign themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "authority.pem"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.path.write_bytes(self._certify("authority", self.key, self.key, "authority", True))

    def secure(self, server: Server, name: str, *, itself: bool = False) -> list[str]:
        """Make a server speak TLS under a name; gives the names that clients then ask for."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._certify(name, key, key, name) if itself else self._certify(name, key, self.key, "authority")
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self.folder / f"{name}.pem"
        path.write_bytes(private + signed)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        names: list[str] = []
        context.sni_callback = lambda _socket, asked, _context: names.append(asked)
        server.http.socket = context.wrap_socket(server.http.socket, server_side=True, do_handshake_on_connect=False)
        return names

    def _certify(self, name, key, signer, issuer, authority=False) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        called = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (name, issuer)]
        builder = (
            x509.CertificateBuilder(*reversed(called), key.public_key(), x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        )
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_trusted_certificate_is_good_at_a_mapped_host(server, authority):
    names = authority.secure(server, HOST)
    server.replies = {"/a": Reply("x")}
    with fetcher(server) as f:
        f._session.verify = str(authority.path)
        assert f.ask(f"https://{HOST}/a").body == b"x"
        assert f.ask(f"https://{HOST}/a").body == b"x"
    assert names == [HOST]
    assert len(server.peers) == 1
    assert server.asked[0].headers["Host"] == HOST


@pytest.mark.parametrize(
    ("name", "itself", "measured"),
    [
        (HOST, True, "certificate verify failed: self-signed certificate"),
        (HOST, False, "certificate verify failed: unable to get local issuer certificate"),
    ],
)
def test_an_untrusted_certificate_is_said_to_be_one(server, authority, name, itself, measured):
    authority.secure(server, name, itself=itself)
    with fetcher(server) as f:
        error = refused(f, f"https://{HOST}/a")
    assert error.reason == "bad_tls"
    assert error.measured.replace("self signed", "self-signed") == measured
    assert server.asked == []


def test_a_certificate_for_another_name_is_refused(server, authority):
    authority.secure(server, "other.example")
    with fetcher(server) as f:
        f._session.verify = str(authority.path)
        error = refused(f, f"https://{HOST}/a")
    assert error.reason == "bad_tls"
    assert "Hostname mismatch" in error.measured
    assert server.asked == []


def test_a_server_without_tls_is_bad_tls(server):
    with fetcher(server) as f:
        assert refused(f, f"https://{HOST}/a").reason == "bad_tls"


# robots.txt


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply("Disallow everything?", status=403), ""),
        (Reply(status=404), ""),
        (Reply("busy", status=429, headers={"Retry-After": "1"}), "robots_unreachable"),
        (Reply("broken", status=500), "robots_unreachable"),
        (Reply(b"\xef\xbb\xbfUser-agent: *\nDisallow: /"), "robots"),
        (Reply(b"\xef\xbbUser-agent: *\rDisallow: /"), "robots"),
        (Reply("\ufeffUser-agent: *\nDisallow: /".encode("utf-16-le")), "robots"),
        (Reply(b"\0User-agent: *\nDis\0allow: /\0"), "robots"),
        (Reply("User-agent: *\nDisallow: /\nUser-agent: Sov\nAllow: /"), "robots"),
        (Reply("User-agent: sovereign/2.0 (bot)\nX-Unknown: y\nUser-agent: b\nDisallow: /"), "robots"),
        (Reply("# a\n" * 100_000 + "User-agent: *\nDisallow: /"), "robots"),
        (Reply("# a\n" * 200_000 + "User-agent: *\nDisallow: /"), ""),
        (Reply(b"garbage", headers={"Content-Encoding": "gzip"}), "http_error"),
        (Reply("User-agent: *\nCrawl-delay: 1e9"), "robots"),
        (Reply("User-agent: *\nDisallow: /", status=203), "robots"),
        (Reply(status=204), ""),
    ],
)
def test_robots_rules_hold_however_they_come(server, reply, reason):
    server.replies = {"/robots.txt": reply, "/a": Reply("x")}
    with fetcher(server) as f:
        assert reason == "" or refused(f).reason == reason
        assert reason or f.ask(f"{ROOT}/a").body == b"x"
    assert len(server.statuses("/a")) == (not reason)


def test_robots_that_do_not_come_allow_nothing(server, ended):
    server.replies = {"/robots.txt": says(then=stalls(ended)), "/a": Reply("x")}
    with fetcher(server, timeout=TIMEOUT) as f:
        assert [refused(f).reason for _ in range(3)] == ["timeout"] * 3
    assert server.statuses("/a") == []


@pytest.mark.parametrize(("hops", "reason"), [(5, "robots"), (6, "")])
def test_robots_are_followed_five_times(server, hops, reason):
    server.replies = {f"/{n}": Reply(status=301, headers={"Location": f"/{n + 1}"}) for n in range(1, hops)}
    server.replies["/robots.txt"] = Reply(status=301, headers={"Location": "/1"})
    server.replies |= {f"/{hops}": Reply("User-agent: *\nDisallow: /a"), "/a": Reply("x")}
    with fetcher(server) as f:
        assert f.rules(ROOT).allowed(f"{ROOT}/a") is not bool(reason)


# Many at once


def meet(barrier: threading.Barrier) -> Callable[[BaseHTTPRequestHandler], Reply]:
    """A reply that comes only once as many are asked as the barrier wants."""

    def reply(_: BaseHTTPRequestHandler) -> Reply:
        try:
            barrier.wait(2)
        except threading.BrokenBarrierError:
            return Reply(status=418)
        return Reply("together")

    return reply


def ask_all(f: Fetcher, addresses: list[str]) -> list[bytes]:
    with ThreadPoolExecutor(len(addresses)) as threads:
        return [answer.body for answer in threads.map(f.ask, addresses)]


def test_two_hosts_are_asked_at_the_same_time(server, other):
    barrier = threading.Barrier(2)
    server.replies = other.replies = {"/a": meet(barrier)}
    connect_to = {HOST: server.address, "other.site.example": other.address}
    with fetcher(server, connect_to=connect_to) as f:
        assert ask_all(f, [f"{ROOT}/a", f"{OTHER}/a"]) == [b"together"] * 2


def test_one_host_is_asked_as_often_at_once_as_is_allowed(server):
    server.replies = {"/a": meet(threading.Barrier(3)), "/b": Reply("x")}
    with fetcher(server, connections=3) as f:
        assert ask_all(f, [f"{ROOT}/a"] * 3) == [b"together"] * 3
        assert ask_all(f, [f"{ROOT}/b"] * 9) == [b"x"] * 9
    assert len(server.peers) == 3
    assert len(server.statuses("/robots.txt")) == 1


def test_threads_at_one_host_take_turns_and_keep_the_rate(server):
    at_once, most, lock = 0, 0, threading.Lock()

    def count(_: BaseHTTPRequestHandler) -> Reply:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1
        return Reply("x")

    server.replies = {"/a": count}
    clock = Clock()
    with fetcher(server, clock, rate=4.0) as f:
        assert ask_all(f, [f"{ROOT}/a"] * 8) == [b"x"] * 8
        assert f.requests == 9
        assert f.bytes == 8
    assert most == 1
    assert clock.now == pytest.approx(8 * 0.25)
    assert len(server.peers) == 1


# A host that is down


def test_a_dead_host_is_left_alone_and_the_others_go_on(server, other):
    server.replies = {f"/{n}": says() for n in range(20)}
    other.replies = {f"/{n}": Reply("x") for n in range(20)}
    connect_to = {HOST: server.address, "other.site.example": other.address}
    clock = Clock()
    reasons = []
    with fetcher(server, clock, rate=1.0, connect_to=connect_to) as f:
        for n in range(20):
            reasons.append(refused(f, f"{ROOT}/{n}"))
            assert f.ask(f"{OTHER}/{n}").body == b"x"
    assert {(r.reason, r.measured) for r in reasons[5:]} == {("unreachable", "5 failures in a row before")}
    assert {r.measured for r in reasons[:5]} == {"RemoteDisconnected"}
    assert not server.statuses("/5")
    assert clock.now < 30


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(status=503), Reply(status=429)])
def test_a_host_that_only_fails_is_left_alone(server, reply):
    server.replies = {f"/{n}": reply for n in range(9)}
    with fetcher(server) as f:
        assert [f.ask(f"{ROOT}/{n}").status for n in range(5)] == [reply.status] * 5
        assert refused(f, f"{ROOT}/5").measured == "5 failures in a row before"


def test_a_good_answer_in_between_keeps_a_host(server):
    server.replies = {f"/{n}": Reply("x") if n == 4 else Reply(status=500) for n in range(9)}
    with fetcher(server) as f:
        for n in range(9):
            assert f.ask(f"{ROOT}/{n}").status in (200, 500)


def test_a_dead_host_with_robots_that_hang_costs_one_timeout(server, ended):
    server.replies = {"/robots.txt": says(then=stalls(ended))}
    with fetcher(server, timeout=TIMEOUT) as f:
        for n in range(50):
            assert refused(f, f"{ROOT}/{n}").reason == "timeout"
    assert len(server.peers) == 1
