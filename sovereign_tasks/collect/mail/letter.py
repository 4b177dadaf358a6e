"""What a message's headers say: who wrote to whom, when, in answer to what, and whether it is a letter at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.errors import HeaderParseError, MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import getaddresses, parsedate_to_datetime

from sovereign_tasks.records import keyed_hash

POLICY = compat32.clone(mangle_from_=False)
_ID = re.compile(r"<\s*([!-;=?-~]{1,250})\s*>")
_REPLY_MARK = re.compile(
    r"\s*(?:re|aw|antw|antwort|sv|vs|res|rép|réf|odp)\s?(?:\[\d{1,3}\]|\(\d{1,3}\))?\s?:", re.IGNORECASE
)
_FORWARD_MARK = re.compile(r"\s*(?:fwd?|wg|tr|rv|enc|doorst|vl)\s?(?:\[\d{1,3}\])?\s?:", re.IGNORECASE)
_TAG = re.compile(r"\s*\[[^\[\]]{1,60}\]\s*")
_TICKET = re.compile(
    r"\s*(?:[\[(](?=[^\[\]()]{0,50}\d)[^\[\]()]{0,20}#[^\[\]()]{0,40}[\])]"
    r"|\b(?:ticket|case|request|vorgang|anfrage)\s?(?:id|nr\.?|no\.?)?\s?[#:]+\s?[\w-]{2,30}:?)\s*",
    re.IGNORECASE,
)
_AUTO_SUBJECT = re.compile(
    r"\s*(?:auto(?:matic|mated)?[ -]?(?:reply|response|antwort)|automatische antwort|out of (?:the )?office|"
    r"abwesenheit\w*|r[ée]ponse automatique|absence du bureau|respuesta autom[áa]tica|fuera de la oficina)\b",
    re.IGNORECASE,
)
_NOBODY_LOCAL = re.compile(r"(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply)(?:[+.-].*)?")
_NOT_A_PERSON = frozenset(
    "abuse account accounts admin bestellung billing booking bot buchhaltung büro care careers co company contact "
    "customer customers desk enquiries feedback gmbh hello help helpdesk hi hr inc info inquiries jobs kontakt kunden "
    "kundenservice list llc ltd mail marketing news noreply notifications office order orders post postmaster press "
    "sales security sekretariat service services shop staff store support team tech technik the verkauf vertrieb via "
    "web webmaster website".split()
)
_HEX = re.compile(r"[0-9a-f]{1,8}")
_EXPUNGED = 0x0008
_QUIBBLE = re.compile(r"\([^()]*\)|\"[^\"]*\"")
_METHOD = re.compile(r"(?:^|[;\s])(dmarc|spf|dkim)\s?=\s?([a-z]+)")
_MOST_CHARS = 50_000
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message by its headers; ids are keyed hashes, for they tell of people and places; addresses in small letters.

    `answers` is the id it says it answers and `references` all ids it names, oldest first. `marked` says that its
    subject calls it a reply; `subject` is bare of such marks and of tickets' tags. `reason` is why it is left out.
    """

    message_id: str
    fingerprint: str
    answers: str
    references: tuple[str, ...]
    subject: str
    marked: bool
    sender: str
    recipients: tuple[str, ...]
    own: bool
    outside: tuple[str, ...]
    author: str
    people: tuple[str, ...]
    written: datetime | None
    reason: str


class Owners:
    """The owner's side: addresses, and whole domains written as @domain."""

    def __init__(self, own: Sequence[str]) -> None:
        self._own = {entry.lower() for entry in own}

    def __contains__(self, address: str) -> bool:
        local, _, domain = address.rpartition("@")
        return {f"@{domain}", address, f"{local.partition('+')[0]}@{domain}"} & self._own != set()

    def list_is_ours(self, identity: str) -> bool:
        """Whether a List-Id or List-Post names one of the owner's domains."""
        domains = {entry.rpartition("@")[2] for entry in self._own}
        return any(re.search(rf"(?<![\w-]){re.escape(domain)}(?![\w.-])", identity.lower()) for domain in domains)


def read_letter(head: bytes, owners: Owners, now: datetime, *, judged: bool = False) -> Letter:
    """Read a message's headers; what is missing is empty, and a message without a sender is `unreadable`.

    Where a server `judged` the sender, one of the owner's side that did not pass makes the message `forged`.
    """
    message = BytesHeaderParser(policy=POLICY).parsebytes(head)
    sent, recipients = _people(message, "From")[:1], _people(message, "To", "Cc")
    answer_to = [p for p in _people(message, "Reply-To") if p[1] not in owners]
    if sent and sent[0][1] in owners and answer_to and all(a in owners for _, a in recipients):
        sent = answer_to[:1]  # a form on the owner's site writes in a customer's name
    name, sender = sent[0] if sent else ("", "")
    addresses = dict.fromkeys(address for _, address in recipients)
    answered = _ids(message, "In-Reply-To")
    references = dict.fromkeys([*_ids(message, "References"), *answered[:1]])
    title, marked = plain_subject(_text(message, "Subject"))
    ids = _ids(message, "Message-ID")
    own = sender in owners
    forged = own and judged and _is_forged(message)
    among_us = all(a in owners for a in [sender, *addresses])
    return Letter(
        message_id=ids[0] if ids else "",
        fingerprint=keyed_hash("letter", *(_text(message, n) for n in ("From", "To", "Cc", "Date", "Subject")))[:16],
        answers=answered[0] if answered else next(reversed(references), ""),
        references=tuple(references),
        subject=title,
        marked=marked,
        sender=sender,
        recipients=tuple(addresses),
        own=own,
        outside=tuple(a for a in dict.fromkeys([sender, *addresses]) if a and a not in owners),
        author=next(_names([(name, sender)]), sender),
        people=tuple(sorted({*_names([*sent, *_people(message, "From"), *recipients])})),
        written=_date(message, now),
        reason="forged" if forged else _fault(message, sender, own, among_us, owners),
    )


def plain_subject(subject: str) -> tuple[str, bool]:
    """A subject without Re:, Fwd:, tags and tickets' numbers, and whether it was marked as a reply."""
    subject, marked = _TICKET.sub(" ", " ".join(subject.split())[:500]), False
    while mark := _REPLY_MARK.match(subject) or _FORWARD_MARK.match(subject) or _TAG.match(subject):
        marked |= mark.re is _REPLY_MARK
        subject = subject[mark.end() :]
    return subject.strip(), marked


def _fault(message: Message, sender: str, own: bool, among_us: bool, owners: Owners) -> str:
    """Why a message is no letter between the owner's side and somebody else, by its headers alone."""
    kind = message.get_content_type()
    says = {name: _text(message, name).lower() for name in _TELLTALES}
    if not sender:
        return "unreadable"
    status = says["X-Mozilla-Status"]
    if _HEX.fullmatch(status) and int(status, 16) & _EXPUNGED:
        return "deleted"
    if says["X-Spam-Flag"].startswith("yes") or says["X-Spam-Status"].startswith("yes"):
        return "spam"
    if {"spam", "trash", "junk"} & set(re.findall(r"\w+", says["X-Gmail-Labels"])):
        return "spam"
    local = sender.partition("@")[0]
    if kind == "multipart/report" or says["X-Failed-Recipients"] or local in ("mailer-daemon", "postmaster"):
        return "bounce"
    if says["Auto-Submitted"] not in ("", "no") or says["X-Autoreply"] or says["X-Autorespond"]:
        return "auto_reply"
    if says["Precedence"] == "auto_reply" or _AUTO_SUBJECT.match(_text(message, "Subject")):
        return "auto_reply"
    if says["Return-Path"] == "<>":
        return "bounce"
    ours = owners.list_is_ours(f"{says['List-Id']} {says['List-Post']}") and (not own or says["In-Reply-To"])
    if not ours and (says["List-Unsubscribe"] or says["List-Id"] or says["Precedence"] in ("bulk", "list", "junk")):
        return "bulk"
    if _NOBODY_LOCAL.fullmatch(local) and not own:
        return "bulk"
    if kind == "text/calendar" or "calendarmessage" in says["Content-Class"]:
        return "invitation"
    if kind in ("multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"):
        return "encrypted"
    return "internal" if among_us else ""


_TELLTALES = (
    "Auto-Submitted Content-Class In-Reply-To List-Id List-Post List-Unsubscribe Precedence Return-Path X-Autoreply "
    "X-Autorespond X-Failed-Recipients X-Gmail-Labels X-Mozilla-Status X-Spam-Flag X-Spam-Status"
).split()


def _is_forged(message: Message) -> bool:
    """Whether the server that took the message in, and so wrote the topmost verdict, found its sender to be false."""
    verdict = _QUIBBLE.sub("", next(iter(_values(message, "Authentication-Results")), "").lower())
    said = {(method, result) for method, result in _METHOD.findall(verdict)}
    return ("dmarc", "fail") in said or (("spf", "fail") in said and ("dkim", "pass") not in said)


def _values(message: Message, name: str) -> list[str]:
    """A header's values as they stand, bytes beyond ASCII read as UTF-8 or else as Windows' Western charset."""
    values = []
    for key, value in message.raw_items():
        if key.lower() == name.lower():
            raw = str(value)[:_MOST_CHARS].encode("utf-8", "surrogateescape")
            values.append(" ".join(_bytes_decoded(raw, None).split()))
    return values


def _text(message: Message, name: str) -> str:
    """All values of a header as one line of text."""
    return " ".join(" ".join(_words(value).split()) for value in _values(message, name))


def _words(value: str) -> str:
    """A value with its encoded words decoded, as far as they can be."""
    try:
        parts = decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    words = [part if isinstance(part, str) else _bytes_decoded(part, cs or "raw-unicode-escape") for part, cs in parts]
    return "".join(words).encode("utf-8", "replace").decode()


def _bytes_decoded(part: bytes, charset: str | None) -> str:
    try:
        return part.decode(charset or "utf-8")
    except (LookupError, ValueError):
        return part.decode("cp1252", "replace")


def _ids(message: Message, name: str) -> list[str]:
    return [keyed_hash("message id", found) for found in _ID.findall(" ".join(_values(message, name)))]


def _people(message: Message, *names: str) -> list[tuple[str, str]]:
    """(display name, address) of whoever stands in these headers."""
    values = [value for name in names for value in _values(message, name)]
    return [(" ".join(_words(n).split()), a.strip().lower()) for n, a in getaddresses(values) if "@" in a]


def _names(people: Sequence[tuple[str, str]]) -> Iterator[str]:
    """What people are called: display names but for companies', and local parts that are no role's."""
    for name, address in people:
        local, _, domain = address.rpartition("@")
        called = re.sub(r"\s*\(.{0,60}\)$|[\"'<>]|\s+via\s.*$", "", name).strip()
        if re.fullmatch(r"[^,@]{1,40}, [^,@]{1,40}", called):  # Hill, Dana
            called = " ".join(reversed(called.split(", ")))
        called = " ".join(word for word in called.split() if word.casefold().strip(".,&") not in _NOT_A_PERSON)
        words = set(re.findall(r"[^\W\d_]{2,}", called.casefold())) - _NOT_A_PERSON
        if not all(len(w) > 3 and w in domain for w in words):
            yield called
        parts = [part for part in re.split(r"[._+-]", local) if len(part) > 1]
        if parts and not set(parts) & _NOT_A_PERSON:
            yield local
            if len(parts) > 1 and all(part.isalpha() for part in parts):
                yield " ".join(parts).title()


def _date(message: Message, now: datetime) -> datetime | None:
    """When it was written, if that can have been."""
    try:
        date = parsedate_to_datetime(next(iter(_values(message, "Date")), ""))
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, MessageError):
        return None
    return date if _EARLIEST <= date <= now + timedelta(days=1) else None
