"""Make a virtual environment from a list of requirements, or complete one that was interrupted.

Usage: python install.py VENV REQUIREMENTS [BELOW]. With BELOW, another environment, the new one sees that one's
packages and holds only what is asked for on top. Standard library only: this runs before anything is installed.

Two marks in the environment say how far it is: `.making` (pip has begun) and `.complete`, each holding a
fingerprint of the requirements and the Python. With another fingerprint it is made anew; a folder without a mark is
someone else's and is left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

PROJECT = Path(__file__).resolve().parents[1]
# Debian has it in a package of its own (python3.11-venv); without it, the system's pip fills the environment.
_HAS_ENSUREPIP = importlib.util.find_spec("ensurepip") is not None


def main(arguments: list[str]) -> None:
    """Leave the environment complete, or end with one sentence that says why it is not."""
    folder, requirements = Path(arguments[0]).absolute(), Path(arguments[1])
    below = Path(arguments[2]).absolute() if len(arguments) > 2 else None
    wish = _fingerprint(folder, requirements, below)
    if _marked(folder / ".complete", wish):
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _alone():
            if not _marked(folder / ".complete", wish):
                _complete(folder, requirements, below, wish)
    except KeyboardInterrupt:
        sys.exit(f"\n{folder.name} is not complete yet; run the same command again to go on from here.")
    except (OSError, subprocess.CalledProcessError) as e:
        sys.exit(f"\n{folder.name} could not be made: {e}; mend that and run the same command again.")


def _fingerprint(folder: Path, requirements: Path, below: Path | None) -> str:
    parts = [sys.version, os.path.realpath(sys.base_prefix), str(folder), *_wanted(requirements)]
    if below:
        parts.append((below / ".complete").read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _wanted(requirements: Path) -> list[str]:
    lines = (line.split("#")[0].strip() for line in requirements.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _marked(mark: Path, wish: str) -> bool:
    return mark.exists() and mark.read_text(encoding="utf-8") == wish


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process makes an environment here."""
    with Path(__file__).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another command is making the environment; waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _complete(folder: Path, requirements: Path, below: Path | None, wish: str) -> None:
    began = time.monotonic()
    if _marked(folder / ".making", wish):
        print(f"{folder.name} was interrupted; going on from there.", flush=True)
        _remove_halves(_site(folder))
    else:
        _empty(folder)
        print(f"Making {folder.name} with Python {sys.version.split()[0]}, once.", flush=True)
        venv.create(folder, with_pip=_HAS_ENSUREPIP, symlinks=True)
        (_site(folder) / "project.pth").write_text(f"{PROJECT}\n", encoding="utf-8")  # as an editable install
        if below:
            (_site(folder) / "below.pth").write_text(f"{_site(below)}\n", encoding="utf-8")
        (folder / ".making").write_text(wish, encoding="utf-8")
    _pip(folder, requirements)
    (folder / ".making").rename(folder / ".complete")
    print(f"{folder.name} is ready ({time.monotonic() - began:.0f} s).", flush=True)


def _empty(folder: Path) -> None:
    """Clear away an environment of ours, and no other; the mark says all the while that it is one."""
    if folder.exists() and not any((folder / mark).exists() for mark in (".making", ".complete")):
        sys.exit(f"{folder} was not made by this project, so it is left alone: move it away and run this again.")
    folder.mkdir(exist_ok=True)
    (folder / ".making").write_text("", encoding="utf-8")
    (folder / ".complete").unlink(missing_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != ".making":
            entry.unlink()


def _site(folder: Path) -> Path:
    return folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def _remove_halves(site: Path) -> None:
    """pip writes a package's RECORD last; without one it would take the half for the whole."""
    for info in site.glob("*.dist-info"):
        if not (info / "RECORD").exists():
            shutil.rmtree(info)


def _pip(folder: Path, requirements: Path) -> None:
    total = len(_wanted(requirements))
    site = _site(folder)
    log = folder / "install.log"
    python = str(folder / "bin" / "python")
    pip_of = [python, "-m", "pip"] if _HAS_ENSUREPIP else [sys.executable, "-m", "pip", "--python", python]
    command = [*pip_of, "install", "--no-input", "--no-compile", "--progress-bar", "off", "-r", str(requirements)]
    command += [] if _HAS_ENSUREPIP else ["pip"]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with log.open("wb") as output:
        pip = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        bar = _Line()
        while pip.poll() is None:
            text = log.read_text(encoding="utf-8", errors="replace")
            if "\nInstalling collected packages" in text:
                count, doing = len(list(site.glob("*.dist-info"))) - 1, "installing"  # pip is there already
            else:
                count, doing = len(re.findall(r"^(?:Collecting|Requirement already)", text, re.MULTILINE)), "finding"
            bar.show(f"{doing} {min(max(count, 0), total)}/{total} packages")
            time.sleep(0.5)
        bar.end()
    finally:
        if pip.poll() is None:
            pip.terminate()
        pip.wait()
    if pip.returncode:
        _explain(folder.name, log)


class _Line:
    """One line that is written over on a terminal; elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._said = 0.0

    def show(self, text: str) -> None:
        seconds = time.monotonic() - self._began
        if sys.stdout.isatty():
            print(f"\r\033[K  {text}, {seconds:.0f} s", end="", flush=True)
        elif seconds - self._said >= 10:
            self._said = seconds
            print(f"  {text}, {seconds:.0f} s", flush=True)

    def end(self) -> None:
        if sys.stdout.isatty():
            print("\r\033[K", end="", flush=True)


def _explain(name: str, log: Path) -> NoReturn:
    errors = re.findall(r"^ERROR: (.+)", log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    reason = errors[-1].rstrip(".") if errors else "pip ended with an error"
    sys.exit(f"{name} could not be completed: {reason}; the whole story is in {log}. Run the same command again.")


if __name__ == "__main__":
    main(sys.argv[1:])
