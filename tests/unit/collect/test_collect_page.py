from __future__ import annotations

import pytest

from sovereign_tasks.collect.page import PageFacts, read_page

ADDRESS = "http://www.site.example/shop/"


def read(body: bytes, content_type: str = "text/html") -> PageFacts:
    return read_page(ADDRESS, body, {"Content-Type": content_type})


@pytest.mark.parametrize(
    "body",
    [
        b"<a href=x>",
        b"<html><body><p>The end.</p></body></html><p><a href=x>",
        b"<div>" * 5000 + b"<a href=x>",
        b"<table><tr><a href=x></table>",
        b"<script>'<a href=no>'</script><!-- <a href=no> --><a href=x>",
    ],
)
def test_links_are_read_wherever_they_stand(body):
    assert read(body).links == [f"{ADDRESS}x"]


@pytest.mark.parametrize("body", [b"", b" ", b"\0", b"<!--", b"words"])
def test_a_page_of_nothing_leads_nowhere(body):
    assert read(body) == PageFacts([], "", noindex=False, nofollow=False)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<a href='ä'>".encode("latin-1"), "text/html; charset=iso-8859-1"),
        ("<meta charset=utf-8><a href='ä'>".encode("latin-1"), "text/html; charset=iso-8859-1"),
        ("<a href='ä'>".encode(), "text/html; charset=none-such"),
        ("<a href='ä'>".encode("utf-8-sig"), "text/html"),
        ("\ufeff<a href='ä'>".encode("utf-16le"), "text/html"),
        ("<meta charset=iso-8859-1><a href='ä'>".encode("latin-1"), "text/html"),
        ("<p>Über die Dächer, schön gedeckt.</p><a href='ä'>".encode(), "text/html"),
    ],
)
def test_charset_of_header_mark_page_or_bytes(body, content_type):
    assert read(body, content_type).links == [f"{ADDRESS}%C3%A4"]


@pytest.mark.parametrize(
    ("header", "noindex", "nofollow"),
    [
        ("googlebot: nofollow, noindex", False, False),
        ("googlebot: nofollow\nnoindex", True, False),
        ("noindex\nsovereign: nofollow", True, True),
    ],
)
def test_each_robots_header_stands_for_itself(header, noindex, nofollow):
    facts = read_page(ADDRESS, b"<p>words", {"Content-Type": "text/html", "X-Robots-Tag": header})
    assert (facts.noindex, facts.nofollow) == (noindex, nofollow)


def test_links_are_read_up_to_a_number():
    facts = read(b"".join(b"<a href=%d>" % n for n in range(6000)))
    assert (len(facts.links), facts.dropped) == (5000, 1000)


def test_the_first_base_and_canonical_count_and_nofollow_is_one_of_many_words():
    body = b"""<base target=_top><base href="/b/"><base href="/c/">
        <link rel="shortlink canonical" href="own"><link rel=canonical href="other">
        <meta name=" Robots " content="NoIndex, x"><meta name=sovereign content=nofollow>
        <meta name=googlebot content=none>
        <a href=1 rel="noopener nofollow">1</a><a name=2>2</a><A HREF=3>3</A><a href=mailto:a@b.example>4</a>
        <a href=3#x>5</a>
    """
    root = "http://www.site.example"
    assert read(body) == PageFacts([f"{root}/b/3"], f"{root}/b/own", noindex=True, nofollow=True)
