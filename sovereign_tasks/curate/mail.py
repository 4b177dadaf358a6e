"""The text of a mail message: the words that its sender wrote, from its plain or its HTML part."""

from __future__ import annotations

import email
import re
from collections.abc import Callable, Iterator
from email.header import decode_header, make_header
from email.message import Message
from email.policy import compat32
from email.utils import parseaddr

from bs4 import BeautifulSoup, Tag

from sovereign_tasks.curate.mail_words import own_words

_MOST_CHARS = 500_000
_NO_TEXT = ["script", "style", "head", "title", "template", "noscript", "img"]
_SIGNATURES = (
    ".gmail_signature, .gmail_signature_prefix, [data-smartmail=gmail_signature], .moz-signature, #Signature, "
    "#ms-outlook-mobile-signature, .protonmail_signature_block, #AppleMailSignature"
)
_QUOTES_ON = (
    "#divRplyFwdMsg, #appendonsend, #mail-editor-reference-message-container, .yahoo_quoted, .protonmail_quote, "
    "#OLK_SRC_BODY_SECTION, .OutlookMessageHeader"
)
_FROM = re.compile(r"\s*(?:From|Von|De|Da|Van)\s?:", re.IGNORECASE)
_FORWARD = re.compile(r"\s*-{3,}.{3,60}-{3,}")
_BLOCKS = ["div", "tr", "li", "dt", "dd", "section", "article", "header", "footer", "center", "address"]
_PARAGRAPHS = ["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "pre", "hr", "dl"]
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
    for text, wrapped in ((plain, True), (_from_html(markup[:_MOST_CHARS]), False)):
        if words := own_words(text[:_MOST_CHARS], names=names, wrapped=wrapped):
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
        text = decode(payload, part.get_content_charset("")).replace("\r\n", "\n")
        if part.get_content_type() == "text/html":
            markup.append(text)
        else:
            plain.append(_unflow(text, part.get_param("delsp") == "yes") if _is_flowed(part) else text)
    return "\n".join(plain), "\n".join(markup)


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
    joined: list[tuple[int, str]] = []
    flowing = False
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        words = line[depth:].removeprefix(" ")
        flows = words.endswith(" ") and words != "-- "
        if flowing and joined[-1][0] == depth and words != "-- ":
            joined[-1] = (depth, joined[-1][1] + words)
        else:
            joined.append((depth, words))
        if flows and delete_space:
            joined[-1] = (depth, joined[-1][1][:-1])
        flowing = flows
    return "\n".join(f"{'>' * depth} {words}" if depth else words for depth, words in joined)


def _from_html(markup: str) -> str:
    """HTML as text: one line a block, blank lines between paragraphs, and a > where a quote was."""
    soup = BeautifulSoup(markup, "lxml")
    for tag in soup.find_all(_NO_TEXT) + soup.select(_SIGNATURES):
        tag.decompose()
    _cut_quotes(soup)
    for string in soup.find_all(string=True):
        if not string.find_parent("pre"):
            string.replace_with(re.sub(r"[ \t\r\n\f]+", " ", string))
    for tag in soup.find_all(["br", *_BLOCKS, *_PARAGRAPHS]):
        if tag.name == "br":
            tag.replace_with("\n")
            continue
        if tag.name == "li":
            tag.insert(0, "- ")
        edge = _PARAGRAPH if tag.name in _PARAGRAPHS else _BLOCK
        tag.insert_before(edge)
        tag.insert_after(edge)
    text = re.sub(rf"(?<=[^\n{_BLOCK}{_PARAGRAPH} ]) *\n(?= *[{_BLOCK}{_PARAGRAPH}])", "", soup.get_text())
    text = re.sub(rf"[\n {_BLOCK}{_PARAGRAPH}]+", lambda run: _gap(run[0]), text)
    return "\n".join(line.strip() for line in text.split("\n"))


def _gap(run: str) -> str:
    """What parts two pieces of text: spaces, or as many line ends as a reader sees, a blank line at most."""
    ends = run.count("\n") + (_BLOCK in run or _PARAGRAPH in run)
    return "\n" * min(2, max(ends, 2 * (_PARAGRAPH in run))) if ends else run


def _cut_quotes(soup: BeautifulSoup) -> None:
    """Take quoted mail out: what is marked as a quote, and all from where a client begins to quote unmarked."""
    for tag in soup.select(_QUOTES_ON) + [
        tag for tag in soup.select("[style*=border-top]") if _FROM.match(tag.get_text())
    ]:
        _end_at(tag)
    for tag in soup.select(".gmail_attr"):
        if _FORWARD.match(tag.get_text()) and isinstance(tag.parent, Tag):
            _end_at(tag)
    for tag in soup.select("blockquote, .moz-cite-prefix, .gmail_attr, .tutanota_quote"):
        indent = tag.name == "blockquote" and re.search(r"border:\s*(?:none|0)", str(tag.get("style", "")))
        if not tag.decomposed and not indent:
            tag.replace_with(f"{_BLOCK}>{_BLOCK}")


def _end_at(tag: Tag) -> None:
    """Leave nothing of a page from a tag on."""
    if tag.decomposed:
        return
    for string in tag.find_all_next(string=True):
        string.extract()
    tag.decompose()
