"""Documents of all kinds through `extract`, each made here; what cannot be read says why and shows nothing of it."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import docx
import pypdfium2 as pdfium
import pypdfium2.raw as raw
import pytest

from sovereign_tasks.curate import curate
from sovereign_tasks.curate.extract import extract
from sovereign_tasks.curate.unreadable import Unreadable

from .conftest import NOW

PAGES = Path(__file__).resolve().parents[4] / "shared/data/pages"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SRT = "application/x-subrip"
VTT = "text/vtt"
W = '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>{}</w:body></w:document>'


def pdf(*contents: bytes, trailer: bytes = b"", packed: bytes = b"") -> bytes:
    """A PDF of these content streams, a page each; `packed` stands for all of them, already deflated."""
    pages = contents or (packed,)
    kids = b" ".join(b"%d 0 R" % (4 + 2 * i) for i in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(pages)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for i, content in enumerate(pages):
        objects += [
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %d 0 R/Resources<</Font<</F 3 0 R>>>>>>"
            % (5 + 2 * i),
            b"<</Length %d%s>>stream\n%s\nendstream"
            % (len(content), b"/Filter/FlateDecode" if packed else b"", content),
        ]
    out, places = b"%PDF-1.7\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer <</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, trailer, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n%s%s" % (len(objects) + 1, table, end)


def lines(*placed: tuple[int, int, int, str]) -> bytes:
    """Content of lines at (left, baseline, size)."""
    return b"".join(b"BT /F %d Tf %d %d Td (%s) Tj ET\n" % (size, x, y, text.encode()) for x, y, size, text in placed)


def page(number: int, *body: tuple[int, int, int, str]) -> bytes:
    return lines((50, 770, 8, "Ridge Handbook"), *body, (290, 30, 8, f"Page {number} of 3"))


def word(made: docx.document.Document, **parts: str) -> bytes:
    """A DOCX as bytes, with some of its parts in word/ replaced."""
    saved, out = io.BytesIO(), io.BytesIO()
    made.save(saved)
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, parts.get(Path(name).stem, old.read(name)))
    return out.getvalue()


def why(body: bytes, media_type: str) -> str:
    with pytest.raises(Unreadable) as caught:
        extract(body, media_type)
    assert "secret" not in str(caught.value)
    return str(caught.value)


def test_paragraphs_of_a_pdf_are_rebuilt_over_lines_and_pages() -> None:
    body = pdf(
        page(
            1,
            (50, 700, 20, "Clean gutters"),
            (50, 660, 10, "Gutters carry water away from the roof to the ground and the mainte-"),
            (50, 648, 10, "nance of them is a well-known chore of each autumn for two people. The"),
            (50, 636, 10, "owner of a house who had his roof built by another crew from a well-"),
        ),
        page(
            2,
            (50, 700, 10, "known shop told us so and went on to tell a great deal more about them."),
            (50, 670, 14, "Tools"),
            (50, 650, 10, "\\225 A ladder that stands on firm ground and is held by another person, not"),
            (58, 638, 10, "by the wall"),
            (50, 620, 10, "\\225 A scoop"),
            (50, 600, 10, "Material"),
            (250, 600, 10, "Cost"),
            (50, 585, 10, "Steel"),
            (250, 585, 10, "$8-15"),
        ),
        page(3, (50, 700, 10, "The end of 2030 came early.")),
    )
    found = extract(body, PDF)
    assert found.title == "Clean gutters"
    assert found.text.split("\n\n") == [
        "Gutters carry water away from the roof to the ground and the maintenance of them is a well-known chore of "
        "each autumn for two people. The owner of a house who had his roof built by another crew from a "
        "well-known shop told us so and went on to tell a great deal more about them.",
        "## Tools",
        "- A ladder that stands on firm ground and is held by another person, not by the wall\n- A scoop",
        "| Material | Cost |\n|---|---|\n| Steel | $8-15 |",
        "The end of 2030 came early.",
    ]


def test_a_hyphen_that_the_document_writes_elsewhere_stays() -> None:
    text = extract(
        pdf(
            lines(
                (50, 700, 10, "A well-known roof and the mainte-"),
                (50, 688, 10, "nance of it by a crew that is well-"),
                (50, 676, 10, "known here."),
            )
        ),
        PDF,
    ).text
    assert text == "A well-known roof and the maintenance of it by a crew that is well-known here."


def test_two_columns_are_read_one_after_the_other_also_when_written_across() -> None:
    left = [f"left line {i} goes on with its words here" for i in range(6)]
    right = [f"right line {i} goes on with its words here" for i in range(6)]
    rows = [[(50, 700 - 12 * i, 10, left[i]), (320, 700 - 12 * i, 10, right[i])] for i in range(6)]
    across = pdf(lines(*(cell for row in rows for cell in row)))
    down = pdf(lines(*(row[0] for row in rows), *(row[1] for row in rows)))
    for body in (across, down):
        words = " ".join(extract(body, PDF).text.split())
        assert words == " ".join(left + right)


def test_a_turned_page_reads_like_an_upright_one() -> None:
    turned = b"".join(
        b"BT /F 10 Tf 0 1 -1 0 %d 50 Tm (line %d of a page) Tj ET\n" % (100 + 12 * i, i) for i in range(3)
    )
    body = pdf(turned).replace(b"/MediaBox", b"/Rotate 90/MediaBox")
    assert extract(body, PDF).text == "line 0 of a page line 1 of a page line 2 of a page"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (pdf(b"0 0 m 9 9 l S"), "no_text: 1 pages without text, scanned perhaps"),
        (pdf(lines((50, 700, 10, "secret")))[:-300], "unreadable: a PDF that is cut short"),
        (b"secret", "unreadable: not a PDF"),
        (b"%PDF-1.7\nsecret\n%%EOF", "unreadable: a damaged PDF"),
        (
            pdf(
                lines((50, 700, 10, "secret")),
                trailer=b"/ID[<00><00>]/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>"
                % (b"11" * 32, b"22" * 32),
            ),
            "encrypted: a PDF under a password",
        ),
    ],
    ids=["scan", "truncated", "other", "damaged", "encrypted"],
)
def test_a_pdf_that_gives_no_text_says_why(body: bytes, said: str) -> None:
    assert why(body, PDF) == said


def test_a_pdf_bomb_ends_its_own_process_only() -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(b"q " * 500_000) for _ in range(90)) + packer.flush()
    assert why(pdf(packed=bomb), PDF) == "unreadable: a PDF that takes too much memory or time to read"


def test_a_pdf_by_the_library_itself_without_pages_has_no_text() -> None:
    made, out = pdfium.PdfDocument.new(), io.BytesIO()
    made.new_page(200, 200)
    made.save(out, flags=raw.FPDF_NO_INCREMENTAL)
    assert why(out.getvalue(), PDF).startswith("no_text")


def test_a_docx_keeps_its_order_and_structure() -> None:
    made = docx.Document()
    made.core_properties.title = "Gutter guide"
    made.add_heading("Gutter guide", 0)
    made.add_heading("Tools", 2)
    made.add_paragraph("A ladder and a ").add_run("scoop").bold = True
    for text in ("one", "two"):
        made.add_paragraph(text, style="List Bullet")
    made.add_paragraph("Then:")
    for text in ("first", "second"):
        made.add_paragraph(text, style="List Number")
    table = made.add_table(2, 3)
    for cell, text in zip(table._cells, ["Material", "Co|st", "", "Steel", "8", "9"], strict=True):
        cell.text = text
    table.cell(0, 1).merge(table.cell(0, 2))
    made.add_table(1, 1).cell(0, 0).text = "In a frame"
    found = extract(word(made), DOCX)
    assert found.title == "Gutter guide"
    assert found.text.split("\n\n") == [
        "## Tools",
        "A ladder and a scoop",
        "- one\n- two",
        "Then:",
        "1. first\n2. second",
        "| Material | Co\\|st |  |\n|---|---|---|\n| Steel | 8 | 9 |",
        "In a frame",
    ]


def test_a_docx_under_review_reads_as_accepted() -> None:
    run = "<w:r><w:t xml:space='preserve'>{}</w:t></w:r>"
    body = (
        f"<w:p><w:ins>{run.format('new ')}</w:ins><w:del><w:r><w:delText>old </w:delText></w:r></w:del>"
        f"{run.format('words')}</w:p><w:sdt><w:sdtContent><w:p>{run.format('in a field')}</w:p></w:sdtContent></w:sdt>"
    )
    assert extract(word(docx.Document(), document=W.format(body)), DOCX).text == "new words\n\nin a field"


def test_entities_of_a_docx_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    entities = f'<!DOCTYPE x [<!ENTITY a SYSTEM "file://{tmp_path}/secret"><!ENTITY b "{"boom" * 9}">]>'
    body = W.format("<w:p><w:r><w:t>kept&a;&b;</w:t></w:r></w:p>")
    assert extract(word(docx.Document(), document=entities + body), DOCX).text == "kept"


def zipped(**parts: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in parts.items():
            made.writestr(name, data)
    return out.getvalue()


def test_a_docx_that_gives_no_text_says_why() -> None:
    whole = word(docx.Document(), document=W.format("<w:p><w:r><w:t>secret</w:t></w:r></w:p>"))
    ole = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600)
    bomb = W.format("<w:p/>" * 4_000_000)
    for body, said in (
        (zipped(secret=b"secret"), "unreadable: a zip that is no DOCX"),
        (zipped(**{"[Content_Types].xml": b"<Types/>"}), "unreadable: a damaged DOCX"),
        (whole[: len(whole) // 2], "unreadable: not a DOCX, or one that is cut short"),
        (word(docx.Document(), document="<secret"), "unreadable: a damaged DOCX (XMLSyntaxError)"),
        (word(docx.Document(), document=W.format("")), "no_text: a DOCX without text"),
        (word(docx.Document(), document=bomb), "unreadable: a DOCX that unpacks to 24 MB"),
        (ole + "EncryptedPackage".encode("utf-16-le"), "encrypted: a DOCX under a password"),
        (ole, "unreadable: a DOC of Word 97-2003, not a DOCX"),
    ):
        assert why(body, DOCX).startswith(said)


def test_a_zip_bomb_of_many_parts_is_not_unpacked() -> None:
    parts = {f"word/media/{i}.bin": bytes(15_000_000) for i in range(14)}
    assert why(zipped(**{"[Content_Types].xml": b"<Types/>"}, **parts), DOCX) == (
        "unreadable: a DOCX that unpacks to 210 MB"
    )


def test_vtt_loses_notes_styles_times_tags_and_names() -> None:
    text = (
        "WEBVTT - a film\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE by secret\nand others\n\n"
        "intro\n00:00.000 --> 00:02.000 align:start\n<v Fred Smith>Clean <i>gutters</i> &amp; roofs</v>\n\n"
        "00:02.000 --> 00:04.000\n<v Fred Smith>twice a <00:03.000><c>year.</c>\n\n"
        "NOTE another\n\nREGION\nid:x\n\n2\n00:04.500 --> 00:06.000\n<v Ann>Why? [Music]\n\n"
        "00:00:09.500 --> 00:00:10.000\nLater on."
    )
    assert extract(text.encode(), VTT).text == "Clean gutters & roofs twice a year.\n\nWhy?\n\nLater on."


def test_speakers_before_a_colon_are_dropped() -> None:
    lines = [
        "DANA HILL: Hello there,",
        "DANA HILL: all of you.",
        "Bozena: yes we do",
        "and more.",
        "- Łukasz Żak: Why?",
    ]
    lines += ["Bozena: The ridge: clean it.", "Note: wear gloves.", "<i>Łukasz Żak: Fine.</i>", "Note: And boots."]
    lines += ["ÖZGE ŞEN:", "Roofs: they leak.", "Bozena : no"]
    cues = [f"{n}\n00:00:{n:02},000 --> 00:00:{n + 1:02},000\n{line}" for n, line in enumerate(lines, 1)]
    assert extract("\n\n".join(cues).encode(), SRT).text.split("\n\n") == [
        "Hello there, all of you.",
        "yes we do and more.",
        "Why?",
        "The ridge: clean it. Note: wear gloves.",
        "Fine. Note: And boots.",
        "Roofs: they leak.",
        "no",
    ]


def test_srt_with_mark_and_crlf_and_in_windows_1252() -> None:
    text = (
        "1\r\n00:00:01,000 --> 00:00:02,000\r\n{\\an8}<font color=red>Die Dachrinne läuft über,</font>\r\n\r\n"
        "2\r\n00:00:02,000 --> 00:00:04,000\r\nweil sie „voll“ ist.\r\n2030\r\n\r\nwar es so.\r\n\r\n"
        "3\r\n00:00:04,000 --> 00:00:05,000\r\n>> FRED: Das Dach gehört geprüft und größer gebaut.\r\n"
    )
    said = (
        "Die Dachrinne läuft über, weil sie „voll“ ist. 2030 war es so.\n\nDas Dach gehört geprüft und größer gebaut."
    )
    for body in (text.encode("utf-8-sig"), text.encode("utf-16")):
        assert extract(body, SRT).text == said
    assert extract(text.encode("cp1252"), f"{SRT}; charset=windows-1252").text == said
    assert "Die Dachrinne läuft über" in extract(text.encode("cp1252"), SRT).text


def test_rolling_captions_are_said_once_and_long_talk_is_parted() -> None:
    words = ["clean the gutters", "before the winter", "with two people"]
    cues = [f"00:0{i}.000 --> 00:0{i + 1}.000\n" + "\n".join(words[max(i - 1, 0) : i + 1]) for i in range(3)]
    assert extract(("WEBVTT\n\n" + "\n\n".join(cues)).encode(), VTT).text == " ".join(words)
    talk = "\n\n".join(f"{i}\n00:00:{i:02},000 --> 00:00:{i + 1:02},000\nSentence number {i}." for i in range(1, 12))
    assert [part.count(".") for part in extract(talk.encode(), SRT).text.split("\n\n")] == [5, 5, 1]


def test_a_transcript_without_cues_or_words_says_why() -> None:
    assert why(b"secret", SRT) == "unreadable: no cue with times"
    assert why(b"WEBVTT\n\n00:01.000 --> 00:02.000\n[Music]\n", VTT) == "no_text: 1 cues without words"


@pytest.mark.parametrize(
    "unit", ["<", "A ", "<v ", "[", ">> ", "{\\", "&amp", "00:00.000 --> 00:01.000\n", "x. ", "\n"]
)
def test_each_pattern_of_transcripts_ends_on_its_worst_text(unit: str) -> None:
    body = "WEBVTT\n\n00:00.000 --> 00:01.000\nx\n" + unit * (200_000 // len(unit))
    assert extract(body.encode(), VTT).text.startswith("x")


def test_a_file_that_cannot_be_read_is_rejected_with_its_reason_and_without_its_path(item: Callable, config) -> None:
    body = pdf(b"0 0 m 9 9 l S")
    scan = item(body, media_type=PDF, address="bids/2026 roof.pdf")
    (rejection,) = curate([scan], config, now=NOW).rejections
    assert (rejection.reason, rejection.measured, rejection.text) == (
        "no_text",
        "1 pages without text, scanned perhaps",
        "",
    )


@pytest.mark.skipif(not PAGES.is_dir(), reason="no pages here")
def test_every_page_has_text() -> None:
    empty = [p.parent.name for p in PAGES.glob("*/source.html") if not extract(p.read_bytes(), "text/html").text]
    assert empty == []
