"""The house's own folder of documents on each of the two days."""

from __future__ import annotations

from pathlib import Path

from sovereign_tasks.demo.facts import CONTENT, fill

DROPPED = "old-price-list-2019.txt"  # leaves on day 2


def _read(folder: Path) -> dict[str, str]:
    return {path.name: fill(path.read_text(encoding="utf-8")) for path in folder.iterdir()}


def documents(day: int) -> dict[str, str]:
    """File name to text, sorted; day 2 has one new, one changed and one fewer."""
    found = _read(CONTENT / "documents")
    if day == 2:
        found |= _read(CONTENT / "documents_day2")
        del found[DROPPED]
    return dict(sorted(found.items()))


def write_documents(folder: Path, day: int) -> None:
    """Make the folder hold the day's documents: unchanged files stay untouched, other days' files go."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = documents(day)
    for name in {*documents(1), *documents(2)} - set(texts):
        (folder / name).unlink(missing_ok=True)
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
