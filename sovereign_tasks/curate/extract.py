"""Main text of a raw item as light Markdown: headings, lists, tables, paragraphs and code; no chrome, no markup.

trafilatura decides what on a page is content. On top of its choice this module only puts back headings whose own
paragraph was kept, and questions of FAQPage data that the visible text lacks.
"""

from __future__ import annotations

import codecs
import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any

import trafilatura
from bs4 import BeautifulSoup, Tag
from charset_normalizer import from_bytes

from sovereign_tasks.curate.mail import read_mail
from sovereign_tasks.curate.pdf import read_pdf
from sovereign_tasks.curate.transcripts import read_transcript
from sovereign_tasks.curate.word import read_docx

MAX_CHARS = 2_000_000  # 50,000 paragraphs took trafilatura 5 s; beyond this a page is cut
_CHROME = ["nav", "footer", "aside", "script", "style", "noscript", "template", "dialog"]
_PRUNE = [f"//{tag}" for tag in _CHROME if tag != "noscript"] + [
    f'//*[contains(@{at}, "cookie") or contains(@{at}, "breadcrumb")]' for at in ("id", "class")
]
_BOMS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
_META_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_FENCE = re.compile(r"(^```.*?(?:^```[^\n]*$|\Z))", re.DOTALL | re.MULTILINE)
_PREFORMATTED = re.compile(r"<(pre|textarea|script)\b", re.IGNORECASE)
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3})(?=[^\s*])([^*\n]+?)(?<=[^\s*])\1(?![\w*])")
_IMAGE_NAME = re.compile(r"#+ \S+\.(?:jpe?g|png|gif|webp|svg)", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\[\]\n]{0,1000})\]\((?:[^()\s]|\([^()\s]{0,500}\)){0,2000}(?:\s{1,9}\"[^\"\n]{0,500}\")?\)")


@dataclass(frozen=True, slots=True)
class Extracted:
    """A title (may be empty) and the main text."""

    title: str
    text: str


def extract(body: bytes, media_type: str = "", title: str = "") -> Extracted:
    """Take the main text of a page, a Markdown file, a plain text or a document of `_DOCUMENTS`.

    `media_type` is the Content-Type with or without its charset; without one, the bytes decide. `title` is what
    the source calls the item and wins over what the body says. Raises `Unreadable` for a document that is broken,
    locked or without text.
    """
    header = Message()
    header["Content-Type"] = media_type or "text/plain"
    kind = header.get_content_type()
    charset = str(header.get_param("charset") or "")
    if kind in _DOCUMENTS:
        named, text = _DOCUMENTS[kind](body, charset)
        heading = re.search(r"^#+ (.+)$", text, re.MULTILINE)
        return _headed(title or named or (heading[1] if heading else ""), text[:MAX_CHARS])
    text = decode(body, charset)[:MAX_CHARS]
    if "html" in kind or (not media_type and re.match(r"\s*(?:<!doctype|<html)", text, re.IGNORECASE)):
        return _from_html(text, title)
    return _from_markdown(text, title) if kind.startswith("text/") else Extracted(title, "")


def decode(body: bytes, declared: str = "") -> str:
    """Decode bytes: a byte order mark, then UTF-8, then what is declared if it fits, then a guess.

    UTF-8 goes before the declared charset, because text in another charset hardly ever is valid UTF-8, while
    headers and meta tags are often wrong.
    """
    for bom, name in _BOMS:
        if body.startswith(bom):
            return body.decode(name, "replace")
    if not declared and (meta := _META_CHARSET.search(body, 0, 4096)):
        declared = meta[1].decode("ascii", "ignore")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as e:
        # one torn character in a long UTF-8 page is damage, not another charset
        if len(body) - len(body.decode("utf-8", "ignore").encode()) <= len(body) // 5000 and e.start > 1000:
            return body.decode("utf-8", "replace")
    single = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252"}
    declared = single.get(declared.lower(), declared.lower())  # as browsers read them
    try:
        if declared and not declared.startswith("utf"):
            return body.decode(declared)
    except (LookupError, ValueError):  # no such charset, or one that decodes nothing
        pass
    guess = from_bytes(body[:200_000]).best()
    return body.decode(guess.encoding if guess else "cp1252", "replace")


# Readers of (body, declared charset) that give a title, empty where the file has none, and light Markdown.
_DOCUMENTS: dict[str, Callable[[bytes, str], tuple[str, str]]] = {
    "application/pdf": lambda body, _: read_pdf(body),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": lambda body, _: read_docx(body),
    "application/x-subrip": lambda body, charset: ("", read_transcript(decode(body, charset)[:MAX_CHARS])),
    "message/rfc822": lambda body, _: ("", read_mail(body, decode)),
    "text/vtt": lambda body, charset: ("", read_transcript(decode(body, charset)[:MAX_CHARS])),
}


def _from_html(text: str, title: str) -> Extracted:
    parts = _split_preformatted(text)
    parts[::2] = [re.sub(r"\s+", " ", part) for part in parts[::2]]  # a break in the source is a space to a reader
    text = "".join(parts)
    kept = trafilatura.extract(text, fast=True, include_comments=False, output_format="markdown", prune_xpath=_PRUNE)
    kept = _plain(kept or "")
    soup = BeautifulSoup(text, "lxml")
    faq = _faq(soup)
    title = title or _title(soup)
    kept = _restore_headings(kept, soup)
    lines = kept.split("\n")  # the title stands in a field of its own
    kept = "\n".join(ln for ln in lines if not (ln.startswith("#") and _key(ln) == _key(title))).strip()
    seen = _key(kept)
    for question, answer in faq:
        if _key(question) not in seen:
            kept += f"\n\n## {question}\n\n{answer}"
    return Extracted(title, kept.strip())


def _from_markdown(text: str, title: str) -> Extracted:
    text = text.replace("\r\n", "\n")
    if front := _FRONT_MATTER.match(text):
        named = re.search(r"^title:(.*)$", front[1], re.MULTILINE)
        title = title or (named[1].strip(" \t\"'") if named else "")
        text = text[front.end() :]
    parts = _FENCE.split(text)
    parts[::2] = [_LINK.sub(r"\1", _COMMENT.sub("", part)) for part in parts[::2]]
    return _headed(title, "".join(parts).strip())


def _headed(title: str, text: str) -> Extracted:
    """Take a leading heading for the title where there is none, and out of the text where it says the same."""
    if heading := re.match(r"# +([^\n]+)", text):
        named_here = heading[1].rstrip(" #")
        title = title or named_here
        if _key(named_here) == _key(title):
            text = text[heading.end() :].strip()
    return Extracted(title, text)


def _split_preformatted(text: str) -> list[str]:
    """Markup and elements whose white space counts, in turn; an element that is never closed is markup."""
    parts, at = [], 0
    unclosed: set[str] = set()  # looked for once, else a page of opening tags would take forever
    for opening in _PREFORMATTED.finditer(text):
        tag = opening[1].lower()
        if opening.start() < at or tag in unclosed:
            continue
        closing = re.compile(rf"</{tag}\s*>", re.IGNORECASE).search(text, opening.end())
        if closing is None:
            unclosed.add(tag)
            continue
        parts += [text[at : opening.start()], text[opening.start() : closing.end()]]
        at = closing.end()
    return [*parts, text[at:]]


def _plain(markdown: str) -> str:
    """Drop emphasis marks outside code: light Markdown has none."""
    parts = _FENCE.split(markdown)
    parts[::2] = [_EMPHASIS.sub(r"\2", part) for part in parts[::2]]
    return "".join(parts)


def _key(text: str) -> str:
    return re.sub(r"\W+", " ", text).casefold().strip()


def _title(soup: BeautifulSoup) -> str:
    """The page's only h1, else og:title, else <title> without the site's name."""
    headings = [h for h in soup.find_all("h1") if not h.find_parent(_CHROME) and h.get_text(strip=True)]
    if len(headings) == 1:
        return " ".join(headings[0].get_text(" ").split())
    named = soup.find("meta", property="og:title")
    if isinstance(named, Tag) and named.get("content"):
        return " ".join(str(named["content"]).split())
    whole = " ".join(soup.title.get_text(" ").split()) if soup.title else ""
    return re.split(r"\s+[|–—»·-]\s+", whole)[0]


def _restore_headings(kept: str, soup: BeautifulSoup) -> str:
    """Put back headings that were dropped or flattened although the paragraph below them was kept.

    Only a heading outside navigation, footers and the like, whose next block of text begins a kept line, comes
    back, so nothing returns without its content.
    """
    lines = [line for line in kept.split("\n") if not _IMAGE_NAME.fullmatch(line.strip())]
    if "" not in lines:  # the extractor's plain fallback for short pages
        lines = [part for line in lines for part in ([line] if line[:2] in ("- ", "| ", "|-") else ["", line, ""])]
    starts: dict[str, int] = {}
    for i, line in enumerate(lines):
        starts.setdefault(_key(line)[:60], i)
    present = {_key(line) for line in lines if line.startswith("#")}
    for heading in soup.find_all(re.compile(r"^h[1-6]$")):
        words = " ".join(heading.get_text(" ").split())
        if not 0 < len(words) <= 200 or _key(words) in present or heading.find_parent(_CHROME):
            continue
        marked = f"{'#' * int(heading.name[1])} {words}"
        at = starts.get(_key(words)[:60])
        if at is not None and _key(lines[at]) == _key(words):
            lines[at] = f"\n{marked}\n"
        elif glued := next((i for i, line in enumerate(lines) if line.startswith(f"- {marked} ")), None):
            lines[glued] = f"\n{marked}\n\n{lines[glued][len(marked) + 3 :]}"
        elif (at := starts.get(_first_words(heading))) is not None:
            lines[at] = f"\n{marked}\n\n{lines[at]}"
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _first_words(heading: Tag) -> str:
    """How the first block of text under a heading begins; a word too odd to be found where there is none."""
    block = heading.find_next(["p", "li", "td", "pre", "h1", "h2", "h3", "h4", "h5", "h6"])
    start = _key(block.get_text(" "))[:60] if block is not None and not block.name.startswith("h") else ""
    return start if len(start) > 20 else "\0"


def _faq(soup: BeautifulSoup) -> list[tuple[str, str]]:
    """Questions and answers of schema.org FAQPage data."""
    found = []
    for script in soup.find_all("script", type="application/ld+json"):
        try:
            found += _questions(json.loads(script.string or ""))
        except (ValueError, RecursionError):  # broken, or nested to break readers
            continue
    return found


def _questions(data: Any) -> list[tuple[str, str]]:
    found = []
    for page in _typed(data, "FAQPage"):
        for question in _typed(page.get("mainEntity"), "Question"):
            answer = next(_typed(question.get("acceptedAnswer"), "Answer"), {}).get("text")
            if isinstance(question.get("name"), str) and isinstance(answer, str):
                found.append((_inner_text(question["name"]), _inner_text(answer)))
    return found


def _typed(data: Any, name: str) -> Any:
    """All objects of a schema.org type, at any depth (lists and @graph)."""
    if isinstance(data, list):
        for part in data:
            yield from _typed(part, name)
    elif isinstance(data, dict):
        kinds = data.get("@type", [])
        if name in (kinds if isinstance(kinds, list) else [kinds]):
            yield data
        else:
            yield from _typed(data.get("@graph"), name)


def _inner_text(markup: str) -> str:
    markup = markup.encode("utf-8", "ignore").decode()  # JSON can spell halves of characters
    words = " ".join(BeautifulSoup(html.unescape(markup), "lxml").get_text(" ").split())
    return re.sub(r" (?=[?!.,;:])", "", words)
