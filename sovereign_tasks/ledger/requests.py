"""What people ask to have erased: sealed under the installation's key, and gone once it is done."""

from __future__ import annotations

import base64
import hmac
import json
import os
import secrets
from datetime import UTC, datetime

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken

from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger.database import Database
from sovereign_tasks.ledger.tables import REQUESTS
from sovereign_tasks.records import KEY_VARIABLE


class Requests(Database):
    """Open requests for erasure."""

    def open_request(self, model: str, lines: list[tuple[str, str]]) -> str:
        """Keep a request, (kind, value) by line, and give its id, which tells nothing of it."""
        request = secrets.token_hex(8)
        sealed = _cipher().encrypt(json.dumps(lines).encode()).decode()
        with self.engine.begin() as c:
            c.execute(REQUESTS.insert().values(model=model, request=request, sealed=sealed, at=datetime.now(UTC)))
        return request

    def request(self, model: str, request: str) -> list[tuple[str, str]] | None:
        """What a request asks for; None once it is done. UserError where it was sealed under another key."""
        query = sa.select(REQUESTS.c.sealed).where(REQUESTS.c.model == model, REQUESTS.c.request == request)
        with self.reader.connect() as c:
            sealed = c.scalar(query)
        if sealed is None:
            return None
        try:
            return [(kind, value) for kind, value in json.loads(_cipher().decrypt(sealed.encode()))]
        except InvalidToken:
            raise UserError(
                f"The request {request} can't be read: it was sealed under another key than {KEY_VARIABLE}; ask again."
            ) from None

    def open_requests(self, model: str) -> list[str]:
        """Requests that are not done, the oldest first."""
        query = sa.select(REQUESTS.c.request).where(REQUESTS.c.model == model).order_by(REQUESTS.c.at)
        with self.reader.connect() as c:
            return list(c.scalars(query))

    def close_request(self, model: str, request: str) -> None:
        """Delete a request, also from the database's log."""
        with self.engine.begin() as c:
            c.execute(REQUESTS.delete().where(REQUESTS.c.model == model, REQUESTS.c.request == request))
        if self.engine.dialect.name == "sqlite":
            with self.reader.connect() as c:
                c.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _cipher() -> Fernet:
    key = hmac.digest(bytes.fromhex(os.environ[KEY_VARIABLE]), b"erasure requests", "sha256")
    return Fernet(base64.urlsafe_b64encode(key))
