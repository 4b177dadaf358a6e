from __future__ import annotations

import os

import pytest
from collect_helpers import EMPTY, NOW, after, reasons, run

from sovereign_tasks.collect import night
from sovereign_tasks.collect.files import FilesSource
from sovereign_tasks.config import ModelConfig
from sovereign_tasks.curate import curate
from sovereign_tasks.dataset.examples import derive
from sovereign_tasks.errors import UserError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "documents"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "a.md").write_text("# One")
    (folder / "c.txt").write_text("two")
    (folder / "d.HTML").write_text("<p>three")
    return folder


def read(folder, state=EMPTY, **settings):
    source = FilesSource(
        name="house", kind="files", folder=str(folder), licence="owner", consent="own-content", **settings
    )
    return run(source, state, contact="")


def test_reads_each_file_once_and_again_only_when_its_bytes_change(folder):
    first = read(folder)
    assert [(i.address, i.media_type, i.body) for i in first.items] == [
        ("b/a.md", "text/markdown", b"# One"),
        ("c.txt", "text/plain", b"two"),
        ("d.HTML", "text/html", b"<p>three"),
    ]
    state = after(EMPTY, first)
    os.utime(folder / "c.txt", (1, 1))
    (folder / "d.HTML").write_text("<p>three, edited")
    (folder / "b" / "a.md").unlink()
    second = read(folder, state)
    assert [i.address for i in second.items] == ["d.HTML"]
    assert second.reasons == {"unchanged": 1}
    assert [(g.address, g.by_author) for g in second.gone] == [("b/a.md", False)]
    third = read(folder, after(state, second))
    assert third.reasons == {"not_modified": 2}
    assert third.items == third.gone == []


def test_what_cannot_be_read_is_rejected_by_name(folder, tmp_path):
    (tmp_path / "secret.md").write_text("outside")
    (tmp_path / "elsewhere").mkdir()
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "dangling.md").symlink_to(folder / "nothing.md")
    (folder / ".hidden.md").write_text("no")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.md").write_text("no")
    (folder / "large.md").write_text("x" * 1001)
    (folder / "image.png").write_bytes(b"\x89PNG")
    os.mkfifo(folder / "pipe.md")
    (folder / "notes.by Dana Hill").write_text("x")
    got = read(folder, max_bytes=1000)
    at = {p.name: (p.name, "") for p in folder.iterdir()}
    assert reasons(got, "house", at) == {
        "notes.by Dana Hill": "content_type",
        "link.md": "outside_folder",
        "linked": "outside_folder",
        "dangling.md": "unreadable",
        "large.md": "too_large",
        "image.png": "content_type",
        "pipe.md": "unreadable",
    }
    assert "Dana" not in str([r.measured for r in got.rejections])
    assert got.rows == len(got.items) + sum(got.reasons.values())


def test_a_missing_folder_is_one_sentence_with_its_path(tmp_path):
    with pytest.raises(UserError, match=r"^source house: folder .*/absent does not exist; .*\.$"):
        read(tmp_path / "absent")


def test_documents_of_all_kinds_are_taken_whatever_their_letters(tmp_path):
    kinds = {
        "a.pdf": "application/pdf",
        "b.docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "c.srt": "application/x-subrip",
        "d.VTT": "text/vtt",
        "e.txt": "text/plain",
    }
    for name in kinds:
        (tmp_path / name).write_bytes("für".encode("latin-1"))
    assert {i.address: i.media_type for i in read(tmp_path).items} == kinds


def test_a_table_of_questions_and_answers_gives_an_item_for_each(folder):
    (folder / "faq.csv").write_text(
        "question,answer\nHow long does slate last?,A hundred years.\nMoss?,Brush it off.\n"
    )
    (folder / "prices.csv").write_text("item,price\nslate,12\n")
    first = read(folder)
    pairs = [(i.body, i.score, bool(i.parent)) for i in first.items if i.address == "faq.csv"]
    assert sorted(pairs) == [
        (b"A hundred years.", 1, True),
        (b"Brush it off.", 1, True),
        (b"How long does slate last?", 0, False),
        (b"Moss?", 0, False),
    ]
    assert [(r.text, r.reason) for r in first.rejections] == [("prices.csv", "no_questions")]
    assert first.rows == len(first.items) + sum(first.reasons.values())
    state = after(EMPTY, first)
    assert read(folder, state).reasons == {"not_modified": 5}
    (folder / "faq.csv").write_text("question,answer\nHow long does slate last?,A hundred years.\n")
    second = read(folder, state)
    assert len(second.gone) == 2
    (folder / "faq.csv").unlink()
    state = after(state, second)
    third = read(folder, state)
    assert len(third.gone) == 2
    (folder / "faq.csv").write_text("question,answer\nHow long does slate last?,A hundred years.\n")
    assert len(read(folder, after(state, third)).items) == 2


def test_a_folder_may_be_an_object_stores(folder):
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.md").write_text("no")
    here, stored = read(folder), read(f"file://{folder}")
    assert [(i.address, i.digest) for i in stored.items] == [(i.address, i.digest) for i in here.items]
    state = after(EMPTY, stored)
    (folder / "c.txt").write_text("two, edited")
    (folder / "d.HTML").unlink()
    second = read(f"file://{folder}", state)
    assert ([i.address for i in second.items], [g.address for g in second.gone]) == (["c.txt"], ["d.HTML"])
    with pytest.raises(UserError, match=r"^source house: folder file:///none/at/all does not exist"):
        read("file:///none/at/all")
    with pytest.raises(UserError, match="'nfs://x/y' is no object store's address"):
        read("nfs://x/y")


def test_a_reading_cut_off_goes_on_and_ends_the_same(folder, monkeypatch):
    monkeypatch.setattr(night, "PART_ITEMS", 2)
    (folder / "b" / "broken.pdf").mkdir()
    rows = "".join(f"What of {n}?,It is {n} of them all.\n" for n in range(5))
    (folder / "faq.csv").write_text(f"question,answer\n{rows}")
    (folder / "z.png").write_text("no")
    source = FilesSource(name="house", kind="files", folder=str(folder), licence="owner", consent="own-content")
    whole = run(source)
    assert len(whole.parts) > 4
    for durable in range(1, len(whole.parts)):
        cut = run(source, stop_after=durable)
        rest = run(source, after(EMPTY, cut))
        assert after(after(EMPTY, cut), rest) == after(EMPTY, whole)
        assert sorted((i.address, i.item) for got in (cut, rest) for i in got.items) == [
            (i.address, i.item) for i in whole.items
        ]


def test_a_disk_that_is_not_mounted_deletes_nothing(folder, tmp_path):
    state = after(EMPTY, read(folder))
    empty = tmp_path / "mount"
    empty.mkdir()
    (empty / ".Trash").mkdir()
    for where in (empty, f"file://{empty}"):
        with pytest.raises(UserError, match=r"^source house: folder .*mount is empty, .*; mount its disk or .*\.$"):
            read(where, state)
    assert read(empty).items == []
    (empty / "all gone.txt").write_text("")  # as the sentence says
    assert len(read(empty, state).gone) == len(state.known)


def test_what_lies_below_a_folder_that_cannot_be_read_stays(folder, monkeypatch):
    (folder / "e.md").write_text("five")
    state = after(EMPTY, read(folder))
    real, closed = os.scandir, str(folder / "b")

    def scandir(path):
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    (folder / "e.md").unlink()
    got = read(folder, state)
    assert [g.address for g in got.gone] == ["e.md"]
    assert [(r.text, r.reason) for r in got.rejections] == [("b", "unreadable")]
    monkeypatch.setattr(os, "scandir", real)
    assert read(folder, after(state, got)).reasons == {"not_modified": 3}
    closed = str(folder)
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=r"documents can't be read \(Permission denied\)"):
        read(folder, state)


def test_what_was_rejected_is_rejected_again_only_when_something_changed(folder):
    (folder / "a.jpg").write_bytes(b"picture")
    (folder / "large.md").write_text("x" * 1001)
    (folder / "prices.csv").write_text("item,price\nslate,12\n")
    (folder / "ring.md").symlink_to(folder / "ring.md")
    first = read(folder, max_bytes=1000)
    assert first.reasons == {"content_type": 1, "too_large": 1, "no_questions": 1, "unreadable": 1}
    state = after(EMPTY, first)
    assert read(folder, state, max_bytes=1000).reasons == {"not_modified": 7}
    assert [i.address for i in read(folder, state).items] == ["large.md"]
    (folder / "a.jpg").write_bytes(b"another picture")
    (folder / "prices.csv").write_text("question,answer\nslate?,twelve\n")
    second = read(folder, state, max_bytes=1000)
    assert second.reasons == {"not_modified": 5, "content_type": 1}
    assert [i.address for i in second.items] == ["prices.csv"] * 2


def test_a_file_whose_name_is_no_text_is_rejected_and_the_others_are_read(folder):
    for name in (b"pr\xfcfung.md", b"two\nlines.md"):
        (folder / os.fsdecode(name)).write_text("# One")
    got = read(folder)
    assert sorted((r.text, r.reason) for r in got.rejections) == [
        ("pr\ufffdfung.md", "file_name"),
        ("two\ufffdlines.md", "file_name"),
    ]
    assert len(got.items) == 3


def test_a_table_among_documents_becomes_examples(folder):
    answer = "Brush the moss off the shingle with a soft broom, and never use a pressure washer on the roof."
    (folder / "faq.csv").write_text(f'question,answer\nHow do I take moss off a shingle roof?,"{answer}"\n')
    source = {"name": "house", "kind": "files", "folder": str(folder), "licence": "owner", "consent": "own-content"}
    config = ModelConfig.model_validate(
        {"model": "roofing", "description": "d", "sources": [source], "domain": {"keywords": ["roof", "shingle"]}}
    )
    documents = curate(run(config.sources[0]).items, config, now=NOW).documents
    examples, _ = derive(documents, config.dataset)
    assert [(e.question, e.answer) for e in examples] == [("How do I take moss off a shingle roof?", answer)]
