from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st

from sovereign_tasks.curate.extract import decode, extract
from sovereign_tasks.curate.normalize import normalize
from sovereign_tasks.curate.unreadable import Unreadable

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


ARTICLE = """<html><head><base href="/guides/"></head><body>
<nav><a href="/all">All of our guides</a></nav><main><article><h1>Gutters</h1>
<p>Gutters carry water from the roof to the ground, and they want cleaning twice a year by two people with a ladder.</p>
%s
<p>A downpipe that gurgles is blocked further down, so rod it from below before the water finds its way indoors.</p>
<p>Where two runs meet, look for a joint that has opened in the frost: it drips on the same brick for years, and nobody
sees it until the plaster inside goes dark. A new seal takes an hour and costs less than paint for the wall.</p>
</article></main><footer><a href="/imprint">Imprint</a></footer></body></html>"""


@pytest.mark.parametrize(
    ("markup", "written"),
    [
        ("<dl><dt>Fascia</dt><dd>The board behind it.</dd></dl>", "Fascia\n: The board behind it."),
        ("<dl><dt>Is it safe?</dt><dd>With two people.</dd></dl>", "## Is it safe?\n\nWith two people."),
        ("<details><summary>Why so?</summary><p>Leaves rot.</p></details>", "## Why so?\n\nLeaves rot."),
        (
            "<h2><button aria-expanded='false'>Can I do it?</button></h2><div><p>Yes, alone.</p></div>",
            "## Can I do it?\n\nYes, alone.",
        ),
        ("<p><strong>How much is it?</strong></p><p>Ten dollars.</p>", "### How much is it?\n\nTen dollars."),
        ("<div role=heading aria-level=2>Tools</div><p>A scoop.</p>", "## Tools\n\nA scoop."),
        (
            "<ol start=3><li>Rinse<ul><li>the run<li>the pipe</ul></li><li>Dry <p>in the sun</p></li></ol>",
            "3. Rinse\n   - the run\n   - the pipe\n4. Dry\n\n   in the sun",
        ),
        (
            "<table><tr><th>Part</th><th colspan=2>Cost</th></tr><tr><td rowspan=2>Run</td><td>8</td><td>a|b</td></tr>"
            "<tr><td>9</td><td></td></tr></table>",
            "| Part | Cost |  |\n|---|---|---|\n| Run | 8 | a\\|b |\n|  | 9 |  |",
        ),
        (
            "<table><tr><td><h2>Tools</h2></td><td>A scoop.</td></tr><tr><td>B</td></tr></table>",
            "## Tools\n\nA scoop.\n\nB",
        ),
        ("<pre><code>go_to(x)\n  __y__</code></pre>", "```\ngo_to(x)\n  __y__\n```"),
        ("<figure><img src=a.png><figcaption>A clean run.</figcaption></figure>", "A clean run."),
        ("<p>Of <i>snake_case</i> and x<sup>2</sup>,<br>line two.</p>", "Of snake_case and x2,\nline two."),
        ("<blockquote><p>Look up.</p></blockquote>", "Look up."),
    ],
)
def test_structure_between_two_paragraphs_is_written_as_markdown(markup: str, written: str) -> None:
    text = extract((ARTICLE % markup).encode(), "text/html").text
    assert text.split("ladder.\n\n")[1].split("\n\nA downpipe")[0] == written


def test_cells_that_span_everything_are_no_table() -> None:
    rows = "<tr><td colspan=99 rowspan=99>A gutter.</td></tr>" * 5000
    text = extract((ARTICLE % f"<table>{rows}</table>").encode(), "text/html").text
    assert "|" not in text
    assert text.count("A gutter.") == 5000


@pytest.mark.parametrize(
    "markup",
    [
        '<div class="newsletter-signup"><p>Get our letters every week.</p></div>',
        '<div><p><a href="/a">Ten gutters that you will not believe</a></p></div>',
        "<noscript><p>Switch on JavaScript.</p></noscript>",
    ],
)
def test_chrome_between_two_paragraphs_is_left_out(markup: str) -> None:
    text = extract((ARTICLE % markup).encode(), "text/html").text
    assert text.split("ladder.")[1].startswith("\n\nA downpipe")


def test_an_anchor_named_after_cookies_is_no_banner() -> None:
    markup = "<h2 id='cookies'>Why do cookies crumble?</h2><p>They are dry.</p>"
    assert "## Why do cookies crumble?\n\nThey are dry." in extract((ARTICLE % markup).encode(), "text/html").text


LINKS = """<p>See <a href="scoops#big">scoops</a>, <a href="/tools">tools</a>, <a href="//other.example/x">another</a>,
<a href="https://third.example/?a=1#b">a third</a>, <a href="/tools#again">tools</a>, <a href="#here">above</a>,
<a href="mailto:a@b.example">mail</a>, <a href="javascript:go()">go</a> and <a href="http://[broken/">broken</a>.</p>"""


def test_links_of_the_main_text_are_absolute_and_each_once() -> None:
    body = (ARTICLE % LINKS).encode()
    assert extract(body, "text/html", address="https://a.example/b/c?d#e").links == [
        "https://a.example/guides/scoops",
        "https://a.example/tools",
        "https://other.example/x",
        "https://third.example/?a=1",
    ]
    assert extract(body, "text/html").links == ["https://third.example/?a=1"]


def test_links_are_bounded() -> None:
    many = "".join(f'<p>Word {n} of <a href="https://a.example/{n}">it</a> all.</p>' for n in range(150))
    assert len(extract((ARTICLE % many).encode(), "text/html").links) == 100


def test_markdown_gives_its_links_too() -> None:
    body = b"[a](b.md#c) ![i](i.png) <https://d.example/e> [a](b.md)\n```\n[no](https://no.example)\n```\n"
    found = extract(body, "text/markdown", address="https://a.example/x/y.md")
    assert found.links == ["https://a.example/x/b.md", "https://d.example/e"]
    assert found.text.startswith("a i https://d.example/e a\n")


@pytest.mark.parametrize(
    ("data", "written"),
    [
        (
            '{"@type":"WebPage","mainEntity":{"@type":"QAPage","mainEntity":{"@type":"Question","name":"Why moss?",'
            '"suggestedAnswer":[{"@type":"Answer","upvoteCount":1,"text":"Sun."},'
            '{"@type":"Answer","upvoteCount":7,"text":"Shade."}]}}}',
            "## Why moss?\n\nShade.",
        ),
        (
            '{"@type":["HowTo"],"name":"Fit a guard","step":[{"@type":"HowToStep","text":"Cut it."},'
            '{"@type":"HowToSection","itemListElement":[{"@type":"HowToStep","name":"Bend"},"Clip\nit."]}]}',
            "## Fit a guard\n\n1. Cut it.\n2. Bend\n3. Clip it.",
        ),
        (
            '{"@type":"HowTo","name":"Known","step":["Gutters carry water from the roof to the ground","Odd"]}',
            "",
        ),
        ('{"@type":"HowTo","name":7,"step":{"text":[]}}', ""),
        ('[{"@type":"https://schema.org/HowTo","name":"One","step":"Only"}, 3, null]', "## One\n\n1. Only"),
    ],
)
def test_structured_data_adds_what_the_page_does_not_show(data: str, written: str) -> None:
    page = ARTICLE.replace("</body>", f'<script type="application/ld+json">{data}</script></body>') % ""
    assert extract(page.encode(), "text/html").text.split("the wall.")[1].strip() == written


def test_characters_of_private_use_are_no_marks() -> None:
    markup = "<p>An icon \U000f0001\U00100001 and &#xF0002; and &#xFFFF; &#1; here.</p>"
    assert "An icon and and" in extract((ARTICLE % markup).encode(), "text/html").text


TAGS = (
    "a article b br code dd details div dl dt figure h1 h2 li nav ol p pre q script span summary table td tr ul".split()
)
PIECES = st.one_of(
    st.sampled_from([f"<{close}{tag}>" for tag in TAGS for close in ("", "/")]),
    st.sampled_from(
        ["<a href='", "<!--", "]]>", "&#xF0000;", "&amp", "<td colspan=0 rowspan=99999999999>", "<ol start=-1>"]
    ),
    st.text(max_size=60),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join), st.sampled_from(["text/html", "text/markdown", "text/plain", ""]))
def test_any_markup_gives_clean_text(markup: str, media_type: str) -> None:
    found = extract(markup.encode("utf-8", "ignore"), media_type, address="https://a.example/")
    normalize(found.text).encode()
    assert all(link.startswith(("http://", "https://")) and "#" not in link for link in found.links)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["text/html", "text/markdown", "application/pdf", "text/vtt", "x", ""]))
def test_any_bytes_give_text_or_are_unreadable(body: bytes, media_type: str) -> None:
    with suppress(Unreadable):
        normalize(extract(body, media_type).text).encode()
