"""A kind of source for tests: a JSON file that says what each address holds tonight, and who removed it."""

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
    for address, text in json.loads(Path(source.path).read_text()).items():
        night.asked()
        body = text.encode()
        seen = night.state.validators.get(address)
        if text in ("deleted", "gone"):
            if address in live:
                night.vanish(address, "", text, by_author=text == "deleted")
        elif seen and seen.digest == keyed_hash("body", body):
            night.count("not_modified")
        else:
            night.keep(address, body, "text/markdown")
            night.remember(Validator(address, "", "", keyed_hash("body", body)))
    return {}
