from __future__ import annotations

import os

import pytest
from collect_helpers import EMPTY, after, reasons, run

from sovereign_tasks.collect.files import FilesSource
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
    (folder / "latin.txt").write_bytes("für".encode("latin-1"))
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
        "latin.txt": "not_utf8",
        "large.md": "too_large",
        "image.png": "content_type",
        "pipe.md": "unreadable",
    }
    assert "Dana" not in str([r.measured for r in got.rejections])
    assert got.rows == len(got.items) + sum(got.reasons.values())


def test_a_missing_folder_is_one_sentence_with_its_path(tmp_path):
    with pytest.raises(UserError, match=r"^source house: folder .*/absent does not exist; .*\.$"):
        read(tmp_path / "absent")
