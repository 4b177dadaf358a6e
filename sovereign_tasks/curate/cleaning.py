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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urljoin

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.curate.extract import extract
from sovereign_tasks.curate.language import identify
from sovereign_tasks.curate.normalize import normalize, rewrite
from sovereign_tasks.curate.pii import PLACEHOLDER, ScrubbedTogether, is_person, person_hash, scrub_together
from sovereign_tasks.curate.unreadable import Unreadable
from sovereign_tasks.records import Cleaned, RawItem, is_web, keyed_hash

CODE = 4  # raised when this half makes another text of the same bytes
_NOBODY = {"", "[deleted]", "[removed]", "deleted", "anonymous", "unknown"}


def cleaning_rules(config: ModelConfig) -> str:
    """The version of the rules that clean an item."""
    personal = config.curation.personal_data.model_dump(exclude={"review_mail"})
    if personal["names"] == "presidio":
        personal["languages"] = config.domain.languages  # a text's language decides on its recogniser
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

    What several addresses hold to the byte is read once. An item without text that can be had carries the reason:
    unreadable (measured is what is wrong, or the error's type), encrypted, no_text.
    """
    rules, read = cleaning_rules(config), functools.cache(functools.partial(_read, config))
    return [_clean_one(item, tuple(people.get(item.group, ())), config, rules, read) for item in items]


class _Read(NamedTuple):
    """What stands in some bytes, scrubbed; `counts` as JSON, `people` as the hashes by which they are found again."""

    title: str
    text: str
    links: tuple[str, ...]
    counts: str
    people: tuple[str, ...]
    reason: str
    measured: str


def _read(config: ModelConfig, body: bytes, media_type: str, title: str, site: str, names: tuple[str, ...]) -> _Read:
    """Extract, normalise, rewrite and scrub; no text where there is a reason."""
    try:
        extracted = extract(body, media_type, title, site)
    except Exception as e:  # whatever a page can do to a parser, the other pages go on
        why = (e.reason, e.measured) if isinstance(e, Unreadable) else ("unreadable", type(e).__name__)
        return _Read("", "", (), "{}", (), *why)
    raw_title = " ".join(rewrite(normalize(extracted.title), config.domain.rewrites).split())
    raw_text = rewrite(normalize(extracted.text), config.domain.rewrites)
    known = (*names, *filter(is_person, extracted.authors))
    scrubbed = _scrub(config, [raw_title, raw_text], known)
    links = _scrub(config, ["\n".join(extracted.links)], known).texts[0].split("\n")
    clean_links = tuple(link for link in links if link and not PLACEHOLDER.search(link))
    counts, people = json.dumps(scrubbed.counts, sort_keys=True), tuple(sorted(scrubbed.people))
    return _Read(*scrubbed.texts, clean_links, counts, people, "", "")


def _scrub(config: ModelConfig, texts: list[str], names: Sequence[str]) -> ScrubbedTogether:
    personal, longest = config.curation.personal_data, max(texts, key=len)
    spoken = identify(longest, config.domain.languages).code if personal.names == "presidio" else "en"
    return scrub_together(texts, names=names, settings=personal, language=spoken)


def _clean_one(
    item: RawItem, names: tuple[str, ...], config: ModelConfig, rules: str, read: Callable[..., _Read]
) -> Cleaned:
    author = "" if item.author.casefold() in _NOBODY else item.author
    found = read(item.body, item.media_type, item.title, urljoin(item.address, "."), names)
    # A path may hold a person's name that no rule finds, so only what is on the web is told.
    (url,) = _scrub(config, [item.address if is_web(item.address) else ""], names).texts
    own = {author, *json.loads(item.headers).get("people", ())} - {""}
    return Cleaned(
        doc_id=item.doc_id,
        rules=rules,
        source=item.source,
        kind=item.kind,
        url=url,
        # Hidden, as these may hold one too.
        group=keyed_hash("group", item.source, item.group),
        item=keyed_hash("group", item.source, item.item or item.address),
        parent=keyed_hash("group", item.source, item.parent) if item.parent else "",
        title=found.title,
        text=url if found.reason else found.text,  # of what has no text, where it lies
        author=keyed_hash("author", item.source, author) if author else "",
        score=item.score,
        created_at=item.created_at,
        licence=item.licence,
        consent=item.consent,
        pii=found.counts,
        links=list(found.links),
        origin=f"{len(item.body)} bytes of {item.media_type.partition(';')[0] or 'unknown type'}",
        reason=found.reason,
        measured=found.measured,
        people=sorted({*found.people, *map(person_hash, own)}),
    )
