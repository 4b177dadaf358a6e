from __future__ import annotations

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from sovereign_tasks.curate.extract import decode, extract
from sovereign_tasks.curate.normalize import normalize

PAGES = Path(__file__).resolve().parents[4] / "shared/data/pages"
PAGE = """<html><head><title>Clean gutters | Shop</title></head><body>
<nav><a href="/">Home of the shop</a><a href="/b">Our blog</a></nav>
<main><article><h1>How to clean gutters</h1>
<p>Gutters carry water from the roof to the ground and want cleaning
<b>twice a year</b>, by two people with a ladder.</p>
<h2>What do I need?</h2><p>A ladder, a <a href="/x">scoop</a> and a hose. It takes two hours for a normal home.</p>
<h2>Steps</h2><ol><li>Set the ladder on firm ground.</li><li>Scoop the leaves into a bucket.</li></ol>
<table><tr><th>Material</th><th>Cost</th></tr><tr><td>Steel</td><td>$8-15</td></tr></table></article></main>
<div class="cookie-banner">We use cookies.</div><footer><h3>Contact the shop</h3><p>Imprint and privacy</p></footer>
<script type="application/ld+json">{"@context":"https://schema.org","@graph":[{"@type":"FAQPage","mainEntity":[
{"@type":"Question","name":"What do I need?","acceptedAnswer":{"@type":"Answer","text":"A ladder."}},
{"@type":"Question","name":"Is it &lt;i&gt;safe&lt;/i&gt;?",
"acceptedAnswer":{"@type":"Answer","text":"<p>With two people, yes.</p>"}}]}]}
</script></body></html>"""


def test_structure_of_a_page_survives_and_chrome_does_not() -> None:
    found = extract(PAGE.encode(), "text/html; charset=utf-8")
    assert found.title == "How to clean gutters"
    assert "How to clean gutters" not in found.text
    assert "cleaning twice a year, by two" in found.text
    for line in (
        "## What do I need?",
        "## Steps",
        "1. Set the ladder on firm ground.",
        "2. Scoop the leaves into a bucket.",
    ):
        assert line in found.text.split("\n")
    assert re.search(r"\| Steel \| \$8-15 \|", found.text)
    for chrome in ("Our blog", "cookies", "Imprint", "Contact the shop", "<", "**"):
        assert chrome not in found.text


def test_faq_data_adds_only_questions_that_the_page_does_not_show() -> None:
    text = extract(PAGE.encode(), "text/html").text
    assert text.count("What do I need?") == 1
    assert text.endswith("## Is it safe?\n\nWith two people, yes.")


def test_broken_faq_data_is_passed_over() -> None:
    page = PAGE.replace('"@graph":[', '"@graph":[,')
    assert extract(page.encode(), "text/html").text.count("## ") == 2


@pytest.mark.parametrize("opened", ["[", '{"@graph":'])
def test_faq_data_nested_without_end_is_passed_over(opened: str) -> None:
    for depth in (900, 100_000):
        data = opened * depth + "1" + {"[": "]"}.get(opened, "}") * depth
        page = PAGE.replace("</body>", f'<script type="application/ld+json">{data}</script></body>')
        assert extract(page.encode(), "text/html").text.endswith("With two people, yes.")


def test_half_characters_in_faq_data_are_left_out() -> None:
    page = PAGE.replace("With two people", r"With\ud800 two people")
    assert extract(page.encode(), "text/html").text.endswith("With two people, yes.")


def test_preformatted_text_keeps_its_lines_and_unclosed_elements_do_not() -> None:
    page = PAGE.replace("<h2>Steps", "<PRE>one\n  two</PRE ><h2>Steps") + "<textarea>never\nclosed"
    assert "one\n  two" in extract(page.encode(), "text/html").text


@pytest.mark.parametrize(
    "unit", ["[", "![a](", "[](a ", "# ", "#  # x", "<!--", "```", "---\n", "*a ", "**", 'title: "   \n', "<pre ", " "]
)
@pytest.mark.parametrize("media_type", ["text/markdown", "text/html"])
def test_each_pattern_ends_on_its_worst_text(unit: str, media_type: str) -> None:
    body = "# " + unit * (60_000 // len(unit)) + "x\n"
    for text in (body, f"---\ntitle: {body}---\n{body}"):
        assert isinstance(normalize(extract(text.encode(), media_type).text), str)


def test_short_page_keeps_its_headings_and_no_navigation() -> None:
    main = "<h1>Hours</h1><h2>Are you open?</h2><p>Yes, at nine.</p>"
    page = f"<nav><a href=/>Home page of ours</a></nav>{main}<footer>Imprint</footer>"
    found = extract(f"<html><body>{page}</body></html>".encode(), "text/html")
    assert (found.title, found.text) == ("Hours", "## Are you open?\n\nYes, at nine.")


@pytest.mark.parametrize(
    ("body", "declared"),
    [
        ("Dächer für 12 €".encode(), "iso-8859-1"),  # the header lies
        ("Dächer für 12 €".encode("cp1252"), "iso-8859-1"),  # as browsers read it
        ("Dächer für 12 €".encode("utf-16"), ""),
        ("\ufeffDächer für 12 €".encode(), ""),
        ("Dächer für 12 €".encode("cp1252"), "no-such-charset"),
        ("Dächer für 12 €".encode("cp1252"), "undefined"),  # Python's codec that always fails
        ("Dächer für 12 €".encode("cp1252"), "a\0b"),
    ],
)
def test_charsets(body: bytes, declared: str) -> None:
    assert decode(body, declared).startswith("Dächer für 12")


def test_meta_charset_counts_where_bytes_are_not_utf8() -> None:
    page = "<html><head><meta charset=windows-1251></head><body><p>Крыша дома</p></body></html>"
    assert "Крыша дома" in decode(page.encode("cp1251"))


def test_markdown_is_kept_without_front_matter_comments_and_link_targets() -> None:
    front = "---\ntitle: 'Ridge vents'\n---\n<!-- draft -->\n# Ridge vents\n\n"
    body = front + "See [code](https://x.example/a_(b)).\n\n```\n<!-- stays -->\n```"
    found = extract(body.encode(), "text/markdown")
    assert found.title == "Ridge vents"
    assert found.text == "See code.\n\n```\n<!-- stays -->\n```"


def test_a_rule_line_is_no_front_matter_and_the_source_names_the_title() -> None:
    found = extract(b"First\n---\nSecond\n---\n", "text/plain", "Given")
    assert (found.title, found.text) == ("Given", "First\n---\nSecond\n---")


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"\x00\x01\xff\xfe" * 50])
def test_nothing_to_take_is_no_error(body: bytes) -> None:
    assert isinstance(extract(body, "text/html").text, str)


def test_other_media_types_give_no_text() -> None:
    assert extract(b"PK words", "application/zip").text == ""


@pytest.mark.skipif(not PAGES.exists(), reason="the shared pages are not here")
def test_headings_of_real_pages_survive() -> None:
    kept = total = 0
    for page in sorted(PAGES.iterdir()):
        text = extract((page / "source.html").read_bytes(), "text/html").text
        have = {re.sub(r"\W+", "", line).casefold() for line in text.split("\n") if line.startswith("#")}
        gold = BeautifulSoup((page / "expected.html").read_text("utf-8"), "lxml").find_all(re.compile("^h[2-6]$"))
        kept += sum(re.sub(r"\W+", "", h.get_text()).casefold() in have for h in gold)
        total += len(gold)
    assert kept / total > 0.8
