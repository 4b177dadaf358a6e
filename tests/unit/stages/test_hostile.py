"""Nights with hostile servers and a good folder: each trap has its outcome, and the folder is none the worse."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sovereign_tasks.ledger import Ledger, open_ledger
from sovereign_tasks.records import Snapshot, document_id
from sovereign_tasks.stages import curation, gather
from sovereign_tasks.stages.context import open_context
from sovereign_tasks.stages.parts import staged_parts
from tests.unit.collect.collect_helpers import Reply, Server
from tests.unit.stages import nights

MODEL = """
model: siding
description: Assistant for siding crews
sources:
  - name: site
    kind: web
    start: ["http://www.siding.example/"]
    connect_to: {www.siding.example: "%s"}
    requests_per_second: 1000
    timeout_seconds: 2
    max_bytes: 12000000
    licence: owner
    consent: own-content
  - {name: house, kind: files, folder: "%s", licence: owner, consent: own-content}
domain: {keywords: [siding, plank, trim, board, house, nail]}
"""
BOMB = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
SITEMAP = (
    f'<?xml version="1.0"?><!DOCTYPE urlset [<!ENTITY l0 "lol">{BOMB}<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    "<urlset><url><loc>http://www.siding.example/listed</loc></url>"
    "<url><loc>http://www.siding.example/&l9;&f;</loc></url></urlset>"
)
FAQ = {
    "@type": "FAQPage",
    "mainEntity": [
        {
            "@type": "Question",
            "name": "How long does vinyl siding last?\ud800",
            "acceptedAnswer": {"@type": "Answer", "text": "About forty years, \udfff when the trim is dry."},
        }
    ],
}


def page(words: str) -> str:
    body = nights.page("cedar", 30).replace("# Cedar siding\n", "").replace("\n\n", "</p><p>")
    return f"<title>Siding</title><p>{words}</p><p>{body}</p>"


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The site's texts by path and its rejections' reasons by id, and how many documents the folder gave."""
    server = Server()
    html, utf8 = {"Content-Type": "text/html"}, {"Content-Type": "text/html; charset=utf-8"}
    pages = {
        "/lies": (page("Ein Brett für 12 €.").encode("cp1252"), utf8),
        "/lies-too": (page("Ein Brett für 12 €.").encode(), {"Content-Type": "text/html; charset=iso-8859-1"}),
        "/meta": (b'<meta charset="windows-1251">' + page("Доска").encode("cp1251"), html),
        "/nul": (page("A bo\0ard\0 of oak.").encode(), utf8),
        "/half": (page("A board ").encode() + b"\xed\xa0\x80 of elm.", utf8),
        "/faq": (f'<script type="application/ld+json">{json.dumps(FAQ)}</script>{page("A plank.")}'.encode(), utf8),
        "/deep": (b"<div>" * 2_000_000 + b"siding", utf8),
        "/listed": (page("A page that the sitemap lists.").encode(), utf8),
    }
    links = "".join(f'<a href="{path}">x</a>' for path in pages if path != "/listed")
    server.replies = {path: Reply(body, headers=headers) for path, (body, headers) in pages.items()}
    server.replies |= {"/": Reply(links), "/sitemap.xml": Reply(SITEMAP, headers={"Content-Type": "application/xml"})}
    nights.write_first_day(tmp_path / "documents")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "siding.yaml").write_text(MODEL % (server.address, tmp_path / "documents"))
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path / "config"))
    jobs = [curation.curate(gather.collect(job)) for job in gather.begin("siding", "night")]
    server.close()
    assert [job for job in jobs if "failed" in job] == []
    context = open_context("siding", jobs[0]["build_id"])
    rows = {
        source: [row for part in staged_parts(context, f"documents-{source}") for row in part.to_pylist()]
        for source in ("site", "house")
    }
    left_out = {
        row["row_id"]: row["reason"]
        for name in ("rejected-collect-site", "rejected-curate-site")
        for part in staged_parts(context, name)
        for row in part.to_pylist()
    }
    texts = {row["url"].removeprefix("http://www.siding.example"): row["text"] for row in rows["site"]}
    return {"texts": texts, "left out": left_out, "house": len(rows["house"])}


def test_each_trap_has_its_outcome_and_the_other_source_none(night: dict[str, Any]) -> None:
    texts = night["texts"]
    assert texts["/lies"].startswith("Ein Brett für 12 €.")
    assert texts["/lies-too"].startswith("Ein Brett für 12 €.")
    assert texts["/meta"].startswith("Доска")
    assert texts["/nul"].startswith("A board of oak.")
    assert texts["/half"].startswith("A board")
    assert "About forty years" in texts["/faq"]
    assert texts["/listed"].startswith("A page that the sitemap lists.")
    for text in texts.values():
        assert "\0" not in text
        text.encode()  # has no half of a character
    assert "/deep" not in texts
    assert night["left out"][document_id("site", "http://www.siding.example/deep", "")] == "no_text"
    assert not any("root:" in text or "lol" in text for text in texts.values())
    assert night["house"] == 10


Trap = Reply | Callable[[BaseHTTPRequestHandler], Reply | None]
WEB = "kind: web, start: ['%s://%s/']"
FEED = "kind: feed, full_text: entry, feeds: ['%s://%s/']"
TRAP = """  - {name: %s, %s, connect_to: {%s: "%s"}, requests_per_second: 1000, timeout_seconds: 0.5, max_bytes: 100000,
     licence: owner, consent: own-content}
"""
SURROGATE = {
    "version": "https://jsonfeed.org/version/1.1",
    "items": [{"id": "a\ud800", "title": "a\ud800b", "content_text": "b\udfff", "author": {"name": "c\ud800"}}],
}


@pytest.fixture
def ended() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def traps(address: str, ended: threading.Event) -> dict[str, tuple[str, dict[str, Trap]]]:
    """By source, its settings and what its host answers; other paths are 404."""

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not ended.wait(0.05):
                handler.wfile.write(b"X-Drip: 1\r\n")
        except OSError:
            pass

    def redirect(target: str) -> Reply:
        return Reply(status=302, headers={"Location": target})

    packed = Reply(gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"})
    laughs = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY l0 "lol">{BOMB}]><rss version="2.0"><channel><item><guid>'
    laughs += "urn:1</guid><title>&l9;</title><description>&l9;</description></item></channel></rss>"
    return {
        "hang": (WEB % ("http", "hang.example"), {"/": lambda _: ended.wait() and None}),
        "drip": (WEB % ("http", "drip.example"), {"/": drip}),
        "packed": (WEB % ("http", "packed.example"), {"/": packed}),
        "loop": (WEB % ("http", "loop.example"), {"/": redirect("/b"), "/b": redirect("/")}),
        "inside": (
            WEB % ("http", "inside.example") + f", hosts: ['{address}']",
            {"/": redirect(f"http://{address}/secret")},
        ),
        "tls": (WEB % ("https", "tls.example"), {}),
        "busy": (WEB % ("http", "busy.example"), {"/": Reply(status=429, headers={"Retry-After": "0"})}),
        "robots": (WEB % ("http", "robots.example"), {"/robots.txt": Reply(status=500), "/": Reply(page("x"))}),
        "laughs": (FEED % ("http", "laughs.example"), {"/": Reply(laughs, headers={"Content-Type": "text/xml"})}),
        "surrogate": (FEED % ("http", "surrogate.example"), {"/": Reply(json.dumps(SURROGATE))}),
    }


def published(state: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Ledger, str, Snapshot]:
    """A whole night in an installation of its own: its ledger, its only build and its snapshot."""
    state.mkdir()
    monkeypatch.setenv("SOVEREIGN_STATE", str(state))
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(config))
    assert nights.run_night("one")
    ledger = open_ledger(state)
    (build,), (snapshot,) = ledger.builds("siding"), ledger.snapshots("siding")
    return ledger, build, snapshot


def test_a_night_of_traps_is_published_as_if_they_were_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: threading.Event
) -> None:
    monkeypatch.setattr(ThreadingHTTPServer, "handle_error", lambda *_: None)  # that a client hung up
    server = Server()
    set_up = traps(server.address, ended)

    def answer(handler: BaseHTTPRequestHandler) -> Reply | None:
        _, paths = set_up.get(handler.headers.get("Host", "").removesuffix(".example"), ("", {}))
        reply = paths.get(handler.path, Reply(status=404))
        return reply(handler) if callable(reply) else reply

    server.otherwise = answer
    nights.write_first_day(tmp_path / "documents")
    nights.write_config(tmp_path / "alone", tmp_path / "documents")
    nights.write_config(tmp_path / "trapped", tmp_path / "documents")
    (tmp_path / "trapped" / "platform.yaml").write_text("contact: owner@siding.example\n")
    path = tmp_path / "trapped" / "siding.yaml"
    sources = [TRAP % (name, settings, f"{name}.example", server.address) for name, (settings, _) in set_up.items()]
    path.write_text(path.read_text().replace("sources:\n", "sources:\n" + "".join(sources)))

    _, _, wanted = published(tmp_path / "one", tmp_path / "alone", monkeypatch)
    ledger, build, snapshot = published(tmp_path / "two", tmp_path / "trapped", monkeypatch)
    server.close()
    assert sum(wanted.counts.values()) == 30
    assert (snapshot.counts, snapshot.content_hash) == (wanted.counts, wanted.content_hash)
    assert ledger.is_committed("siding", build)
    failures = ledger.failures("siding", build)
    assert failures.pop("collect:tls").startswith("source tls: https://tls.example/ can't be reached (")
    assert failures == {
        f"collect:{name}": f"source {name}: http://{name}.example/ can't be reached ({why})."
        for name, why in {
            "hang": "over 0.5 s",
            "drip": "over 0.5 s",
            "busy": "429",
            "robots": "robots.txt answered 500",
        }.items()
    }
    reports = {r.stage: r.rejected for r in ledger.reports("siding", build)}
    assert {stage: rejected for stage, rejected in reports.items() if rejected} == {
        "collect:packed": {"too_large": 1},
        "collect:loop": {"redirect": 1, "redirect_loop": 1},
        "collect:inside": {"redirect": 1, "blocked_address": 1},
        "curate:laughs": {"too_short": 1},
        "curate:surrogate": {"too_short": 1},
    }
    assert not server.statuses("/secret")
    assert server.statuses("/").count(429) == 3
