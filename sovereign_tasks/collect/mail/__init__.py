"""Mail between the owner's side and others: from files or a folder on a server, with its threads rebuilt.

A night first reads the headers of all that is new, so that threads come out the same in whatever order messages
lie; then the letters, one by one. A message is the same wherever it lies: its item is the hash of its Message-ID.
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sovereign_tasks.collect.mail.folder import Folder
from sovereign_tasks.collect.mail.imap import open_imap
from sovereign_tasks.collect.mail.mailbox import Mailbox
from sovereign_tasks.collect.mail.memory import recall
from sovereign_tasks.collect.mail.visit import Visit
from sovereign_tasks.collect.night import Night
from sovereign_tasks.sources import Profile, SourceConfig
from sovereign_tasks.strict_yaml import StrictConfig

_OWN = re.compile(r"[^@\s]*@[^@\s.]+(?:\.[^@\s.]+)+")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class ImapFolder(StrictConfig):
    """One folder of an IMAP server."""

    host: str = Field(min_length=1)
    """The server's name."""
    port: int = Field(993, ge=1, le=65535)
    """Its port."""
    folder: str = Field(min_length=1)
    """The folder to read, by its full name; INBOX only where you write it here."""
    user_env: str
    """Name of the environment variable that holds the user's name."""
    password_env: str
    """Name of the environment variable that holds the password, or an app password."""
    tls: Literal["required", "none"] = "required"
    """TLS from the first byte on; none only for a server on this machine."""

    @field_validator("folder")
    @classmethod
    def _one_folder(cls, folder: str) -> str:
        if set("*%") & set(folder):
            raise ValueError(f"{folder!r} stands for several folders; name one")
        return folder

    @field_validator("user_env", "password_env")
    @classmethod
    def _name_of_variable(cls, name: str) -> str:
        if not _VARIABLE.fullmatch(name):  # it may be the password itself: don't repeat it
            raise ValueError("takes the name of an environment variable, in capitals as MAIL_PASSWORD")
        return name

    @model_validator(mode="after")
    def _secret_on_the_wire(self) -> ImapFolder:
        if self.tls == "none" and not _is_loopback(self.host):
            raise ValueError(f"tls none would send the password in the clear to {self.host!r}; leave tls out")
        return self


class MailSource(SourceConfig):
    """Mail from mbox and EML files, or from a folder of an IMAP server: questions and the owner's side's answers."""

    kind: Literal["mail"]
    profile: Profile = "mail"
    retention_days: int | None = Field(7, ge=1)
    """Days to keep its raw bytes."""
    folder: str = ""
    """Folder with mbox files, EML files or Maildirs; ~ is the home folder, relative paths start at the project's."""
    imap: ImapFolder | None = None
    """Or a folder of an IMAP server, which is only read."""
    own: list[str] = Field(min_length=1)
    """Addresses of the owner's side, and whole domains as @company.example; only its answers are learned as answers."""
    attachments: Literal["ignore", "documents"] = "ignore"
    """Whether attached documents are dropped, or read as documents of their own."""
    max_messages: int = Field(2000, ge=1)
    """New messages a night at most."""
    max_bytes: int = Field(25_000_000, ge=1_000)
    """Bytes of one message at most, attachments included."""

    @field_validator("own")
    @classmethod
    def _addresses(cls, own: list[str]) -> list[str]:
        for entry in own:
            if not _OWN.fullmatch(entry):
                raise ValueError(f"{entry!r} is no address; write me@company.example or @company.example")
        return own

    @model_validator(mode="after")
    def _one_place(self) -> MailSource:
        if bool(self.folder) == bool(self.imap):
            raise ValueError("needs either folder or imap")
        return self


def collect(source: MailSource, night: Night) -> dict[str, Any]:
    """Collect new letters; each is an item under its hashed Message-ID, answers naming their parent and thread.

    An answer of the owner's side has score 1, all else 0. A message that is deleted, or whose file is gone, vanishes;
    one in a file that can't be read stays. One whose thread turns out otherwise when others come late is given anew,
    as is one whose validator was cleared. Left out, with a reason: drafts and deleted mail, spam, bounces, automatic
    replies, bulk, invitations, mail among the owner's side or forged in its name, encrypted, unreadable and too large
    messages.
    Attached documents are items of their own, never answers, and come with messages read from then on.
    `UserError` for what the owner can mend, `TransientError` for a server that is down.
    """
    known, again = recall(night.state)
    places = [place for one in known.values() for place in one.places]
    with _open(source, night, places, bool(again)) as mailbox:
        return Visit(source, night, mailbox, known, again).run()


def _open(source: MailSource, night: Night, places: list[str], again: bool) -> AbstractContextManager[Mailbox]:
    if source.imap:
        return open_imap(source.imap, night, places, again)
    return nullcontext(Folder(source, night, places, again))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
