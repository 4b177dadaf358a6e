"""Title, main text and links of an HTML page.

trafilatura decides what on a page is content; what it took is written out from the page's own elements, so that
headings, nested lists, tables, code and captions stay what they were. Added are what stands between two blocks that it
took and is no chrome, headings whose own paragraph it took, and structured data that the visible text lacks.
"""

from __future__ import annotations

import re
from itertools import groupby, pairwise, takewhile
from urllib.parse import urljoin

import trafilatura
from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from sovereign_tasks.curate.blocks import MARKS, Block, clean, cut
from sovereign_tasks.curate.json_ld import sections
from sovereign_tasks.curate.links import absolute
from sovereign_tasks.curate.markdown import render

_REACH = 5  # levels of the tree between a kept block and what holds the next one, for a gap to be filled
_GAP = 4  # and how much more is kept than the gap holds
_PARSER = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False, default_doctype=False)
_PARSER.set_element_class_lookup(etree.ElementDefaultClassLookup(element=HtmlElement))  # in C, unlike lxml.html's own
_CONTROLS = bytes({*range(32), 127} - {9, 10, 13})
_PRUNED = (
    "aside audio base button canvas datalist dialog embed footer iframe input link meta nav noscript object script "
    "select style svg template textarea title video"
).split()
_CHROME = re.compile(
    r"(?:^|[\s_-])(?:ads?|advert\w*|author\w*|banner|bio|breadcrumbs?|byline|comments?|cookies?|consent|cta|footer"
    r"|hidden|menu|meta|modal|nav\w*|newsletter\w*|next|noprint|outbrain|overlay|pagination|popup|prev\w*|promo\w*|rating|recirc\w*"
    r"|recommend\w*|related\w*|shar(?:e|ing)\w*|sidebar|signup|social\w*|sponsor\w*|subscri\w*|taboola|tags?|teaser"
    r"|toc|toolbar|trending|widget\w*)(?:$|[\s_-])",
    re.IGNORECASE,
)
_STRIPPED = (
    "abbr acronym b bdi bdo big cite data dfn em font i img ins kbd mark nobr samp small strong sub sup tt u var wbr"
).split()
_NAMED = frozenset({"class", "id", "style", "role", "aria-hidden"})
_HEADINGS = etree.XPath(
    "//*[@role='heading' or @itemprop='name'][@role='heading' or contains(../@itemtype, 'schema.org/Question')]"
)
_HEADING_SIGNS = ('"heading"', "'heading'", "=heading", "schema.org/Question")  # looked for first: the path is slow
_EMPTY = etree.XPath(
    "//body//*[not(normalize-space()) and not(self::br or self::hr or self::td or self::th or self::tr)]"
)
_COOKIES = re.compile(
    r"cookie[-_]?(?:banner|bar|consent|law|message|modal|notice|policy|popup)|breadcrumb", re.IGNORECASE
)
_AUTHOR = re.compile(r"(?:article:|dc\.|dcterms\.)?(?:author|creator)", re.IGNORECASE)
_OPENERS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "dt", "summary"})
_IMAGE_NAME = re.compile(r"\S+\.(?:jpe?g|png|gif|webp|svg)", re.IGNORECASE)


def read_page(text: str, title: str, address: str) -> tuple[str, str, list[str], list[str]]:
    """Title, main text as light Markdown, links and authors of a page; `title` wins over what the page says.

    `address` is where the page lies, for its relative links; the links are absolute, in order, each once.
    """
    try:
        tree = document_fromstring(text.encode("utf-8", "ignore").translate(None, _CONTROLS), parser=_PARSER)
    except etree.ParserError:  # nothing there
        return title, "", [], []
    data = [script for script in tree.iter("script") if script.get("type", "").strip().lower() == "application/ld+json"]
    base = next((e.get("href") for e in tree.iter("base") if e.get("href")), "")
    named, authors = _head_title(tree), _authors(tree)
    if any(sign in text for sign in _HEADING_SIGNS):
        _mark_headings(tree)
    _prepare(tree)
    title = title or _title(tree, named)
    blocks = cut(tree)
    tree.extend(data)  # some pages have their text here alone
    found = trafilatura.bare_extraction(tree, fast=True, include_comments=False, output_format="txt")
    written = _choose(blocks, [] if found is None else ["".join(part.itertext()) for part in found.body], title)
    seen = key(written) if data else ""
    extra = sections([script.text or "" for script in data], lambda words: key(words) in seen)
    targets = (link for block in blocks if block.kept for mark, _, link in block.runs if mark and link)
    return title, "\n\n".join(filter(None, [written, *extra])), absolute(targets, urljoin(address, base)), authors


def key(text: str) -> str:
    """Text without punctuation and case, to compare by."""
    return re.sub(r"\W+", " ", text).casefold().strip()


def _head_title(tree: HtmlElement) -> str:
    """The page's og:title, else its <title> without the site's name."""
    for meta in tree.iter("meta"):
        if meta.get("property") == "og:title" and (words := " ".join(meta.get("content", "").split())):
            return words
    whole = next((" ".join(e.text_content().split()) for e in tree.iter("title")), "")
    return re.split(r"\s+[|–—»·-]\s+", whole)[0]


def _authors(tree: HtmlElement) -> list[str]:
    """Who wrote the page, as its head says."""
    every = (meta for meta in tree.iter("meta") if _AUTHOR.fullmatch(meta.get("name") or meta.get("property") or ""))
    return [words for meta in every if (words := " ".join(meta.get("content", "").split()))]


def _title(tree: HtmlElement, named: str) -> str:
    """The page's only h1, else what its head says."""
    headings = [words for h in tree.iter("h1") if (words := " ".join(h.text_content().split()))]
    return headings[0] if len(headings) == 1 else named


def _mark_headings(tree: HtmlElement) -> None:
    """Make headings of what is one by its role or as the question of a schema.org item."""
    for heading in _HEADINGS(tree):
        level = heading.get("aria-level", "3")
        heading.tag = f"h{level}" if level in "123456" else "h6"


def _prepare(tree: HtmlElement) -> None:
    """Take away what is never text, and write plainly what trafilatura would drop with its text."""
    for button in list(tree.iter("button")):  # a section that opens at a click
        if any(parent.tag in _OPENERS for parent in button.iterancestors()):
            button.tag = "span"
    for element in list(tree.iter(*_PRUNED)):
        element.drop_tree()
    for bold in tree.iter("strong", "b"):
        if _asks_alone(bold):
            bold.tag = "h3"
    for span in tree.iter("span"):
        if not _NAMED.intersection(span.keys()):
            span.tag = "font"
    etree.strip_tags(tree, *_STRIPPED)
    for element in _EMPTY(tree):
        element.drop_tree()
    for element in list(tree.iter("div", "section", "ol", "ul", "p")):
        if _COOKIES.search(f"{element.get('id', '')} {element.get('class', '')}"):
            element.drop_tree()
    for element in tree.iter("figure", "figcaption", "q"):
        if element.tag == "q":
            element.text, element.tail = f'"{clean(element.text)}', f'"{clean(element.tail)}'
        element.tag = {"figure": "div", "figcaption": "p", "q": "span"}[element.tag]
        element.attrib.clear()


def _asks_alone(bold: HtmlElement) -> bool:
    """Whether bold text is a question on a line of its own, the heading of what follows."""
    parent, following = bold.getparent(), bold.getnext()
    return (
        parent.tag in ("p", "div")
        and not (parent.text or "").strip()
        and bold.getprevious() is None
        and not (bold.tail or "").strip()
        and (following is None or following.tag in ("br", "p", "div", "ul", "ol"))
        and bold.text_content().rstrip().endswith("?")
    )


def _choose(blocks: list[Block], parts: list[str], title: str) -> str:
    """Mark the blocks that make up the main text, and write them; `parts` are what trafilatura took."""
    marks = set(MARKS.findall("".join(parts)))
    if marks:
        for block in blocks:
            block.kept = block.holds(marks)
        _fill(blocks)
    else:  # its plain fallback, for short pages and for text that stands in data
        taken = key(" ".join(parts))
        for block in blocks:
            block.kept = bool(words := key(block.text)) and words in taken
        if 2 * sum(len(key(b.text)) for b in blocks if b.kept) < len(taken):
            for block in blocks:
                block.kept = False
            return "\n\n".join(" ".join(part.split()) for part in parts)
    for table, cells in groupby(blocks, key=lambda b: b.table):
        if table is not None:
            _keep_whole(list(cells))
    _keep_headings(blocks)
    for block in blocks:
        if block.kept and (_IMAGE_NAME.fullmatch(block.text) or (block.level and key(block.text) == key(title))):
            block.kept = False
    return render(blocks)


def _keep_whole(cells: list[Block]) -> None:
    most = 2 * sum(block.length for block in cells if block.kept) >= sum(block.length for block in cells)
    for block in cells:
        block.kept = most


def _keep_headings(blocks: list[Block]) -> None:
    """Keep headings whose next block is kept, or one below a heading like that; from the end, so that they stack."""
    following = False
    for block in reversed(blocks):
        if block.level:
            block.kept = block.kept or (following and len(block.text) <= 200)
        following = block.kept


def _fill(blocks: list[Block]) -> None:
    """Keep what stands between two kept blocks close by, less link lists and what says itself that it is chrome."""
    kept = [n for n, block in enumerate(blocks) if block.kept]
    whole = sum(blocks[n].length for n in kept)
    for before, after in pairwise(kept):
        run = blocks[before + 1 : after]
        if not run or sum(block.length for block in run) > whole / _GAP:
            continue
        above = _ancestors(blocks[before].element)
        common, far = next(
            (element, n) for n, element in enumerate(_ancestors(blocks[after].element)) if element in above
        )
        if max(far, above.index(common)) > _REACH:
            continue
        shared = set(above)
        for block in run:
            around = takewhile(lambda element, shared=shared: element not in shared, _ancestors(block.element))
            block.kept = 2 * block.linked <= block.length and not any(map(_is_chrome, around))


def _ancestors(element: HtmlElement) -> list[HtmlElement]:
    return [element, *element.iterancestors()]


def _is_chrome(element: HtmlElement) -> bool:
    return bool(_CHROME.search(f"{element.get('id', '')} {element.get('class', '')}"))
