"""What a person should know of a committed night beyond its figures, in a sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def remarks(manifest: Mapping[str, Any]) -> list[str]:
    """Sentences on what was accepted, removed for good, or waits for a fetch in full; none on an ordinary night."""
    said = [
        f"{one['said']}: accepted by {one['by']}, {one['reason'].rstrip('.')}." for one in manifest.get("accepted", ())
    ]
    if removed := len(manifest.get("purged", {}).get("documents", ())):
        learned = [f"run {run[:8]} learned from {n}" for run, n in manifest.get("learned", {}).items()]
        models = f"; of their examples {', '.join(learned)}" if learned else "; no model had learned from any"
        said.append(f"{_items(removed)} deleted by the author and removed from every table{models}.")
    if stale := manifest.get("stale"):
        said.append(f"{_items(stale)} made by older rules; the next fetch of each is in full.")
    return said


def _items(count: int) -> str:
    return f"{count:,} item{'s' if count > 1 else ''} {'were' if count > 1 else 'was'}"
