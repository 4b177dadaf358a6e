"""Which files below a folder may hold mail: a Maildir's, by their lasting names, and all others that are not hidden."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_FLAGS = re.compile(r"[:!;]2,(.*)$", re.DOTALL)
_WITHHELD = {"D": "draft", "T": "deleted"}


class Tree:
    """The visible files below a folder; once gone through, it knows of Maildirs and of folders that can't be read."""

    def __init__(self, root: Path) -> None:
        self.root, self.maildirs = root, 0
        self.failed: dict[str, OSError] = {}

    def files(self) -> Iterator[tuple[str, Path]]:
        """(lasting name, path) of files; one in a Maildir goes by its name without its flags."""
        for parent, folders, names in os.walk(self.root, onerror=self._fail):
            here = Path(parent)
            maildir = "cur" in folders and "new" in folders
            self.maildirs += maildir
            folders[:] = ["cur", "new"] if maildir else [f for f in folders if not f.startswith(".")]
            for name in () if maildir else names:
                if name.startswith("."):
                    continue
                path = here / name
                yield self._name(here.parent / _FLAGS.sub("", name) if in_maildir(path) else path), path

    def _fail(self, error: OSError) -> None:
        folder = Path(error.filename)
        self.failed[self._name(folder.parent if folder.name in ("cur", "new") else folder)] = error

    def _name(self, path: Path) -> str:
        return os.fsencode(path.relative_to(self.root)).decode("utf-8", "backslashreplace")


def in_maildir(path: Path) -> bool:
    """Whether a file is a message of a Maildir."""
    return path.parent.name in ("cur", "new") and (path.parent.parent / "cur").is_dir()


def withheld(path: Path) -> str:
    """Why a message of a Maildir is none to learn from, by the flags in its name; empty for all others."""
    flags = _FLAGS.search(path.name)
    return next((_WITHHELD[f] for f in sorted(flags[1]) if f in _WITHHELD), "") if flags and in_maildir(path) else ""
