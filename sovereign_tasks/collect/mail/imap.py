"""Mail in one folder of an IMAP server: opened read-only, so that nothing there changes, flags included."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError, LoginError

from sovereign_tasks.collect.mail.mailbox import Found
from sovereign_tasks.collect.night import Night
from sovereign_tasks.errors import TransientError, UserError

if TYPE_CHECKING:
    from sovereign_tasks.collect.mail import ImapFolder

_TIMEOUT = SocketTimeout(connect=15, read=60)
_BATCH = 200
_SHOWN = 12
_PASSING = re.compile(r"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG)\]|socket error|EOF", re.IGNORECASE)  # RFC 5530


class Imap:
    """A folder on a server as a `Mailbox`; a place is its UIDVALIDITY and a message's UID.

    Drafts and messages marked as deleted count as not there.
    """

    editable, judged, partial = False, True, False

    def __init__(
        self, client: IMAPClient, settings: ImapFolder, night: Night, places: Collection[str], again: bool
    ) -> None:
        self.client, self.again = client, again
        self.address = f"mail:{settings.folder}"
        self.validity = int(client.select_folder(settings.folder, readonly=True)[b"UIDVALIDITY"])
        before = night.state.cursor
        self.after = int(before["uid"]) if before.get("uidvalidity") == self.validity else 0
        self.uids = sorted(client.search(["UNDELETED", "UNDRAFT"]))
        there = {self._place(uid) for uid in self.uids}
        self.gone = {place for place in places if place not in there}

    def messages(self) -> Iterator[Found]:
        """The headers of what has come since the last UID, or of all, in the order of UIDs."""
        asked = [uid for uid in self.uids if self.again or uid > self.after]
        for at in range(0, len(asked), _BATCH):
            batch = asked[at : at + _BATCH]
            got = self.client.fetch(batch, ["BODY.PEEK[HEADER]", "RFC822.SIZE"])
            for uid in sorted(set(got) & set(batch)):  # a server may tell of others unasked
                if b"BODY[HEADER]" in got[uid]:
                    head, size = got[uid][b"BODY[HEADER]"] or b"", got[uid][b"RFC822.SIZE"]
                    yield Found(self._place(uid), head, size, uid <= self.after)

    def read(self, place: str) -> bytes | None:
        """A message's bytes, without marking it as seen; None for one deleted meanwhile."""
        uid = int(place.partition(".")[2])
        return self.client.fetch([uid], ["BODY.PEEK[]"]).get(uid, {}).get(b"BODY[]")

    def cursor(self, place: str | None) -> dict[str, Any]:
        """The folder's UIDVALIDITY and the last UID that was dealt with."""
        last = int(place.partition(".")[2]) if place else max([self.after, *self.uids])
        return {"uidvalidity": self.validity, "uid": max(self.after, last)}

    def _place(self, uid: int) -> str:
        return f"{self.validity}.{uid}"


@contextmanager
def open_imap(settings: ImapFolder, night: Night, places: Collection[str], again: bool) -> Iterator[Imap]:
    """Log in and open the folder; `UserError` for what the owner can mend, `TransientError` for a dead server."""
    where = f"source {night.source.name}: imap"
    server = f"{settings.host}:{settings.port}"
    secrets = {key: os.environ.get(name, "") for key, name in _variables(settings).items()}
    if missing := [f"{_variables(settings)[key]} ({key})" for key, value in secrets.items() if not value]:
        raise UserError(f"{where}: {' and '.join(missing)} not set in the environment; set what is missing.")
    try:
        client = IMAPClient(settings.host, settings.port, ssl=settings.tls == "required", timeout=_TIMEOUT)
    except ssl.SSLCertVerificationError as e:
        raise UserError(f"{where}.host: {server} has no good certificate ({e.verify_message}); mend it.") from None
    except (OSError, IMAPClientError) as e:
        raise TransientError(f"{where}: {server} does not answer ({type(e).__name__}).") from None
    try:
        try:
            client.login(secrets["user_env"], secrets["password_env"])
        except LoginError as e:
            if _PASSING.search(str(e)):
                raise TransientError(f"{where}: {server} can't log anybody in just now.") from None
            names = " and ".join(_variables(settings).values())
            raise UserError(f"{where}: {server} refuses the login; correct {names} in the environment.") from None
        if not client.folder_exists(settings.folder):
            there = sorted(name for _, _, name in client.list_folders())
            shown = ", ".join(there[:_SHOWN]) + (", ..." if len(there) > _SHOWN else "")
            raise UserError(
                f"{where}.folder: {server} has no folder {settings.folder!r}; name one of those it has: {shown}."
            )
        yield Imap(client, settings, night, places, again)
    except (OSError, IMAPClientError) as e:
        raise TransientError(f"{where}: {server} broke off ({type(e).__name__}).") from None
    finally:
        with suppress(OSError, IMAPClientError):
            client.logout()


def _variables(settings: ImapFolder) -> dict[str, str]:
    return {"user_env": settings.user_env, "password_env": settings.password_env}
