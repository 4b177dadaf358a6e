from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.platform import credentials
from sovereign_tasks.platform.credentials import generate_credentials, load_credentials, make_private, write_private


def test_generated_once_private_and_stable(tmp_path: Path) -> None:
    first = load_credentials(tmp_path)
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert load_credentials(tmp_path) == first
    assert len(bytes.fromhex(first.installation_key)) == 32
    assert len(first.jwt_secret) >= 64


def test_two_installations_share_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = load_credentials(tmp_path / "a"), load_credentials(tmp_path / "b")
    assert not set(vars(one).values()) & set(vars(other).values())


def test_a_file_that_others_could_read_is_closed_again(tmp_path: Path) -> None:
    load_credentials(tmp_path)
    (tmp_path / "secrets.json").chmod(0o644)
    load_credentials(tmp_path)
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_nothing_secret_in_the_repr(tmp_path: Path) -> None:
    credentials = load_credentials(tmp_path)
    assert not any(value in repr(credentials) for value in vars(credentials).values())


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", "missing", "not hex"])
def test_a_damaged_file_is_named_and_never_replaced(tmp_path: Path, damage: str) -> None:
    load_credentials(tmp_path)
    path = tmp_path / "secrets.json"
    stored = json.loads(path.read_text())
    if damage == "missing":
        del stored["installation_key"]
        damage = json.dumps(stored)
    elif damage == "not hex":
        damage = json.dumps({**stored, "installation_key": "zz"})
    path.write_text(damage)
    with pytest.raises(UserError, match=r"secrets\.json is damaged"):
        load_credentials(tmp_path)
    assert path.read_text() == damage


def test_write_private_replaces_whole_and_takes_over_a_part_left_by_a_kill(state: Path) -> None:
    path = state / "file"
    path.write_text("old")
    (state / ".file.part").write_text("half")
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in state.iterdir()] == ["file"]


def test_two_first_calls_at_once_agree(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = Barrier(2)

    def generate() -> credentials.Credentials:
        both.wait(10)  # both have seen that there are none yet
        return generate_credentials()

    monkeypatch.setattr(credentials, "generate_credentials", generate)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(load_credentials, [state, state])
    assert one == other == load_credentials(state)
    assert [path.name for path in state.iterdir()] == ["secrets.json"]


def test_a_state_folder_is_closed_and_one_of_others_is_refused(tmp_path: Path, state: Path) -> None:
    make_private(tmp_path / "new" / "state")
    assert (tmp_path / "new" / "state").stat().st_mode & 0o777 == 0o700
    state.chmod(0o755)
    make_private(state)
    assert state.stat().st_mode & 0o777 == 0o700
    load_credentials(state)
    state.chmod(0o750)
    make_private(state)
    assert state.stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "letter").write_text("")
    shared.chmod(0o777)
    with pytest.raises(UserError, match=f"{shared} is open to other users"):
        make_private(shared)
    assert shared.stat().st_mode & 0o777 == 0o777
