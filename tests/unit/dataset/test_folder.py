"""A folder takes its name whole or not at all, and what keeps it from that is a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from sovereign_tasks.dataset.folder import check_free, made_whole
from sovereign_tasks.errors import UserError


def test_a_folder_is_there_once_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "here" / "deep" / "out"
    with made_whole(folder) as temporary:
        (temporary / "rows").write_text("all")
        assert not folder.exists()
    assert [path.name for path in (tmp_path / "here").rglob("*")] == ["deep", "out", "rows"]


def test_what_ends_badly_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "here" / "out"

    def fail() -> None:
        with made_whole(folder) as temporary:
            (temporary / "rows").write_text("some")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(folder.parent.iterdir()) == []


def test_a_mount_point_is_refused_before_anything_is_written() -> None:
    with pytest.raises(UserError, match=r"/proc: is a mount point, .* name a new folder inside it"):
        check_free(Path("/proc"))


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    for length in (250, 300):  # too long with what is put beside it while it is written, and by itself
        with (
            pytest.raises(UserError, match="File name too long; name another folder"),
            made_whole(tmp_path / ("x" * length)),
        ):
            pass


def test_a_folder_that_somebody_fills_meanwhile_stays_theirs(tmp_path: Path) -> None:
    folder = tmp_path / "here" / "out"

    def meet() -> None:
        with made_whole(folder):
            folder.mkdir()
            (folder / "theirs").touch()

    with pytest.raises(UserError, match="Directory not empty; name another folder"):
        meet()
    assert [path.name for path in folder.parent.rglob("*")] == ["out", "theirs"]
