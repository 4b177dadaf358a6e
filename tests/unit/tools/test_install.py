"""tools/install.py: an environment is made once, completed after an interruption, and made anew when it must be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

INSTALL = Path(__file__).resolve().parents[3] / "tools" / "install.py"


def _install(folder: Path, requirements: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    command = [sys.executable, str(INSTALL), str(folder), str(requirements)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An environment without packages, and its empty list of requirements."""
    folder = tmp_path_factory.mktemp("env")
    requirements = folder / "requirements.txt"
    requirements.write_text("# nothing\n", encoding="utf-8")
    assert "is ready" in _install(folder / "venv", requirements).stdout
    return folder / "venv", requirements


def test_a_complete_environment_is_left_alone(made: tuple[Path, Path]) -> None:
    again = _install(*made)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_an_interrupted_one_is_completed_without_its_halves(made: tuple[Path, Path]) -> None:
    folder, requirements = made
    (folder / ".complete").rename(folder / ".making")
    (site,) = folder.glob("lib/*/site-packages")
    (site / "half-1.0.dist-info").mkdir()
    done = _install(folder, requirements)
    assert "going on from there" in done.stdout
    assert (folder / ".complete").exists()
    assert not (site / "half-1.0.dist-info").exists()
    assert list(site.glob("pip-*.dist-info"))


def test_an_environment_of_someone_else_is_left_alone(tmp_path: Path, made: tuple[Path, Path]) -> None:
    theirs = tmp_path / "venv" / "theirs.txt"
    theirs.parent.mkdir()
    theirs.touch()
    refused = _install(theirs.parent, made[1])
    assert refused.returncode == 1
    assert "was not made by this project" in refused.stderr
    assert theirs.exists()


def test_one_that_was_cut_off_is_made_anew_and_its_failure_is_one_sentence(made: tuple[Path, Path]) -> None:
    folder, requirements = made
    (folder / ".complete").unlink()
    (folder / ".making").touch()
    (folder / "bin" / "python").unlink()
    requirements.write_text("no-such-package-anywhere==1.0\n", encoding="utf-8")
    failed = _install(folder, requirements)
    assert "Making" in failed.stdout
    assert failed.returncode == 1
    assert "could not be completed: No matching distribution found for no-such-package-anywhere==1.0" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (folder / ".making").exists()
    assert not (folder / ".complete").exists()
