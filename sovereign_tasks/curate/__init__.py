"""The curation room: raw items in, clean and scrubbed documents out, every drop with one reason.

    extract -> normalize -> rewrite -> scrub -> language -> quality -> relevance -> Document

Items are judged one by one, knowing of the others in their group (a thread) who wrote them; only `dedup.decide`
compares them. Nothing unscrubbed leaves: titles, texts and rejections all pass `pii.scrub_together` first.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.curate.extract import extract
from sovereign_tasks.curate.language import identify
from sovereign_tasks.curate.normalize import normalize, rewrite
from sovereign_tasks.curate.pii import scrub_together
from sovereign_tasks.curate.quality import judge
from sovereign_tasks.curate.relevance import relevance
from sovereign_tasks.curate.unreadable import Unreadable
from sovereign_tasks.records import Document, RawItem, Rejection, StageReport, keyed_hash

_NOBODY = {"", "[deleted]", "[removed]", "deleted", "anonymous", "unknown"}
_REJECTED_CHARS = 2000
_TALK = frozenset({"forum", "mail", "qa"})


@dataclass(frozen=True, slots=True)
class Curated:
    """Documents and rejections, each in the order of their ids; the report's notes hold `pii` counts per class."""

    documents: list[Document]
    rejections: list[Rejection]
    report: StageReport


def curate(
    items: Sequence[RawItem],
    config: ModelConfig,
    *,
    now: datetime,
    people: Mapping[str, Sequence[str]] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Curated:
    """Turn raw items into documents; `progress` is told (done, total) after each item.

    `people` are the known names of each group, found in these items where it is left out: whoever writes in a
    thread is a known name throughout it. Reasons of rejections: unreadable (measured is what is wrong, or the
    error's type), encrypted, no_text, language, those of `quality.judge`, relevance.
    """
    began = time.monotonic()
    documents: list[Document] = []
    rejections: list[Rejection] = []
    pii: Counter[str] = Counter()
    if people is None:
        people = find_people((item.group, item.author, item.headers) for item in items)
    for done, item in enumerate(items, 1):
        outcome = _curate_one(item, people[item.group], config, now)
        if isinstance(outcome, Rejection):
            rejections.append(outcome)
        else:
            documents.append(outcome)
            pii.update(json.loads(outcome.pii))
        progress(done, len(items))
    documents.sort(key=lambda d: d.doc_id)
    rejections.sort(key=lambda r: r.row_id)
    report = StageReport(
        stage="curate",
        rows_in=len(items),
        rows_out=len(documents),
        rejected=dict(sorted(Counter(r.reason for r in rejections).items())),
        seconds=time.monotonic() - began,
        notes={"pii": dict(sorted(pii.items()))},
    )
    return Curated(documents, rejections, report)


def find_people(items: Iterable[tuple[str, str, str]]) -> dict[str, list[str]]:
    """The names that (group, author, headers) of raw items tell, by group."""
    people: defaultdict[str, set[str]] = defaultdict(set)
    for group, author, headers in items:
        people[group] |= {author, *json.loads(headers).get("people", ())} - {""}
    return {group: sorted(n for n in names if n.casefold() not in _NOBODY) for group, names in people.items()}


def _author(item: RawItem) -> str:
    return "" if item.author.casefold() in _NOBODY else item.author


def _curate_one(item: RawItem, names: list[str], config: ModelConfig, now: datetime) -> Document | Rejection:
    domain, bounds = config.domain, config.curation
    personal = bounds.personal_data
    author = _author(item)
    try:
        extracted = extract(item.body, item.media_type, item.title)
    except Exception as e:  # whatever a page can do to a parser, the other pages go on
        why = (e.reason, e.measured) if isinstance(e, Unreadable) else ("unreadable", type(e).__name__)
        (name,), _ = scrub_together(
            [item.address], names=names, settings=personal
        )  # of what has no text, where it lies
        return Rejection("curate", item.doc_id, item.source, *why, name, doc_ids=[item.doc_id])
    raw_title = " ".join(rewrite(normalize(extracted.title), domain.rewrites).split())
    raw_text = rewrite(normalize(extracted.text), domain.rewrites)
    speaks = identify(raw_text or raw_title, domain.languages).code if personal.names == "presidio" else "en"
    (title, text), counts = scrub_together([raw_title, raw_text], names=names, settings=personal, language=speaks)

    def rejected(reason: str, measured: str) -> Rejection:
        row = (item.doc_id, item.source, reason, measured, text[:_REJECTED_CHARS])
        return Rejection("curate", *row, doc_ids=[item.doc_id])

    profile, root = config.source(item.source).profile, not item.parent
    if profile == "document" and item.score is not None:
        profile = "forum"  # a question or answer among documents is as short as in any talk
    talk = profile in _TALK
    if talk and root:
        text = text or title  # a post may ask all it asks in its title
    judged = f"{title}\n\n{text}" if talk and root else text
    if not text:
        return rejected("no_text", f"{len(item.body)} bytes of {item.media_type.partition(';')[0] or 'unknown type'}")
    spoken = identify(judged, domain.languages)
    if not spoken.expected:
        return rejected("language", f"{spoken.code} {spoken.confidence:.2f} not in {','.join(domain.languages)}")
    if not spoken.short and spoken.confidence < bounds.min_language_confidence:
        return rejected("language", f"{spoken.code} {spoken.confidence:.2f} < {bounds.min_language_confidence:.2f}")
    quality = judge(judged, profile, spoken.code)
    if quality.reason:
        return rejected(quality.reason, quality.measured)
    on_topic = relevance(title, text, domain.keywords, reply=not root)
    if on_topic < bounds.min_relevance:
        return rejected("relevance", f"{on_topic:.2f} < {bounds.min_relevance:.2f}")
    return Document(
        doc_id=item.doc_id,
        revision=keyed_hash("revision", title, text),
        source=item.source,
        kind=item.kind,
        # A path may hold a person's name; custody has it.
        url=item.address if item.address.startswith(("http://", "https://")) else "",
        # Hidden, since an address or a file's name may hold a person's.
        group=keyed_hash("group", item.source, item.group),
        item=keyed_hash("group", item.source, item.item or item.address),
        parent=keyed_hash("group", item.source, item.parent) if item.parent else "",
        title=title,
        text=text,
        author=keyed_hash("author", item.source, author) if author else "",
        score=item.score,
        created_at=item.created_at,
        added_at=now,
        language=spoken.code,
        language_confidence=round(spoken.confidence, 4),
        quality=quality.score,
        relevance=on_topic,
        pii=json.dumps(counts, sort_keys=True),
        licence=item.licence,
        consent=item.consent,
    )
