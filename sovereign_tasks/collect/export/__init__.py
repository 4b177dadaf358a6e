"""A person's own export of X, LinkedIn, Mastodon or Reddit: what they wrote in public, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any, Literal

from pydantic import Field

from sovereign_tasks.collect.export import linkedin, mastodon, reddit, x
from sovereign_tasks.collect.export.archive import read_members, wanted_files
from sovereign_tasks.collect.export.posts import entry_rows
from sovereign_tasks.collect.local import Broken, locate, settings_of, stamp
from sovereign_tasks.collect.night import Night
from sovereign_tasks.collect.tabular.reading import Reading, Row
from sovereign_tasks.errors import UserError
from sovereign_tasks.sources import Profile, SourceConfig

FORMATS: dict[str, ModuleType] = {
    "x": x,
    "linkedin": linkedin,
    "mastodon": mastodon,
    "reddit": reddit,
}


class ExportSource(SourceConfig):
    """What a person wrote, from the archive that a platform gave them."""

    kind: Literal["export"]
    profile: Profile = "forum"
    format: Literal["x", "linkedin", "mastodon", "reddit"]
    """Whose archive it is."""
    path: str = Field(min_length=1)
    """The archive (zip, tar.gz) or its unpacked folder; relative paths start at the project's folder."""
    private: bool = False
    """Whether what only followers or connections could see is taken too; direct messages never are."""


def collect(source: ExportSource, night: Night) -> dict[str, Any]:
    """Read an archive that is new or changed; a post is one item under its public address.

    A newer archive takes the older one's place at the same path: what it no longer holds was deleted by its
    author. Replies to others stand by themselves, one's own threads stay together. `UserError` for an archive
    that is missing, broken or not whole; then nothing is taken for deleted.
    """
    path, form = locate(source.path), FORMATS[source.format]
    if not path.exists():
        raise UserError(
            f"source {source.name}: path: {path} does not exist; put the archive there or correct the path."
        )
    known = {item: address for address, item in night.state.known}
    try:
        stamped = stamp(*wanted_files(path, form.WANTED), settings=settings_of(source, "path"))
    except OSError as e:
        raise UserError(
            f"source {source.name}: path: {e.filename} can't be read ({e.strerror}); make it readable."
        ) from None

    def rows(start: int) -> Iterator[Row]:
        try:
            members = read_members(path, form.WANTED)
            for kind, part in form.PARTS.items():
                if any(item.startswith(kind) for item in known) and not any(n.startswith(part) for n in members):
                    raise Broken("missing", f"there is no {part} any more")
            posts = form.read(members, private=source.private)
        except Broken as e:
            why = f"{e.reason}: {e.measured}" if e.measured else e.reason
            raise UserError(
                f"source {source.name}: path: {path} is no complete {source.format} archive ({why}); copy it there "
                f"again, or correct path and format."
            ) from None
        yield from entry_rows(posts, start)

    reading = Reading(night, {path.name: known}, by_author=True)
    reading.file(path.name, stamped, rows)
    return {}
