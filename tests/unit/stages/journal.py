"""A kind of source for tests: a JSON file that says what each address holds tonight, and who removed it.

An address holds a text, or [text, group, parent] where it belongs to a thread.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from sovereign_tasks.collect.night import Night
from sovereign_tasks.records import Validator, keyed_hash
from sovereign_tasks.sources import SourceConfig


class JournalSource(SourceConfig):
    """`path` holds {address: text}; a text of "deleted" was removed by its author, one of "gone" by the site."""

    kind: Literal["journal"]
    path: str


def collect(source: JournalSource, night: Night) -> dict[str, Any]:
    """Take what is new or changed."""
    live = {address for address, _ in night.state.known}
    for address, held in json.loads(Path(source.path).read_text()).items():
        night.asked()
        text, group, parent = held if isinstance(held, list) else (held, "", "")
        digest = keyed_hash("body", json.dumps(held))
        seen = night.state.validators.get(address)
        if text in ("deleted", "gone"):
            if address in live:
                night.vanish(address, "", text, by_author=text == "deleted")
        elif seen and seen.digest == digest:
            night.count("not_modified")
        else:
            night.keep(address, text.encode(), "text/markdown", group=group, parent=parent)
            night.remember(Validator(address, "", "", digest))
    return {}
