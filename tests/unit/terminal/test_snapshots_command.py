"""`snapshots`, `diff` and `verify` after two real nights; `find` and `erase` up to the request."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from sovereign_tasks.config import load_model
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.terminal.erasure import print_found, request_erasure
from sovereign_tasks.terminal.snapshots import print_diff, print_snapshots, print_verified
from tests.unit.stages import nights
from tests.unit.stages.test_erasure import LETTER, MAIL, WORDS


@pytest.fixture(scope="module")
def nights_of_a_letter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights, with a letter in the first."""
    root = tmp_path_factory.mktemp("installation")
    (root / "state").mkdir()
    nights.write_first_day(root / "documents")
    nights.write_config(root / "config", root / "documents")
    (root / "documents" / "larch.md").write_text(LETTER)
    with pytest.MonkeyPatch.context() as patch:
        _live_in(root, patch)
        nights.run_night("one")
        nights.write_second_day(root / "documents")
        nights.run_night("two")
    return root


@pytest.fixture
def installation(nights_of_a_letter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those nights' installation as this test's."""
    _live_in(nights_of_a_letter, monkeypatch)


def _live_in(root: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("SOVEREIGN_STATE", str(root / "state"))
    patch.setenv("SOVEREIGN_CONFIG", str(root / "config"))
    patch.setenv("SOVEREIGN_KEY", "ab" * 32)


def said(command, *arguments, width: int = 80, **options) -> str:
    out = io.StringIO()
    command(Console(file=out, width=width), open_ledger(_state()), load_model("siding"), *arguments, **options)
    return out.getvalue()


def _state() -> str:
    return os.environ["SOVEREIGN_STATE"]


def test_snapshots_are_listed_newest_first(installation: None) -> None:
    lines = said(print_snapshots).splitlines()
    numbers = [line.split()[0] for line in lines if line.split() and line.split()[0].isdigit()]
    assert numbers == ["2", "1"]


def test_a_diff_is_counted_and_told_in_words(installation: None) -> None:
    text = said(print_diff, 1, 2, limit=50)
    assert text.startswith("siding, snapshot 1 to 2: ")
    assert "source house" in text
    assert "reason source_changed" in text
    assert "How long does cedar siding last?" in text
    assert "more; --limit" not in text
    assert "more; --limit" in said(print_diff, 1, 2, limit=1)


def test_a_snapshot_differs_not_from_itself_and_an_unknown_one_is_said(installation: None) -> None:
    assert "0 added, 0 removed, 0 changed" in said(print_diff, 2, 2, limit=5)
    with pytest.raises(UserError, match="siding has no snapshot 7; `snapshots siding` lists them"):
        said(print_diff, 1, 7, limit=5)


def test_what_verifies_is_said_line_by_line(installation: None) -> None:
    text = said(print_verified)
    assert "ok snapshot 1: " in text
    assert text.endswith("All of siding is as it was published.\n")


def test_a_person_is_shown_scrubbed_and_nothing_is_erased_without_yes(installation: None) -> None:
    request = f"email: {MAIL}\n"
    found = said(print_found, io.StringIO(request))
    assert "larch.md" in found
    assert WORDS[:30] in found.replace("\n", " ")
    assert MAIL not in found
    shown = said(request_erasure, io.StringIO(request), sure=False)
    assert "Documents  1 (1 of house)" in shown
    assert "Nothing was erased." in shown
    assert "Not looked into" not in found + shown
    assert open_ledger(_state()).open_requests("siding") == []


def test_without_a_platform_the_request_waits_in_the_ledger(installation: None) -> None:
    shown = said(request_erasure, io.StringIO(f"email: {MAIL}\n"), sure=True)
    (request,) = open_ledger(_state()).open_requests("siding")
    assert f"request {request}" in " ".join(shown.split())
    assert "trigger siding_erase in Airflow" in " ".join(shown.split())


def test_nobody_is_no_request(installation: None) -> None:
    with pytest.raises(UserError, match="has nothing that the request concerns; nothing was erased"):
        said(request_erasure, io.StringIO("email: nobody@kitchens.example\n"), sure=True)
    assert "has nothing that the request concerns" in said(print_found, io.StringIO("email: nobody@kitchens.example\n"))
