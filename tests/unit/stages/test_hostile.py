"""A night with a hostile site and a good folder: each trap has its outcome, and the folder is none the worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sovereign_tasks.records import keyed_hash
from sovereign_tasks.stages import gather
from sovereign_tasks.stages.context import open_context
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
    jobs = [gather.curate(gather.collect(job)) for job in gather.begin("siding", "night")]
    server.close()
    assert [job for job in jobs if "failed" in job] == []
    context = open_context("siding", jobs[0]["build_id"])
    rows = {
        source: context.store.staged(context.run, f"documents-{source}").to_pylist() for source in ("site", "house")
    }
    left_out = {
        row["row_id"]: row["reason"]
        for name in ("rejected-collect-site.00000", "rejected-curate-site")
        for row in context.store.staged(context.run, name).to_pylist()
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
    assert night["left out"][keyed_hash("document", "site", "http://www.siding.example/deep", "")] == "no_text"
    assert not any("root:" in text or "lol" in text for text in texts.values())
    assert night["house"] == 10
