"""The curation room: raw items in, clean and scrubbed documents out, every drop with one reason.

    cleaning (extract, normalize, rewrite, scrub) -> judging (language, quality, relevance, toxicity) -> Document

Items are curated one by one, knowing of the others in their group (a thread) who wrote them; only `dedup.decide`
compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.curate.cleaning import clean, find_people
from sovereign_tasks.curate.judging import Released, judge
from sovereign_tasks.records import Cleaned, Document, RawItem, Rejection


@dataclass(frozen=True, slots=True)
class Curated:
    """What became of items: clean texts in the items' order, documents and rejections in the order of their ids."""

    cleaned: list[Cleaned]
    documents: list[Document]
    rejections: list[Rejection]


def curate(
    items: Sequence[RawItem],
    config: ModelConfig,
    *,
    now: datetime,
    people: Mapping[str, Sequence[str]] | None = None,
    released: Released = (),
) -> Curated:
    """Turn raw items into documents.

    `people` are the known names of each group, found in these items where it is left out: whoever writes in a
    thread is a known name in all of it that is curated with them. `released` ones pass the policy `review`.
    """
    if people is None:
        people = find_people((item.group, item.author, item.headers) for item in items)
    return curate_cleaned(clean(items, config, people), config, now=now, released=released)


def curate_cleaned(
    cleaned: Sequence[Cleaned], config: ModelConfig, *, now: datetime, released: Released = ()
) -> Curated:
    """As `curate`, from texts that were cleaned before."""
    documents, rejections = judge(cleaned, config, now=now, released=released)
    return Curated(list(cleaned), sorted(documents, key=lambda d: d.doc_id), sorted(rejections, key=lambda r: r.row_id))
