"""The second half of curation: clean text in, documents out, every drop with one reason.

    language -> quality -> relevance -> toxicity -> Document

It reads clean, scrubbed text alone, so changed rules of judging are put to what was cleaned before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Sequence
from datetime import datetime

from sovereign_tasks.config import CurationConfig, ModelConfig, Policy
from sovereign_tasks.curate.language import Language, identify
from sovereign_tasks.curate.quality import judge as judge_quality
from sovereign_tasks.curate.relevance import relevance
from sovereign_tasks.records import Cleaned, Document, Rejection, keyed_hash

CODE = 1  # raised when this half judges the same text otherwise
HELD = "held_"
"""How reasons begin for which a row waits until a person releases it."""
_REJECTED_CHARS = 2000
_TALK = frozenset({"forum", "mail", "qa"})
_TOLD_ELSEWHERE = {"retention_days", "near_duplicate", "personal_data"}


def judging_rules(config: ModelConfig, source: str) -> str:
    """The version of the rules by which a source's documents are judged."""
    domain = config.domain.model_dump(exclude={"rewrites"})
    settings = config.curation.model_dump(exclude=_TOLD_ELSEWHERE)
    own = config.source(source).model_dump(include={"profile", "max_alike"})
    return hashlib.sha256(json.dumps([CODE, domain, settings, own], sort_keys=True).encode()).hexdigest()[:16]


def judge(
    cleaned: Sequence[Cleaned], config: ModelConfig, *, now: datetime, released: Container[str] = ()
) -> tuple[list[Document], list[Rejection]]:
    """Hold texts against the model's bounds, in order; `released` documents pass the policy `review`.

    Reasons of rejections: those of `cleaning.clean`, no_text, language, those of `quality.judge`, relevance, toxic,
    and held_off_topic and held_toxic for what waits for a person.
    """
    toxicity = _toxicity([f"{one.title}\n{one.text}" for one in cleaned], config.curation)
    outcomes = [
        _judge_one(one, config, now, score, is_released=one.doc_id in released)
        for one, score in zip(cleaned, toxicity, strict=True)
    ]
    documents = [outcome for outcome in outcomes if isinstance(outcome, Document)]
    return documents, [outcome for outcome in outcomes if isinstance(outcome, Rejection)]


def _toxicity(texts: Sequence[str], bounds: CurationConfig) -> Sequence[float | None]:
    """A score of each text; none where no policy asks for one."""
    if bounds.toxic == "keep":
        return [None] * len(texts)
    from sovereign_tasks.curate.toxicity import toxicity

    return toxicity(texts)


def _judge_one(
    one: Cleaned, config: ModelConfig, now: datetime, toxicity: float | None, *, is_released: bool
) -> Document | Rejection:
    domain, bounds, text = config.domain, config.curation, one.text

    def rejected(reason: str, measured: str) -> Rejection:
        return Rejection("curate", one.doc_id, one.source, reason, measured, text[:_REJECTED_CHARS], [one.doc_id])

    if one.reason:
        return rejected(one.reason, one.measured)
    profile, root = config.source(one.source).profile, not one.parent
    if profile == "document" and one.score is not None:
        profile = "qa"  # a question or answer among documents is as short as in any talk
    talk = profile in _TALK
    if talk and root:
        text = text or one.title  # a post may ask all it asks in its title
    if not text:
        return rejected("no_text", one.origin)
    judged = f"{one.title}\n\n{text}" if talk and root else text
    spoken = identify(judged, domain.languages)
    if fault := _language_fault(spoken, config):
        return rejected("language", fault)
    quality = judge_quality(judged, profile, spoken.code)
    if quality.reason:
        return rejected(quality.reason, quality.measured)
    on_topic = relevance(one.title, text, domain.keywords, reply=not root)
    crossed: list[tuple[Policy, str, str, str]] = []
    if on_topic < bounds.min_relevance:
        crossed.append((bounds.off_topic, "off_topic", "relevance", f"{on_topic:.2f} < {bounds.min_relevance:.2f}"))
    if toxicity is not None and toxicity > bounds.max_toxicity:
        crossed.append((bounds.toxic, "toxic", "toxic", f"{toxicity:.2f} > {bounds.max_toxicity:.2f}"))
    for policy, flag, reason, measured in crossed:
        if policy == "drop":
            return rejected(reason, measured)
        if policy == "review" and not is_released:
            return rejected(f"{HELD}{flag}", measured)
    return Document(
        doc_id=one.doc_id,
        revision=keyed_hash("revision", one.title, text),
        source=one.source,
        kind=one.kind,
        url=one.url,
        group=one.group,
        item=one.item,
        parent=one.parent,
        title=one.title,
        text=text,
        author=one.author,
        score=one.score,
        created_at=one.created_at,
        added_at=now,
        language=spoken.code,
        language_confidence=round(spoken.confidence, 4),
        quality=quality.score,
        relevance=on_topic,
        pii=one.pii,
        licence=one.licence,
        consent=one.consent,
        toxicity=toxicity,
        links=one.links,
        flags=[flag for policy, flag, *_ in crossed if policy != "keep"],
    )


def _language_fault(spoken: Language, config: ModelConfig) -> str:
    """What is wrong with a text's language, if anything."""
    said, languages = f"{spoken.code} {spoken.confidence:.2f}", config.domain.languages
    if not spoken.expected:
        return f"{said} not in {','.join(languages)}"
    least = config.curation.min_language_confidence
    return f"{said} < {least:.2f}" if not spoken.short and spoken.confidence < least else ""
