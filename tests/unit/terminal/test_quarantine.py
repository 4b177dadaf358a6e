"""`quarantine list` after a real night."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from sovereign_tasks.stages.context import open_context
from sovereign_tasks.terminal.quarantine import print_quarantine
from tests.unit.stages import nights


def listed(reason: str) -> str:
    out, context = io.StringIO(), open_context("siding", "x")
    print_quarantine(Console(file=out), context.ledger, context.config, reason=reason, source="", limit=20)
    return out.getvalue()


def test_it_says_where_a_file_lies_that_the_tables_do_not_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = tmp_path / "documents"
    nights.write_first_day(documents)
    nights.write_config(tmp_path / "config", documents)
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path / "config"))
    broken = documents / "bids" / "Ann [bold] Smith.pdf"
    broken.parent.mkdir()
    broken.write_bytes(b"%PDF-1.4 and no more")
    refused = documents / "bids" / "Whitlock.xlsx"
    refused.write_text("cells")
    nights.run_here("first")

    assert "bids/Ann [bold] Smith.pdf\n(no text is kept of it)" in listed("unreadable")
    assert "bids/Whitlock.xlsx\n(no text is kept of it)" in listed("content_type")
    context = open_context("siding", "x")
    rows = context.store.read("quarantine", context.ledger.builds("siding")).to_pylist()
    assert "unreadable" in {row["reason"] for row in rows}
    assert "Smith" not in str(rows)
    assert "Whitlock" not in str(rows)
    broken.unlink()
    nights.run_here("second")
    assert "Smith" not in listed("unreadable")
