from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sovereign_tasks.platform.databases import Database


def make(url: str, revision: str = "abc") -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
        connection.execute("DELETE FROM alembic_version")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))


def query(database: Database, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(database.path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def database(state: Path) -> Database:
    return Database(state / "x.db", "pytest")


def test_made_once_then_current(database: Database) -> None:
    assert not database.is_current()
    database.migrate(make)
    assert database.is_current()
    assert query(database, "SELECT version_num FROM alembic_version") == [("abc",)]


def test_another_release_or_schema_is_not_current(database: Database) -> None:
    database.migrate(make)
    assert not Database(database.path, "ruff").is_current()
    make(database.url, "older")
    assert not database.is_current()


def test_a_failed_migration_leaves_the_old_one_with_its_rows(database: Database) -> None:
    database.migrate(make)
    with closing(sqlite3.connect(database.path)) as connection, connection:
        connection.execute("CREATE TABLE kept (x)")
        connection.execute("INSERT INTO kept VALUES (1)")

    def fail(url: str) -> None:
        make(url, "half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.migrate(fail)
    assert database.is_current()
    database.migrate(lambda url: make(url, "next"))
    assert database.is_current()
    assert query(database, "SELECT * FROM kept") == [(1,)]
    assert query(database, "SELECT * FROM alembic_version") == [("next",)]
    assert {one.name for one in database.path.parent.iterdir()} == {"x.db", "x.schema.json"}


def test_a_half_made_first_one_is_made_anew(database: Database) -> None:
    with pytest.raises(RuntimeError):
        database.migrate(lambda url: (make(url), (_ for _ in ()).throw(RuntimeError()))[0])
    assert not database.is_recorded()
    database.migrate(make)
    assert database.is_current()


def test_a_kill_before_the_new_one_takes_its_place_loses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.migrate(make)
    with closing(sqlite3.connect(database.path)) as connection, connection:
        connection.execute("CREATE TABLE kept (x)")
        connection.execute("INSERT INTO kept VALUES (1)")

    def cut_off(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", cut_off)
        with pytest.raises(KeyboardInterrupt):
            database.migrate(lambda url: make(url, "next"))
    assert query(database, "SELECT * FROM kept") == [(1,)]
    assert database.is_current()
    database.migrate(lambda url: make(url, "next"))
    assert query(database, "SELECT * FROM kept, alembic_version") == [(1, "next")]
