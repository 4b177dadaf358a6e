"""The second half of curation: clean text in, documents out, every drop with one reason.

    language -> quality -> relevance -> toxicity -> Document

It reads clean, scrubbed text alone, so changed rules of judging are put to what was cleaned before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Sequence
from dataclasses import replace
from datetime import datetime

from sovereign_tasks.config import CurationConfig, ModelConfig, Policy
from sovereign_tasks.curate.language import Language, identify
from sovereign_tasks.curate.quality import judge as judge_quality
from sovereign_tasks.curate.relevance import relevance
from sovereign_tasks.digests import Text, exact_hash
from sovereign_tasks.records import Cleaned, Document, Rejection, keyed_hash

CODE = 1  # raised when this half judges the same text otherwise
_HELD = "held_"  # how reasons begin for which a document waits until a person releases it
_REJECTED_CHARS = 2000
Released = Container[tuple[str, str]]
"""What a person let pass: doc_ids, each with the exact hash of the words that were read."""
_TALK = frozenset({"forum", "mail", "qa"})
_TOLD_ELSEWHERE = {"retention_days", "near_duplicate", "personal_data"}


def judging_rules(config: ModelConfig, source: str) -> str:
    """The version of the rules by which a source's documents are judged."""
    domain = config.domain.model_dump(exclude={"rewrites"})
    settings = config.curation.model_dump(exclude=_TOLD_ELSEWHERE)
    own = config.source(source).model_dump(include={"profile", "max_alike", "licence", "consent"})
    return hashlib.sha256(json.dumps([CODE, domain, settings, own], sort_keys=True).encode()).hexdigest()[:16]


def judge(
    cleaned: Sequence[Cleaned], config: ModelConfig, *, now: datetime, released: Released = ()
) -> tuple[list[Document], list[Rejection]]:
    """Hold texts against the model's bounds, in order; `released` ones pass the policy `review`.

    Reasons of rejections: those of `cleaning.clean`, no_text, language, those of `quality.judge`, relevance, toxic,
    and held_off_topic and held_toxic for what waits for a person.
    """
    outcomes = [_judge_one(one, config, now, released) for one in cleaned]
    documents = [outcome for outcome in outcomes if isinstance(outcome, Document)]
    rejections = [outcome for outcome in outcomes if isinstance(outcome, Rejection)]
    if config.curation.toxic != "keep" and documents:
        from sovereign_tasks.curate.toxicity import toxicity  # late and together, as its model is slow for one text

        scores = zip(documents, toxicity([f"{d.title}\n{d.text}" for d in documents]), strict=True)
        judged = [_judge_manners(d, s, config.curation, released) for d, s in scores]
        documents = [outcome for outcome in judged if isinstance(outcome, Document)]
        rejections += [outcome for outcome in judged if isinstance(outcome, Rejection)]
    return [replace(document, revision=_revision(document)) for document in documents], rejections


def _revision(document: Document) -> str:
    """Of all that later stages go by but its scores, which may change from night to night."""
    d = document
    return keyed_hash("revision", d.title, d.text, d.group, d.parent, d.licence, d.consent, json.dumps(d.flags))


def _judge_manners(
    document: Document, score: float, bounds: CurationConfig, released: Released
) -> Document | Rejection:
    if score <= bounds.max_toxicity:
        return replace(document, toxicity=score)
    if reason := _refused(bounds.toxic, "toxic", "toxic", document, document.text, released):
        return _rejection(document, reason, f"{score:.2f} > {bounds.max_toxicity:.2f}")
    return replace(document, toxicity=score, flags=[*document.flags, "toxic"])


def _refused(
    policy: Policy,
    dropped: str,
    flag: str,
    one: Cleaned | Document,
    text: str,
    released: Released,
) -> str:
    """The reason for which a policy turns down what is beyond its bound, if it does.

    A release is of the words that a person read, so others of the same document wait anew.
    """
    if policy == "drop":
        return dropped
    if policy != "review" or (one.doc_id, exact_hash(Text(one.group, one.parent, one.title, text))) in released:
        return ""
    return f"{_HELD}{flag}"


def _rejection(one: Cleaned | Document, reason: str, measured: str) -> Rejection:
    return Rejection("curate", one.doc_id, one.source, reason, measured, one.text[:_REJECTED_CHARS], [one.doc_id])


def _judge_one(one: Cleaned, config: ModelConfig, now: datetime, released: Released) -> Document | Rejection:
    domain, bounds, text, source = config.domain, config.curation, one.text, config.source(one.source)
    if one.reason:
        return _rejection(one, one.reason, one.measured)
    profile, root = source.profile, not one.parent
    if profile == "document" and one.score is not None:
        profile = "qa"  # a question or answer among documents is as short as in any talk
    talk = profile in _TALK
    if talk and root:
        text = text or one.title  # a post may ask all it asks in its title
    if not text:
        return _rejection(one, "no_text", one.origin)
    judged = f"{one.title}\n\n{text}" if talk and root else text
    spoken = identify(judged, domain.languages)
    if fault := _language_fault(spoken, config):
        return _rejection(one, "language", fault)
    quality = judge_quality(judged, profile, spoken.code)
    if quality.reason:
        return _rejection(one, quality.reason, quality.measured)
    on_topic = relevance(one.title, text, domain.keywords, reply=not root)
    off_topic = on_topic < bounds.min_relevance and bounds.off_topic != "keep"
    if off_topic and (reason := _refused(bounds.off_topic, "relevance", "off_topic", one, text, released)):
        return _rejection(one, reason, f"{on_topic:.2f} < {bounds.min_relevance:.2f}")
    return Document(
        doc_id=one.doc_id,
        revision="",
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
        licence=source.licence,  # as the owner states them now
        consent=source.consent,
        links=one.links,
        flags=["off_topic"] if off_topic else [],
    )


def _language_fault(spoken: Language, config: ModelConfig) -> str:
    """What is wrong with a text's language, if anything."""
    said, languages = f"{spoken.code} {spoken.confidence:.2f}", config.domain.languages
    if not spoken.expected:
        return f"{said} not in {','.join(languages)}"
    least = config.curation.min_language_confidence
    return f"{said} < {least:.2f}" if not spoken.short and spoken.confidence < least else ""
