"""The installation's generated secrets: made once, kept in `secrets.json` with mode 0600."""

from __future__ import annotations

import base64
import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from sovereign_tasks.errors import UserError

FILE = "secrets.json"


@dataclass(frozen=True)
class Credentials:
    """What the platform's parts know each other by; never printed by its repr."""

    admin_password: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    api_secret_key: str = field(repr=False)
    fernet_key: str = field(repr=False)
    installation_key: str = field(repr=False)
    """Hex, 32 bytes: the HMAC key of all ids. Losing it cuts every stored id off from its source."""


def generate_credentials() -> Credentials:
    """Fresh random credentials."""
    return Credentials(
        admin_password=secrets.token_urlsafe(12),
        jwt_secret=secrets.token_urlsafe(64),
        api_secret_key=secrets.token_urlsafe(32),
        fernet_key=base64.urlsafe_b64encode(os.urandom(32)).decode(),
        installation_key=secrets.token_hex(32),
    )


def load_credentials(state: Path) -> Credentials:
    """Read the state folder's credentials, making them on the first call.

    Raises UserError if the file is damaged: it is never replaced, since ids depend on its installation key.
    """
    path = state / FILE
    if not path.exists():
        _create(path, json.dumps(asdict(generate_credentials()), indent=1) + "\n")
    path.chmod(0o600)
    names = [one.name for one in fields(Credentials)]
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        credentials = Credentials(**{name: stored[name] for name in names})
        whole = all(isinstance(stored[name], str) and stored[name] for name in names)
        bytes.fromhex(credentials.installation_key)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise UserError(
            f"{path} is damaged: it must hold {', '.join(names)}; restore it from a backup, "
            "since the ids of everything stored depend on it"
        )
    return credentials


def make_private(state: Path) -> None:
    """Make the state folder, and close it to other users.

    Raises UserError where an open folder holds things of others: closing it might lock them out.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not state.stat().st_mode & 0o077:
        return
    if any(state.iterdir()) and not (state / FILE).exists():
        raise UserError(
            f"{state} is open to other users and holds things that are not Sovereign's; "
            "set SOVEREIGN_STATE to a folder of its own, or close this one with chmod 700"
        )
    state.chmod(0o700)


def _create(path: Path, text: str) -> None:
    """Write a file whole unless another was quicker; what is there stays."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write_private(part, text)
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
