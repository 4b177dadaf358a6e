"""The SQLite files, made or upgraded on a copy that then takes their place: a kill leaves a whole one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sovereign_tasks.platform.credentials import write_private


@dataclass(frozen=True)
class Database:
    """A metadata database and the package whose release decides its schema."""

    path: Path
    package: str

    @property
    def url(self) -> str:
        """Its SQLAlchemy address."""
        return f"sqlite:///{self.path}"

    @property
    def _record(self) -> Path:
        return self.path.with_suffix(".schema.json")

    def is_recorded(self) -> bool:
        """Whether it was once completed, by any release."""
        return self.path.exists() and self._record.exists()

    def is_current(self) -> bool:
        """Whether this release completed it and its schema is still what it was then; costs no migration."""
        try:
            recorded = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return recorded == self._state() and recorded["revision"] is not None

    def record(self) -> None:
        """Note that this release completed it."""
        write_private(self._record, json.dumps(self._state()) + "\n")

    def discard(self) -> None:
        """Remove it, with SQLite's side files."""
        self.path.unlink(missing_ok=True)
        self._discard_sides()

    def migrate(self, run: Callable[[str], None]) -> None:
        """Bring it to this release's schema: `run` gets the address of a copy, which then takes its place."""
        copy = Database(self.path.with_name(self.path.name + ".new"), self.package)
        copy.discard()
        if self.is_recorded():
            with closing(sqlite3.connect(self.path)) as old, closing(sqlite3.connect(copy.path)) as new:
                old.backup(new)
        run(copy.url)
        with closing(sqlite3.connect(copy.path)) as new:
            new.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        # What SQLite keeps beside a database belongs to the file it was written for. The old file itself stays until
        # the new one takes its name; the backup has already read in what lay beside it.
        self._discard_sides()
        copy.path.replace(self.path)
        copy.discard()
        self.record()

    def end_schedulers(self) -> None:
        """Note in Airflow's own table that no scheduler runs, so that the next one takes their tasks up at once.

        Otherwise a killed scheduler counts as alive for a while, and its tasks may be failed instead.
        """
        ended = "UPDATE job SET state = 'failed' WHERE job_type = 'SchedulerJob' AND state = 'running'"
        # Where Airflow itself is writing all the time, or never got as far, its own time limit has to do.
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(ended)

    def _discard_sides(self) -> None:
        for end in ("-wal", "-shm", "-journal"):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)

    def _state(self) -> dict[str, str | None]:
        revision = None
        # Read-only, and so never the one to create the file.
        address = f"{self.path.as_uri()}?mode=ro"
        with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True)) as connection:
            heads = connection.execute("SELECT version_num FROM alembic_version ORDER BY 1")
            revision = ",".join(row[0] for row in heads)
        return {"version": version(self.package), "revision": revision}
