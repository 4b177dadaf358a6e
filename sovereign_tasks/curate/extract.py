"""Main text of a raw item as light Markdown: headings, lists, tables, paragraphs and code; no chrome, no markup."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message

from charset_normalizer import from_bytes

from sovereign_tasks.curate.links import absolute
from sovereign_tasks.curate.mail import read_mail
from sovereign_tasks.curate.page import key, read_page
from sovereign_tasks.curate.pdf import read_pdf
from sovereign_tasks.curate.transcripts import read_transcript
from sovereign_tasks.curate.word import read_docx

MAX_CHARS = 2_000_000  # 50,000 paragraphs took trafilatura 5 s; beyond this a page is cut
_BOMS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
_META_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_SAID = re.compile(r"^(title|author):(.*)$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_FENCE = re.compile(r"(^```.*?(?:^```[^\n]*$|\Z))", re.DOTALL | re.MULTILINE)
_LINK = re.compile(
    r"(!?)\[([^\[\]\n]{0,1000})\]\(((?:[^()\s]|\([^()\s]{0,500}\)){0,2000})(?:\s{1,9}\"[^\"\n]{0,500}\")?\)"
    r"|<(https?://[^<>\s]{1,2000})>"
)


@dataclass(frozen=True, slots=True)
class Extracted:
    """A title (may be empty), the main text, the addresses that it links to (absolute http(s), each once), its authors.

    Authors are what a head names as such: people, companies, "Admin".
    """

    title: str
    text: str
    links: list[str] = field(default_factory=list)
    authors: list[str] = field(default_factory=list)


def extract(body: bytes, media_type: str = "", title: str = "", address: str = "") -> Extracted:
    """Take the main text of a page, a Markdown file, a plain text or a document of `_DOCUMENTS`.

    `media_type` is the Content-Type with or without its charset; without one, the bytes decide. `title` is what
    the source calls the item and wins over what the body says; `address` is where the item lies: without one, links
    relative to it are left out. Raises `Unreadable` for a document that is broken,
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
        return Extracted(*read_page(text, title, address))
    return _from_markdown(text, title, address) if kind.startswith("text/") else Extracted(title, "")


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


def _from_markdown(text: str, title: str, address: str) -> Extracted:
    text = text.replace("\r\n", "\n")
    authors: list[str] = []
    if front := _FRONT_MATTER.match(text):
        said = {key: value.strip(" \t\"'") for key, value in _SAID.findall(front[1])}
        title, authors = title or said.get("title", ""), [said["author"]] if said.get("author") else []
        text = text[front.end() :]
    parts = _FENCE.split(text)
    targets: list[str] = []

    def unlink(link: re.Match[str]) -> str:
        image, words, target, bare = link.groups()
        targets.extend([bare or target] if not image else [])
        return bare or words

    parts[::2] = [_LINK.sub(unlink, _COMMENT.sub("", part)) for part in parts[::2]]
    headed = _headed(title, "".join(parts).strip())
    return Extracted(headed.title, headed.text, absolute(targets, address), authors)


def _headed(title: str, text: str) -> Extracted:
    """Take a leading heading for the title where there is none, and out of the text where it says the same."""
    if heading := re.match(r"# +([^\n]+)", text):
        named_here = heading[1].rstrip(" #")
        title = title or named_here
        if key(named_here) == key(title):
            text = text[heading.end() :].strip()
    return Extracted(title, text)
