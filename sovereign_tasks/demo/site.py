"""The almanac's web site: every address it answers on a day, with the dirt of a real site."""

from __future__ import annotations

import datetime as dt
import functools
import gzip
import hashlib
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

import jinja2
import markupsafe
from markdown_it import MarkdownIt

from sovereign_tasks.demo.facts import CONTENT, fill, read_yaml
from sovereign_tasks.demo.prices import write_price_sheets
from sovereign_tasks.demo.writing import Article, read_articles, read_changes, revise, write_sheets

HOST = "www.roofers-almanac.example"
BASE = f"http://{HOST}"
FIRST_DAY = dt.datetime(2026, 5, 1, 6, 0, tzinfo=dt.UTC)
INDEXES = {  # section page -> (title, folders it lists)
    "/costs/": ("Price sheets", ("costs",)),
    "/prices/": ("Prices by town", ("prices",)),
    "/materials/": ("Material sheets", ("materials",)),
    "/care/": ("Upkeep and wear", ("care",)),
    "/climate/": ("Weather and climate", ("weather", "climate")),
    "/guides/": ("Guides", ("hiring", "money", "parts", "rules", "decide", "trade")),
    "/how-to/": ("How-to", ("how-to",)),
    "/faq/": ("Questions and answers", ("faq",)),
}


@dataclass(frozen=True)
class Page:
    """What one address answers: status, headers and the bytes as served."""

    path: str
    title: str = ""
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    status: int = 200
    location: str | None = None
    last_modified: dt.datetime = FIRST_DAY

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:20]}"'


@functools.cache
def _oddities() -> dict[str, Any]:
    return read_yaml("oddities.yaml")


@functools.cache
def _layout() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(CONTENT)
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(
        "layout.html"
    )


def _odd_articles() -> list[Article]:
    return [Article(**{**row, "markdown": row["markdown"].strip()}) for row in _oddities()["pages"]]


@functools.cache
def _first_articles() -> tuple[Article, ...]:
    written = [a for name in ("articles.md", "howto.md", "faq.md") for a in read_articles(name)]
    quotes = _oddities()["testimonials"]
    written = [*write_sheets(1), *write_price_sheets(1), *written]
    return tuple(
        replace(a, markdown=f"{a.markdown.rstrip()}\n\n> {quotes[a.path]}\n") if a.path in quotes else a
        for a in written
    )


def _copy(article: Article, path: str, swaps: Mapping[str, str]) -> Article:
    """A copy under another address with a few words changed."""
    markdown = article.markdown
    for old, new in swaps.items():
        markdown = markdown.replace(old, new)
    return replace(article, path=path, markdown=markdown)


def _index(path: str, title: str, groups: Iterable[tuple[str, Iterable[tuple[str, str]]]], intro: str) -> Article:
    lines = [intro]
    for heading, links in groups:
        lines += ["", f"## {heading}", "", *(f"- [{label}]({target})" for label, target in links)]
    return Article(path, title, "\n".join(lines))


def _section_pages() -> list[Article]:
    pages = []
    for path, (title, folders) in INDEXES.items():
        groups = [
            (
                folder.capitalize(),
                [(a.title, a.path) for a in _first_articles() if a.path.split("/")[1] == folder],
            )
            for folder in folders
        ]
        pages.append(_index(path, title, groups, f"All pages of the almanac under {title.lower()}."))
    return pages


def _home(latest: Iterable[Article]) -> Article:
    odd = _oddities()
    more = [(row["title"], row["path"]) for row in odd["pages"]]
    more += [(f"Reprint {number}", path) for number, path in enumerate(odd["copies"], 1)]
    groups = [
        ("Latest", [(a.title, a.path) for a in latest]),
        ("Sections", [(title, path) for path, (title, _) in INDEXES.items()]),
        ("More from the almanac", more),
    ]
    return _index("/", "Roofing facts for owners and crews", groups, "Prices, lives and weather of every common roof.")


def _modified(article: Article, fresh: bool) -> dt.datetime:
    if fresh:
        return FIRST_DAY + dt.timedelta(days=1)
    age = int(hashlib.sha256(article.path.encode()).hexdigest(), 16) % 500
    return FIRST_DAY - dt.timedelta(days=1 + age, hours=age % 7)


def _json_ld(article: Article) -> markupsafe.Markup | None:
    if not article.path.startswith("/faq/") or not article.questions:
        return None
    entities = [
        {"@type": "Question", "name": question, "acceptedAnswer": {"@type": "Answer", "text": answer}}
        for question, answer in article.questions
    ]
    data = json.dumps({"@context": "https://schema.org", "@type": "FAQPage", "mainEntity": entities})
    return markupsafe.Markup(data.replace("<", "\\u003c"))  # noqa: S704 - our own text


def _page(article: Article, fresh: bool = False) -> Page:
    shelf = [a for a in _first_articles() if a.path != article.path]
    related = random.Random(article.path).sample(shelf, 5)  # noqa: S311 - seeded on purpose
    modified = _modified(article, fresh)
    body = MarkdownIt("commonmark").enable("table").render(article.markdown)
    html = _layout().render(
        page={
            "title": article.title,
            "lang": article.lang,
            "canonical": article.path,
            "noindex": article.noindex,
        },
        base=BASE,
        body=markupsafe.Markup(body),  # noqa: S704 - our own text
        sections=[(title, path) for path, (title, _) in INDEXES.items()],
        related=[(a.title, a.path) for a in related],
        comments=_oddities()["comments"].get(article.path, []),
        faq_json=_json_ld(article),
        updated=modified.date().isoformat(),
    )
    return Page(article.path, article.title, html.encode(article.charset), last_modified=modified)


@functools.cache
def _first_pages() -> dict[str, Page]:
    articles = {a.path: a for a in _first_articles()}
    built = [*articles.values(), *_section_pages(), *_odd_articles()]
    built.append(_home(list(articles.values())[-6:]))
    pages = {a.path: _page(a) for a in built}
    for path, row in _oddities()["copies"].items():
        source = articles[row["of"]]
        if "replace" in row:
            pages[path] = _page(_copy(source, path, row["replace"]))
        else:
            pages[path] = replace(pages[row["of"]], path=path)  # byte for byte
    return pages


@functools.cache
def _second_pages() -> dict[str, Page]:
    articles = {a.path: a for a in _first_articles()}
    new = [*read_articles("day2.md"), *write_sheets(2), *write_price_sheets(2)]
    changed = [revise(articles[path], changes) for path, changes in read_changes("day2.md").items()]
    fresh = {a.path: _page(a, fresh=True) for a in [*new, *changed, _home(new)]}
    kept = {path: page for path, page in _first_pages().items() if path not in _oddities()["gone"]}
    return {**kept, **fresh}


def pages(day: int) -> dict[str, Page]:
    """The HTML pages that answer 200 on day 1 or 2, by path; the disallowed folder is not among them."""
    found = _first_pages() if day == 1 else _second_pages()
    return dict(sorted(found.items()))


def _robots() -> Page:
    text = f"User-agent: *\nDisallow: /drafts/\n\nSitemap: {BASE}/sitemap.xml\n"
    return Page("/robots.txt", body=text.encode(), content_type="text/plain; charset=utf-8")


def _sitemaps(listed: Mapping[str, Page]) -> list[Page]:
    """An index with one plain and one gzipped child."""
    space = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    packed = ("/how-to/", "/faq/", "/print/", "/archive/")

    def urlset(rows: Iterable[Page]) -> bytes:
        items = "".join(
            f"<url><loc>{escape(BASE + p.path)}</loc><lastmod>{p.last_modified.date()}</lastmod></url>\n" for p in rows
        )
        return f"{head}<urlset {space}>\n{items}</urlset>\n".encode()

    plain = urlset(page for path, page in listed.items() if not path.startswith(packed))
    zipped = gzip.compress(urlset(page for path, page in listed.items() if path.startswith(packed)), mtime=0)
    children = ("/sitemap-pages.xml", "/sitemap-more.xml.gz")
    entries = "".join(f"<sitemap><loc>{BASE}{child}</loc></sitemap>\n" for child in children)
    index = f"{head}<sitemapindex {space}>\n{entries}</sitemapindex>\n".encode()
    return [
        Page("/sitemap.xml", body=index, content_type="application/xml"),
        Page(children[0], body=plain, content_type="application/xml"),
        Page(children[1], body=zipped, content_type="application/gzip"),
    ]


def resources(day: int) -> dict[str, Page]:
    """All that the host answers on a day: pages, robots, sitemaps, redirects, the disallowed and the gone."""
    found = pages(day)
    odd = _oddities()
    noindexed = {row["path"] for row in odd["pages"] if row.get("noindex")}
    extra = [_robots(), *_sitemaps({path: page for path, page in found.items() if path not in noindexed})]
    extra += [Page(path, status=301, location=target) for path, target in odd["redirects"].items()]
    extra += [_page(Article(path, row["title"], fill(row["text"]))) for path, row in odd["disallowed"].items()]
    if day == 2:
        extra += [Page(path, body=b"<h1>Gone</h1>", status=status) for path, status in odd["gone"].items()]
    return {**found, **{page.path: page for page in extra}}
