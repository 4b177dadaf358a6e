"""Files on this machine as sources: where they lie, whether they were touched, what text they hold."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path

from charset_normalizer import from_bytes

from sovereign_tasks.config import PROJECT
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import keyed_hash
from sovereign_tasks.sources import SourceConfig

_UNPRINTED = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_TORN = 5000
_SAMPLE = 200_000


class Broken(Exception):
    """A file that can't be read (further): what came before stays, and nothing of it is taken for gone."""

    def __init__(self, reason: str, measured: str = "") -> None:
        super().__init__(reason, measured)
        self.reason, self.measured = reason, measured


def locate(text: str) -> Path:
    """A path of the settings: `~` is the home folder, and relative paths start at the project's folder."""
    return (PROJECT / Path(text).expanduser()).resolve()


def matching(source: SourceConfig, text: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files that a `path:` means, by address: one file, a folder's files of these suffixes, or a pattern's.

    An address is the path below the folder, or a single file's name. Hidden files are passed over, and so are
    links that lead out of the folder. A `UserError` where there is nothing, or a folder can't be read: that is
    rather a disk that is not mounted than the owner's wish to delete everything.
    """
    path = locate(text)
    try:
        return _matching(source, path, text, suffixes)
    except (OSError, RuntimeError) as e:  # RuntimeError: links in a ring
        why = getattr(e, "strerror", None) or "links in a ring"
        raise UserError(
            f"source {source.name}: path: {path} can't be read to its last file ({why}); make all of it readable, or "
            "correct the path."
        ) from None


def _matching(source: SourceConfig, path: Path, text: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if path.is_file():
        return {path.name: path}
    if path.is_dir():
        folder, found = path, list(visible(path))
    elif glob.has_magic(text):
        folder = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))
        found = list(_globbed(folder, path.relative_to(folder)))
    else:
        raise UserError(f"source {source.name}: path: {path} does not exist; correct the path.")
    named = [p for p in found if p.name.lower().endswith(suffixes)]
    files = {p.relative_to(folder).as_posix(): p for p in named if p.is_file() and _inside(p, folder)}
    if any(plain(address) != address for address in files):
        raise UserError(
            f"source {source.name}: path: the name of a file below {folder} is no plain text; rename the file."
        )
    if not files:
        kinds = " or ".join(suffixes)
        raise UserError(f"source {source.name}: path: {path} holds no {kinds} file; put one there or correct the path.")
    return dict(sorted(files.items()))


def _globbed(folder: Path, pattern: Path) -> Iterator[Path]:
    """What a pattern means below a folder but hidden files; an `OSError` for a folder on the way that can't be read."""
    for depth in range(len(pattern.parts)):
        for place in folder.glob(str(Path(*pattern.parts[:depth]))) if depth else [folder]:
            if place.is_dir():
                os.scandir(place).close()  # a glob passes over what it may not list
    for path in folder.glob(str(pattern)):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def plain(name: str) -> str:
    """A file's name as text that can be kept: what its bytes or control characters are none of becomes U+FFFD."""
    return _UNPRINTED.sub("\ufffd", name)


def _raise(error: OSError) -> None:
    raise error


def visible(folder: Path, failed: Callable[[OSError], None] = _raise) -> Iterator[Path]:
    """All files below a folder but hidden ones; a linked folder is given, but not entered.

    `failed` is told of a folder that can't be read, with its name.
    """
    for parent, folders, names in os.walk(folder, onerror=failed):
        folders[:] = [f for f in folders if not f.startswith(".")]
        linked = [f for f in folders if Path(parent, f).is_symlink()]
        yield from (Path(parent, name) for name in names + linked if not name.startswith("."))


def stamp(*paths: Path, settings: str = "") -> str:
    """Times of change and sizes of files, and the settings they are read by: what is as it was costs a stat."""
    stats = [path.stat() for path in paths]
    if len(stats) == 1:
        said = f"{stats[0].st_mtime_ns}-{stats[0].st_size}"
    else:
        each = zip(paths, stats, strict=True)
        said = keyed_hash("stamp", *(f"{path.name} {stat.st_mtime_ns}-{stat.st_size}" for path, stat in each))
    return f"{said}-{settings}" if settings else said


def settings_of(source: SourceConfig, *passing: str) -> str:
    """A short hash of a source's own keys: other columns read another thing from the same file.

    `passing` names keys that change nothing about what a row becomes.
    """
    return keyed_hash("settings", source.model_dump_json(exclude={*SourceConfig.model_fields, *passing}))[:8]


def text_of(body: bytes) -> str:
    """The text of a file: UTF-8 with or without a mark, else a guess; `Broken` for what is no text.

    A few torn bytes in a long UTF-8 text become U+FFFD, so that the rows around them are read.
    """
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        lost = len(body) - len(body.decode("utf-8", "ignore").encode())
        if lost <= len(body) // _TORN:
            return body.decode("utf-8-sig", "replace")
    best = from_bytes(body[:_SAMPLE]).best()
    if best is None:
        raise Broken("not_text")
    return body.decode("utf-8-sig" if best.encoding == "ascii" else best.encoding, "replace").removeprefix("\ufeff")


def read_bytes(path: Path, most: int) -> bytes:
    """A file's bytes; `Broken` for one that is larger or can't be read."""
    try:
        size = path.stat().st_size
        if size > most:
            raise Broken("too_large", str(size))
        return path.read_bytes()
    except OSError as e:
        raise Broken("unreadable", e.strerror or type(e).__name__) from None


def by_address(known: list[tuple[str, str]]) -> Mapping[str, dict[str, str]]:
    """Known items by the file they came from: address to item to address."""
    found: dict[str, dict[str, str]] = {}
    for address, item in known:
        found.setdefault(address, {})[item] = address
    return found


def _inside(path: Path, folder: Path) -> bool:
    """Whether a file lies below the folder; a hub's snapshot links to the blobs two folders up."""
    root = folder.parent.parent if folder.parent.name == "snapshots" else folder
    return path.resolve().is_relative_to(root)
