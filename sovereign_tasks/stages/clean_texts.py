"""The clean texts that are kept of documents, whatever became of these."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sovereign_tasks.stages.context import Context

if TYPE_CHECKING:
    from sovereign_tasks.digests import Text

CLEAN = ["doc_id", "group", "parent", "title", "text"]


def clean_texts(context: Context, builds: Collection[str], doc_ids: Collection[str]) -> Iterator[pa.Table]:
    """All that are kept, part by part, unless no document is asked for."""
    if doc_ids:
        yield from context.store.scan("cleaned", list(builds), CLEAN)


def text_of(row: dict[str, Any]) -> Text:
    """What a clean text is known by: the same as the document that is made of it."""
    from sovereign_tasks.digests import Text

    return Text(row["group"], row["parent"], row["title"], row["text"] or row["title"])
