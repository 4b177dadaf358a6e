"""The first half of curation: raw items in, clean and scrubbed text out.

    extract -> normalize -> rewrite -> scrub -> Cleaned

It depends on an item's bytes, on who writes in its thread, and on the rules of rewriting and scrubbing. Nothing is
judged here, so a changed threshold needs none of it again. Nothing unscrubbed leaves.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.curate.extract import Extracted, extract
from sovereign_tasks.curate.language import identify
from sovereign_tasks.curate.normalize import normalize, rewrite
from sovereign_tasks.curate.pii import PLACEHOLDER, scrub_together
from sovereign_tasks.curate.unreadable import Unreadable
from sovereign_tasks.records import Cleaned, RawItem, keyed_hash

CODE = 3  # raised when this half makes another text of the same bytes
_NOBODY = {"", "[deleted]", "[removed]", "deleted", "anonymous", "unknown"}


def cleaning_rules(config: ModelConfig) -> str:
    """The version of the rules that clean an item."""
    personal = config.curation.personal_data.model_dump(exclude={"review_mail"})
    rules = [CODE, [rule.model_dump() for rule in config.domain.rewrites], personal]
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]


def find_people(items: Iterable[tuple[str, str, str]]) -> dict[str, list[str]]:
    """The names that (group, author, headers) of raw items tell, by group."""
    people: defaultdict[str, set[str]] = defaultdict(set)
    for group, author, headers in items:
        people[group] |= {author, *json.loads(headers).get("people", ())} - {""}
    return {group: sorted(n for n in names if n.casefold() not in _NOBODY) for group, names in people.items()}


def clean(items: Sequence[RawItem], config: ModelConfig, people: Mapping[str, Sequence[str]]) -> list[Cleaned]:
    """Clean items one by one; `people` are the known names of each group, scrubbed throughout it.

    An item without text that can be had carries the reason: unreadable (measured is what is wrong, or the error's
    type), encrypted, no_text.
    """
    rules = cleaning_rules(config)
    return [_clean_one(item, people.get(item.group, ()), config, rules) for item in items]


def _clean_one(item: RawItem, names: Sequence[str], config: ModelConfig, rules: str) -> Cleaned:
    author = "" if item.author.casefold() in _NOBODY else item.author
    address, personal = _web_address(item), config.curation.personal_data
    reason = measured = ""
    try:
        extracted = extract(item.body, item.media_type, item.title, address)
    except Exception as e:  # whatever a page can do to a parser, the other pages go on
        reason, measured = (e.reason, e.measured) if isinstance(e, Unreadable) else ("unreadable", type(e).__name__)
        extracted = Extracted("", item.address)  # of what has no text, where it lies
    raw_title = " ".join(rewrite(normalize(extracted.title), config.domain.rewrites).split())
    raw_text = rewrite(normalize(extracted.text), config.domain.rewrites)
    spoken = identify(raw_text or raw_title, config.domain.languages).code if personal.names == "presidio" else "en"
    scrub = functools.partial(scrub_together, names=names, settings=personal, language=spoken)
    (title, text), counts = scrub([raw_title, raw_text])
    (url, links), _ = scrub([address, "\n".join(extracted.links)])
    return Cleaned(
        doc_id=item.doc_id,
        rules=rules,
        source=item.source,
        kind=item.kind,
        url=url,
        # Hidden, since an address or a file's name may hold a person's.
        group=keyed_hash("group", item.source, item.group),
        item=keyed_hash("group", item.source, item.item or item.address),
        parent=keyed_hash("group", item.source, item.parent) if item.parent else "",
        title=title,
        text=text,
        author=keyed_hash("author", item.source, author) if author else "",
        score=item.score,
        created_at=item.created_at,
        licence=item.licence,
        consent=item.consent,
        pii=json.dumps(counts, sort_keys=True),
        links=[link for link in links.split("\n") if link and not PLACEHOLDER.search(link)],
        origin=f"{len(item.body)} bytes of {item.media_type.partition(';')[0] or 'unknown type'}",
        reason=reason,
        measured=measured,
    )


def _web_address(item: RawItem) -> str:
    """Where a document is to be read, for what is on the web: a path may hold a person's name, and custody has it."""
    return item.address if item.address.startswith(("http://", "https://")) else ""
