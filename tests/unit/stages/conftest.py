"""The small domain of `nights`, ready for its first night."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stages import nights


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of documents that the model in the test's config folder collects from."""
    folder = tmp_path / "documents"
    nights.write_first_day(folder)
    nights.write_config(tmp_path / "config", folder)
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path / "config"))
    return folder
