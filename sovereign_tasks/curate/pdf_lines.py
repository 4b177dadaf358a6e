"""A program of its own: a PDF on stdin, its pieces of lines with size and place as JSON on stdout.

PDFium is quick and reads what Chrome reads, but it is a C++ library: 88 kB of nested graphics states make it ask for
all memory and abort. So it runs in a process that may die, under limits; it imports nothing of this package.

The answer is {"error": "..."} or {"title": "...", "pages": [[[text, size, bold, left, baseline, right], ...], ...]} in
points, upright, y upwards. A hyphen at the end of a line that PDFium would undo is kept for the caller to judge.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pypdfium2 as pdfium
import pypdfium2.raw as raw

MAX_MEMORY = 2 << 30  # bytes of address space
MAX_CPU = 60  # seconds; 2,000 pages with as many characters as are read took 7, and 0.13 GB
MAX_PAGES = 2_000
MAX_CHARS = 2_000_000
_HYPHEN = "\x02"  # PDFium's sign for a hyphen that parts a word at a line's end
_LOCKED = {raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY}


@dataclass(slots=True)
class _Piece:
    """Characters that follow each other on one baseline."""

    bold: bool
    left: float
    baseline: float
    right: float = 0.0
    text: list[str] = field(default_factory=list)
    sizes: Counter[float] = field(default_factory=Counter)

    def row(self) -> list[str | float | bool]:
        # PDFium gives characters beyond the first plane as halves
        text = "".join(self.text).encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
        size = self.sizes.most_common(1)[0][0] if self.sizes else 0.0
        return [text, size, self.bold, round(self.left, 1), round(self.baseline, 1), round(self.right, 1)]


def main() -> None:
    """Read stdin to its end and print one JSON object."""
    for limit, most in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_CPU, MAX_CPU), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # a system without that limit, or with a lower one
            resource.setrlimit(limit, (most, most))
    body = sys.stdin.buffer.read()
    try:
        answer = _read(pdfium.PdfDocument(body))
    except pdfium.PdfiumError as e:
        answer = {"error": "encrypted" if e.err_code in _LOCKED else "unreadable"}
    sys.stdout.write(json.dumps(answer))


def _read(document: pdfium.PdfDocument) -> dict[str, object]:
    pages, left = [], MAX_CHARS
    for number in range(min(len(document), MAX_PAGES)):
        with contextlib.suppress(pdfium.PdfiumError), contextlib.closing(document[number]) as page:  # others go on
            with contextlib.closing(page.get_textpage()) as text:
                rows = [piece.row() for piece in _pieces(text, page.get_rotation(), left) if piece.text]
            pages.append(rows)
            left -= sum(len(str(row[0])) for row in rows)
        if left <= 0:
            break
    return {"title": document.get_metadata_value("Title"), "pages": pages}


def _pieces(page: pdfium.PdfTextPage, rotation: int, most: int) -> Iterator[_Piece]:
    """Pieces in the order of the file; text at an angle to the page (stamps, watermarks) is left out."""
    box, origin_x, origin_y = raw.FS_RECTF(), ctypes.c_double(), ctypes.c_double()
    turn = math.radians(rotation)
    cos, sin = round(math.cos(turn)), round(math.sin(turn))
    piece: _Piece | None = None
    for i in range(min(page.count_chars(), most)):
        char = chr(min(raw.FPDFText_GetUnicode(page, i), sys.maxunicode))
        if char in "\r\n\0":
            if piece:
                yield piece
            piece = None
            continue
        if raw.FPDFText_IsGenerated(page, i) == 1 and char == " ":
            if piece:
                piece.text.append(" ")
            continue
        raw.FPDFText_GetLooseCharBox(page, i, box)
        raw.FPDFText_GetCharOrigin(page, i, origin_x, origin_y)
        left, right = sorted((box.left * cos + box.bottom * sin, box.right * cos + box.top * sin))
        baseline = origin_y.value * cos - origin_x.value * sin
        size = round(2 * abs((box.top - box.bottom) * cos - (box.right - box.left) * sin)) / 2
        if piece and (abs(baseline - piece.baseline) > size / 2 or not -size < left - piece.right < size):
            yield piece
            piece = None
        if piece is None:
            angle = raw.FPDFText_GetCharAngle(page, i)
            if char.isspace() or math.cos(angle + turn) < 0.99:
                continue
            piece = _Piece(_bold(page, i), left, baseline)
        piece.text.append("-" if char == _HYPHEN else char)
        piece.right = right
        if not char.isspace():
            piece.sizes[size] += 1
        if char == _HYPHEN:
            yield piece
            piece = None
    if piece:
        yield piece


def _bold(page: pdfium.PdfTextPage, i: int) -> bool:
    name = ctypes.create_string_buffer(256)
    raw.FPDFText_GetFontInfo(page, i, name, 256, None)
    return raw.FPDFText_GetFontWeight(page, i) >= 600 or b"bold" in name.value.lower()


if __name__ == "__main__":
    main()
