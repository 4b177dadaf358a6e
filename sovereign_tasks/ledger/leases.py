"""Names that one process holds alone: a model's tables while they are written, its card while it trains."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from sovereign_tasks.errors import TransientError
from sovereign_tasks.ledger.database import Database
from sovereign_tasks.ledger.tables import LEASES

LEASE_SECONDS = 60.0


class Leases(Database):
    """Who holds which name, and until when."""

    @contextmanager
    def lease(self, name: str, holder: str, seconds: float = LEASE_SECONDS) -> Iterator[Callable[[], None]]:
        """Hold a name alone; TransientError when someone else holds it.

        It is renewed while it is held, so a holder that was killed keeps others out for `seconds` at most, and its own
        retry on the same machine not at all; a retry beside an older try that still lives is refused. What kept it
        from being renewed is raised when the body ends, or by the function that the body is given: it may not have
        been alone.
        """
        process = this_process()
        self._take_lease(name, holder, seconds, process)
        done = threading.Event()
        failed: list[Exception] = []

        def renew() -> None:
            while not done.wait(seconds / 3):
                try:
                    self._take_lease(name, holder, seconds, process)
                except sa.exc.OperationalError:
                    continue  # there is another try before the lease runs out
                except Exception as e:
                    failed.append(e)

        def check() -> None:
            if failed:
                raise failed[0]

        keeper = threading.Thread(target=renew, daemon=True)
        keeper.start()
        try:
            yield check
        finally:
            done.set()
            keeper.join()
            mine = (LEASES.c.name == name, LEASES.c.holder == holder, LEASES.c.process == process)
            with self.engine.begin() as c:
                c.execute(LEASES.delete().where(*mine))
        check()

    def is_held(self, name: str) -> bool:
        """Whether someone holds a name just now."""
        return name in self.held(name)

    def held(self, name: str) -> set[str]:
        """Of a name and those below it, as a/b/c is below a/b, which are held just now."""
        named = sa.or_(LEASES.c.name == name, LEASES.c.name.startswith(f"{name}/", autoescape=True))
        query = sa.select(LEASES.c.name).where(named, LEASES.c.expires_at > datetime.now(UTC))
        with self.reader.connect() as c:
            return set(c.scalars(query))

    def _take_lease(self, name: str, holder: str, seconds: float, process: str) -> None:
        now = datetime.now(UTC)
        with self.reader.connect() as c:
            standing = c.execute(sa.select(LEASES).where(LEASES.c.name == name)).first()
        may_retake = {process}
        if standing and standing.holder == holder and standing.process != process and standing.expires_at >= now:
            if _lives(standing.process):
                raise TransientError(
                    f"{name} is held by an earlier try that still runs; try again when that has ended."
                )
            may_retake.add(standing.process)
        free = sa.or_(sa.and_(LEASES.c.holder == holder, LEASES.c.process.in_(may_retake)), LEASES.c.expires_at < now)
        values = {"holder": holder, "process": process, "expires_at": now + timedelta(seconds=seconds)}
        try:
            with self.engine.begin() as c:
                if not c.execute(LEASES.update().where(LEASES.c.name == name, free).values(**values)).rowcount:
                    c.execute(LEASES.insert().values(name=name, **values))
        except sa.exc.IntegrityError:
            raise TransientError(f"{name} is held by another run; try again when that has ended.") from None


def this_process() -> str:
    """This process, told apart from any other, also from a later one that is given its number."""
    return f"{os.uname().nodename} {os.getpid()} {_started(os.getpid())}"


def _lives(process: str) -> bool:
    """Whether a process may still be at work; of another machine's nobody here can say, so it may."""
    host, pid, started = process.split(" ") if process else (os.uname().nodename, "0", "")
    return host != os.uname().nodename or _started(int(pid)) == started


def _started(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]
