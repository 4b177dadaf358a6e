"""The text of a mail message: the words that its sender wrote, from its plain or its HTML part."""

from __future__ import annotations

import email
import re
from collections.abc import Callable, Iterator
from email.header import decode_header, make_header
from email.message import Message
from email.policy import compat32
from email.utils import parseaddr

from lxml import etree, html

from sovereign_tasks.curate.mail_words import own_words

_MOST_CHARS = 500_000
_NO_TEXT = frozenset("script style head title template noscript".split())
_SIGNATURES = frozenset(
    "gmail_signature gmail_signature_prefix moz-signature signature ms-outlook-mobile-signature "
    "protonmail_signature_block applemailsignature".split()
)
_QUOTES_ON = frozenset(
    "divrplyfwdmsg appendonsend mail-editor-reference-message-container yahoo_quoted protonmail_quote "
    "olk_src_body_section outlookmessageheader".split()
)
_QUOTES = frozenset("moz-cite-prefix gmail_attr tutanota_quote".split())
_FROM = re.compile(r"\s*(?:From|Von|De|Da|Van|Fra|Från)\s?:", re.IGNORECASE)
_FORWARD = re.compile(r"\s*-{3,}.{3,60}-{3,}")
_NO_BORDER = re.compile(r"border:\s*(?:none|0)")
_MOST_HEADED = 50
_BLOCKS = frozenset("div tr li dt dd section article header footer center address".split())
_PARAGRAPHS = frozenset("p h1 h2 h3 h4 h5 h6 ul ol table pre hr dl".split())
_BLOCK, _PARAGRAPH = "\x1e", "\x1d"  # ends of blocks, which merge where they meet, unlike line breaks
Decode = Callable[[bytes, str], str]


def read_mail(body: bytes, decode: Decode) -> str:
    """What the sender of an RFC 822 message wrote in it, less quotes and signature.

    `decode` turns bytes into text, given the charset that the part declares. The plain part goes before HTML
    unless there is nothing in it.
    """
    message = email.message_from_bytes(body, policy=compat32)
    names = _names(message)
    plain, markup = _texts(message, decode)
    for text, wrapped in ((plain, True), (_from_html(markup), False)):
        if words := own_words(text, names=names, wrapped=wrapped):
            return words
    return ""


def _names(message: Message) -> list[str]:
    """What the sender may write below a message: the full name, or the first one."""
    try:
        name = parseaddr(str(make_header(decode_header(str(message.get("From", ""))))))[0]
    except (ValueError, LookupError):
        return []
    words = " ".join(reversed(name.split(","))).split()
    return [" ".join(words), words[0]] if words else []


def _texts(message: Message, decode: Decode) -> tuple[str, str]:
    """The plain text and the HTML of a message; parts that follow each other are joined."""
    plain, markup = [], []
    for part in _parts(message):
        payload = part.get_payload(decode=True)
        if part.get_content_disposition() == "attachment" or not isinstance(payload, bytes):
            continue
        text = decode(payload, part.get_content_charset(""))[:_MOST_CHARS].replace("\r\n", "\n")
        if part.get_content_type() == "text/html":
            markup.append(text)
        else:
            plain.append(_unflow(text, part.get_param("delsp") == "yes") if _is_flowed(part) else text)
    return "\n".join(plain)[:_MOST_CHARS], "\n".join(markup)[:_MOST_CHARS]


def _parts(message: Message) -> Iterator[Message]:
    """The text parts, but none of a message inside this one."""
    if message.get_content_type() in ("text/plain", "text/html"):
        yield message
    elif message.get_content_maintype() == "multipart" and isinstance(message.get_payload(), list):
        for part in message.get_payload():
            yield from _parts(part)


def _is_flowed(part: Message) -> bool:
    return str(part.get_param("format", "")).lower() == "flowed"


def _unflow(text: str, delete_space: bool) -> str:
    """Join the lines of format=flowed (RFC 3676), each with its depth of quotes."""
    joined: list[tuple[int, list[str]]] = []
    flowing = False
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        words = line[depth:].removeprefix(" ")
        flows = words.endswith(" ") and words != "-- "
        kept = words[:-1] if flows and delete_space else words
        if flowing and joined[-1][0] == depth and words != "-- ":
            joined[-1][1].append(kept)
        else:
            joined.append((depth, [kept]))
        flowing = flows
    return "\n".join((f"{'>' * depth} " if depth else "") + "".join(words) for depth, words in joined)


def _from_html(markup: str) -> str:
    """HTML as text: one line a block, blank lines between paragraphs, and a > where a quote was."""
    if not markup.strip():
        return ""
    root = html.document_fromstring(markup.encode(), html.HTMLParser(encoding="utf-8", remove_comments=True))
    text = "".join(_pieces(root))
    text = re.sub(rf"(?<=[^\n{_BLOCK}{_PARAGRAPH} ]) *\n(?= *[{_BLOCK}{_PARAGRAPH}])", "", text)
    text = re.sub(rf"[\n {_BLOCK}{_PARAGRAPH}]+", lambda run: _gap(run[0]), text)
    return "\n".join(line.strip() for line in text.split("\n"))


def _pieces(root: html.HtmlElement) -> Iterator[str]:
    """The text of a page and the marks of its blocks, in order, up to where a client begins to quote unmarked."""
    headed = preformatted = 0
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        tag = element.tag if isinstance(element.tag, str) else ""
        edge = _PARAGRAPH if tag in _PARAGRAPHS else _BLOCK if tag in _BLOCKS else ""
        if event == "end":
            preformatted -= tag == "pre"
            yield edge
            yield _spaced(element.tail, preformatted)
            continue
        preformatted += tag == "pre"
        known = _known_as(element)
        headed += "border-top" in element.get("style", "")
        if known & _QUOTES_ON or (
            headed <= _MOST_HEADED and "border-top" in element.get("style", "") and _begins(element, _FROM)
        ):
            return
        if "gmail_attr" in known and _begins(element, _FORWARD):
            return
        if not tag or tag in _NO_TEXT or known & _SIGNATURES:
            walk.skip_subtree()
        elif known & _QUOTES or (tag == "blockquote" and not _NO_BORDER.search(element.get("style", ""))):
            walk.skip_subtree()
            yield f"{_BLOCK}>{_BLOCK}"
        else:
            yield "\n" if tag == "br" else edge
            yield "- " * (tag == "li") + _spaced(element.text, preformatted)


def _known_as(element: html.HtmlElement) -> set[str]:
    """An element's classes and id, by which clients mark what they put into a message."""
    names = f"{element.get('class', '')} {element.get('id', '')} {element.get('data-smartmail', '')}"
    return set(names.lower().split())


def _begins(element: html.HtmlElement, words: re.Pattern[str]) -> bool:
    return bool(words.match(next((text for text in element.itertext() if text.strip()), "")))


def _spaced(text: str | None, preformatted: int) -> str:
    """Text as a browser spaces it."""
    return (text or "") if preformatted > 0 else re.sub(r"[ \t\r\n\f]+", " ", text or "")


def _gap(run: str) -> str:
    """What parts two pieces of text: spaces, or as many line ends as a reader sees, a blank line at most."""
    ends = run.count("\n") + (_BLOCK in run or _PARAGRAPH in run)
    return "\n" * min(2, max(ends, 2 * (_PARAGRAPH in run))) if ends else run
