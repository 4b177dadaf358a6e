"""Short pieces of HTML (a post, a ticket's message) as text: too little around them for main-text extraction."""

from __future__ import annotations

import re

from bs4 import BeautifulSoup

_MARKUP = re.compile(r"<br ?/?>|</(?:p|div|span|li|blockquote|td|html)>", re.IGNORECASE)
_BLOCKS = ("p", "div", "ul", "ol", "blockquote", "table", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "pre")


def looks_like_html(text: str) -> bool:
    """Whether a text is marked up; a lone < is not, nor is Markdown that speaks of tags in its code."""
    return "`" not in text and bool(_MARKUP.search(text))


def text_of_html(html: str) -> str:
    """The words of a piece of HTML with its paragraphs, breaks and list items; scripts and styles left out."""
    soup = BeautifulSoup(html, "lxml")
    for tag in soup(["script", "style", "template"]):
        tag.decompose()
    for text in soup.find_all(string=True):
        if not text.find_parent("pre"):
            text.replace_with(re.sub(r"\s+", " ", text))
    for tag in soup.find_all("br"):
        tag.replace_with("\n")
    for tag in soup.find_all("li"):
        tag.insert(0, "\n- ")
    for tag in soup.find_all(_BLOCKS):
        tag.insert(0, "\n\n")
        tag.append("\n\n")
    lines = [" ".join(line.split(" ")).strip() for line in soup.get_text().split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
