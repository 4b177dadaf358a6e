"""A message's parts: what of it is kept as the raw letter, and the documents that came with it."""

from __future__ import annotations

import email
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import PurePosixPath

from sovereign_tasks.collect.files import MEDIA_TYPES
from sovereign_tasks.collect.mail.letter import POLICY
from sovereign_tasks.records import keyed_hash

_DEEPEST = 20
_SEALED = ("application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a message; `media_type` is empty for a kind of file that nobody here reads."""

    body: bytes
    media_type: str
    name: str


@dataclass(frozen=True, slots=True)
class Parts:
    """A message without its attachments, as bytes; `reason` is why it is left out, if it is."""

    letter: bytes
    attachments: list[Attachment]
    reason: str


def take_apart(raw: bytes) -> Parts:
    """Part a letter from what is attached to it; where nothing is, its bytes stay as they are.

    Reasons: `encrypted` for a body in S/MIME or PGP, `invitation` for a calendar's, `unreadable` for parts that
    can't be told from each other.
    """
    try:
        message = email.message_from_bytes(raw, policy=POLICY)
        attachments: list[Attachment] = []
        reason = _prune(message, attachments, 0)
        letter = message.as_bytes() if attachments else raw
    except (ValueError, LookupError, RecursionError, TypeError, AttributeError):  # whatever a stranger's bytes can do
        return Parts(raw, [], "unreadable")
    return Parts(letter, attachments, reason)


def body_digest(letter: bytes) -> str:
    """The keyed hash of a letter's body: mail programs write into the headers, and add line ends at the end."""
    return keyed_hash("body", letter.replace(b"\r\n", b"\n").partition(b"\n\n")[2].rstrip())


def _prune(message: Message, attachments: list[Attachment], depth: int) -> str:
    """Take attachments out of a message; what is wrong with what stays."""
    kind = message.get_content_type()
    if depth > _DEEPEST:
        return "unreadable"
    if kind in _SEALED:
        return "encrypted"
    if kind == "text/calendar":
        return "invitation"
    if not message.is_multipart():
        return "encrypted" if kind == "text/plain" and _is_armoured(message) else ""
    kept, reasons = [], []
    for part in list(_parts(message)):
        if _is_attached(part):
            attachments.append(_attachment(part))
        else:
            kept.append(part)
            reasons.append(_prune(part, attachments, depth + 1))
    message.set_payload(kept)
    return next((reason for reason in reasons if reason), "")


def _parts(message: Message) -> Iterator[Message]:
    payload = message.get_payload()
    yield from (part for part in payload if isinstance(part, Message)) if isinstance(payload, list) else ()


def _is_attached(part: Message) -> bool:
    if part.get_content_disposition() == "attachment":
        return True
    kind = part.get_content_type()
    named = part.get_filename() is not None
    return not (kind.startswith(("multipart/", "text/")) or kind in _SEALED) or (named and kind != "text/calendar")


def _attachment(part: Message) -> Attachment:
    payload = part.get_payload(decode=True)
    name = part.get_filename() or ""
    media_type = MEDIA_TYPES.get(PurePosixPath(name).suffix.lower(), "")
    return Attachment(payload if isinstance(payload, bytes) else b"", media_type, name)


def _is_armoured(message: Message) -> bool:
    payload = message.get_payload(decode=True)
    return isinstance(payload, bytes) and payload.lstrip().startswith(b"-----BEGIN PGP MESSAGE-----")
