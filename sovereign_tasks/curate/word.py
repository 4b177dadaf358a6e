"""Title and text of a Word file (DOCX) in document order: headings, paragraphs, lists and tables.

python-docx opens the package and knows its styles; what it does not give, inserted words under review, content
controls and the numbers of list items, is read from the XML below it.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections import Counter
from functools import cache
from typing import Any

import docx
from docx.document import Document
from docx.opc.constants import CONTENT_TYPE, RELATIONSHIP_TYPE
from docx.oxml.ns import nsmap, qn
from lxml import etree

from sovereign_tasks.curate.unreadable import Unreadable

MAX_UNPACKED = 200_000_000  # bytes of all parts; pictures are most of a real file
MAX_XML = 20_000_000  # bytes of one part of XML; 20 MB of empty paragraphs took 13 s
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_BLOCKS = " | ".join(f"./{inside}w:{tag}" for inside in ("", "w:sdt/w:sdtContent/") for tag in ("p", "tbl"))
_WORDS = {qn("w:tab"): " ", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
_ELSEWHERE = {qn("w:moveFrom"), qn("w:txbxContent")}  # shown in another place, a second time


def read_docx(body: bytes) -> tuple[str, str]:
    """Title (of the file's properties, may be empty) and text of a DOCX.

    Raises `Unreadable`: encrypted, no_text, or unreadable for what is no DOCX or unpacks to more than MAX_UNPACKED.
    """
    _check(body)
    try:
        document = docx.Document(io.BytesIO(body))
        text = _Reader(document).read()
        title = " ".join((document.core_properties.title or "").split())
    except Exception as e:  # python-docx has no error of its own for XML that is broken or not Word's
        raise Unreadable("unreadable", f"a damaged DOCX ({type(e).__name__})") from e
    if not text:
        raise Unreadable("no_text", "a DOCX without text")
    return "" if title == "Word Document" else title, text


def _check(body: bytes) -> None:
    if body.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in body:
            raise Unreadable("encrypted", "a DOCX under a password")
        raise Unreadable("unreadable", "a DOC of Word 97-2003, not a DOCX")
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as package:
            parts = package.infolist()
            if any(part.flag_bits & 1 for part in parts):
                raise Unreadable("encrypted", "a zip under a password")
            if "[Content_Types].xml" not in package.namelist():
                raise Unreadable("unreadable", "a zip that is no DOCX")
            # zipfile reads no more of a part than it declares
            whole = sum(part.file_size for part in parts)
            large = [part for part in parts if part.file_size > MAX_XML]
            if whole > MAX_UNPACKED or any(_is_xml(package, part) for part in large):
                raise Unreadable("unreadable", f"a DOCX that unpacks to {whole // 1_000_000} MB")
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError):
        raise Unreadable("unreadable", "not a DOCX, or one that is cut short") from None


def _is_xml(package: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    """By its first bytes: a name can say anything, and no picture begins so."""
    with package.open(part) as stream:
        start = stream.read(8)
    return b"<" in start or not start.strip()


class _Reader:
    """One walk through a document, counting its numbered items."""

    def __init__(self, document: Document) -> None:
        self.body = document.element.body
        self.styles = {style.style_id: style.element for style in document.styles}
        defaults = _find(document.styles.element, "./w:style[@w:type='paragraph'][@w:default='1']")
        self.default = defaults[0].get(qn("w:styleId")) if defaults else ""
        self.counts: Counter[tuple[str, int]] = Counter()
        self.kinds = _numbering(document)
        self.known: dict[str, tuple[int, str, str]] = {}

    def read(self) -> str:
        """All blocks of the body; items of a list stand on neighbouring lines."""
        parts, item_before = [], False
        for block in _find(self.body, _BLOCKS):
            if block.tag == qn("w:tbl"):
                text, item = self._table(block), False
            else:
                text, item = self._paragraph(block)
            if text:
                parts.append(("\n" if item and item_before else "\n\n") + text)
                item_before = item
        return "".join(parts).strip()

    def _paragraph(self, paragraph: Any) -> tuple[str, bool]:
        """Markdown of a paragraph, and whether it is an item of a list."""
        text = _text(paragraph)
        style = _value(paragraph, "./w:pPr/w:pStyle") or self.default
        heading, style_list, style_level = self._style(style)
        if not text or heading < 0:
            return "", False
        if heading:
            return f"{'#' * heading} {' '.join(text.split())}", False
        number = _value(paragraph, "./w:pPr/w:numPr/w:numId") or style_list
        if not number or number == "0":
            return text, False
        level = min(int(_value(paragraph, "./w:pPr/w:numPr/w:ilvl") or style_level or 0), 8)
        text = " ".join(text.split())
        if self.kinds.get((number, level), "bullet") in ("bullet", "none"):
            return f"{'  ' * level}- {text}", True
        self.counts[number, level] += 1
        for deeper in range(level + 1, 9):
            self.counts.pop((number, deeper), None)
        return f"{'  ' * level}{self.counts[number, level]}. {text}", True

    def _style(self, style: str) -> tuple[int, str, str]:
        """Heading level (0: none, -1: an entry of a table of contents), list and list level, over the bases."""
        if style not in self.known:
            heading, number, level, at = 0, "", "", style
            for _ in range(20):  # a style may be its own ancestor in a broken file
                element = self.styles.get(at)
                if element is None:
                    break
                name = (_value(element, "./w:name") or "").casefold()
                outline = _value(element, "./w:pPr/w:outlineLvl")
                if name == "title":
                    heading = heading or 1
                elif named := re.fullmatch(r"heading ([1-9])", name):
                    heading = heading or min(int(named[1]), 6)
                elif re.match(r"toc \d", name):
                    heading = -1
                elif outline.isdigit() and int(outline) < 9:
                    heading = heading or min(int(outline) + 1, 6)
                number = number or _value(element, "./w:pPr/w:numPr/w:numId")
                level = level or _value(element, "./w:pPr/w:numPr/w:ilvl")
                at = _value(element, "./w:basedOn")
            self.known[style] = (heading, number, level)
        return self.known[style]

    def _table(self, table: Any) -> str:
        """A table with pipes; one of a single cell is a frame around paragraphs."""
        rows = [[(cell, int(_value(cell, "./w:tcPr/w:gridSpan") or 1)) for cell in _find(row, "./w:tc")]
                for row in _find(table, "./w:tr")]  # fmt: skip
        if all(len(row) == 1 for row in rows):
            texts = [self._paragraph(p)[0] for row in rows for cell, _ in row for p in _find(cell, ".//w:p")]
            return "\n\n".join(text for text in texts if text)
        lines = []
        for row in rows:
            cells = []
            for cell, span in row:
                words = " ".join(" ".join(_text(p) for p in _find(cell, ".//w:p")).split())
                cells += [words.replace("|", "\\|"), *[""] * (min(span, 64) - 1)]
            lines.append(cells)
        width = min(max(map(len, lines)), 64)
        marked = ["| " + " | ".join([*cells, *[""] * width][:width]) + " |" for cells in lines if any(cells)]
        return "\n".join([marked[0], "|---" * width + "|", *marked[1:]]) if marked else ""


def _text(paragraph: Any) -> str:
    """Words of a paragraph with what reviewers inserted and without what they deleted or moved away."""
    parts = []
    for part in paragraph.iter(qn("w:t"), *_WORDS):
        if part.getparent().tag == qn("w:tabs"):
            continue
        if not any(above.tag in _ELSEWHERE for above in part.iterancestors() if above is not paragraph):
            parts.append(_WORDS.get(part.tag) or part.text or "")
    return "\n".join(" ".join(line.split()) for line in "".join(parts).split("\n")).strip()


@cache
def _compiled(path: str) -> etree.XPath:
    return etree.XPath(path, namespaces={"w": nsmap["w"]})


def _find(element: Any, path: str) -> list[Any]:
    return _compiled(path)(element)


def _value(element: Any, path: str) -> str:
    found = _find(element, path)
    return found[0].get(qn("w:val")) or "" if found else ""


def _numbering(document: Document) -> dict[tuple[str, int], str]:
    """The kind of each list's levels (bullet, decimal, ...) by list and level."""
    part = next((r.target_part for r in document.part.rels.values() if r.reltype == RELATIONSHIP_TYPE.NUMBERING), None)
    if part is None or part.content_type != CONTENT_TYPE.WML_NUMBERING:
        return {}
    abstract = {
        (one.get(qn("w:abstractNumId")), int(level.get(qn("w:ilvl")))): _value(level, "./w:numFmt")
        for one in _find(part.element, "./w:abstractNum")
        for level in _find(one, "./w:lvl")
    }
    kinds = {}
    for number in _find(part.element, "./w:num"):
        of = _value(number, "./w:abstractNumId")
        kinds |= {(number.get(qn("w:numId")), level): kind for (one, level), kind in abstract.items() if one == of}
    return kinds
