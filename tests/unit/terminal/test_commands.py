"""What the command line says to what it can't do: one sentence, at once, exit code 2, and nothing started."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sovereign_tasks.platform.credentials import make_private
from sovereign_tasks.platform.environment import marker
from sovereign_tasks.platform.lock import StateLock, write_card
from sovereign_tasks.platform.processes import find_marked
from sovereign_tasks.sources import KINDS

ROOT = Path(__file__).parents[3]
MODEL = """
model: siding
description: Assistant for siding crews
sources:
  - {name: house, kind: files, folder: "/documents", licence: owner, consent: own-content}
domain: {keywords: [siding]}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config folder with one good model, siding."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "siding.yaml").write_text(MODEL)
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(folder))
    return folder


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line as its user calls it."""
    return subprocess.run(
        [sys.executable, "-m", "sovereign_tasks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def refused(state: Path, *arguments: str) -> str:
    """The sentence with which a command is refused, which is all it says, before it starts anything."""
    done = command(*arguments)
    assert (done.returncode, done.stdout.count("\n") <= 1) == (2, True), done
    assert [line[:7] for line in done.stderr.splitlines()] == ["Error: "], done.stderr
    assert not state.exists() or find_marked(marker(state)) == []
    return done.stderr.removeprefix("Error: ").rstrip()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("description:", "descriptoin: x\ndescription:", "descriptoin is not a known key; did you mean description?"),
        ("keywords: [siding]", "keywords: siding", "domain.keywords: should be a list, not 'siding'."),
        ("domain: {", "domain: {{", "line 7: not valid YAML: "),
        (
            "kind: files",
            "kind: flies",
            f"house.kind: should be {' or '.join(KINDS)}, not 'flies'; did you mean files?",
        ),
    ],
)
def test_a_mistake_in_a_model_file(config: Path, state: Path, old: str, new: str, said: str) -> None:
    path = config / "siding.yaml"
    path.write_text(MODEL.replace(old, new))
    sentence = refused(state, "run", "siding", "--up")
    assert sentence.startswith(f"{path}: ")
    assert said in sentence


def test_two_models_with_one_name(config: Path, state: Path) -> None:
    shutil.copy(config / "siding.yaml", config / "other.yaml")
    said = refused(state, "run", "siding", "--up")
    assert said == (
        f"{config}/siding.yaml: model: 'siding' is taken by {config}/other.yaml; give each model a name of its own."
    )


def test_a_mistake_in_another_file_harms_nobody(config: Path) -> None:
    (config / "broken.yaml").write_bytes(b"model: [\xff\n")
    done = command("status", "siding")
    assert (done.returncode, done.stdout) == (
        0,
        "siding: its file is in order; no night has been published yet; start one with `run siding --up`.\n",
    )


def test_a_mistake_in_platform_yaml(config: Path, state: Path) -> None:
    (config / "platform.yaml").write_text("gpu_slots: many\n")
    assert refused(state, "up") == f"{config}/platform.yaml: gpu_slots: should be a whole number, not 'many'."


@pytest.mark.usefixtures("config")
def test_what_it_writes_is_its_owners_alone(state: Path) -> None:
    state.chmod(0o755)
    assert (
        subprocess.run(
            ["sh", "-c", 'umask 022; exec "$@"', "-", sys.executable, "-m", "sovereign_tasks", "status", "siding"],
            cwd=ROOT,
        ).returncode
        == 0
    )
    assert (state / "ledger.db").exists()
    assert [p for p in (state, *state.rglob("*")) if p.stat().st_mode & 0o077] == []


@pytest.mark.usefixtures("config")
def test_accepting_what_is_not_there(state: Path) -> None:
    said = refused(state, "accept", "4f1c22ab90de7710", "--reason", "it is right")
    assert said.startswith("There is no night 4f1c22ab90de7710; ")


def test_a_missing_base_model(config: Path, state: Path) -> None:
    (config / "siding.yaml").write_text(MODEL + "training: {base_model: /nowhere}\n")
    assert refused(state, "run", "siding", "--up") == (
        "/nowhere: there is no such folder; set training.base_model to a model folder or to scratch."
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nosuch", "--up"], "there is no model 'nosuch'; known: siding."),
        (["run", "siding"], "No platform runs on "),
        (["run", "siding", "--once"], "--once is for the platform that --up starts; add --up."),
        (["run", "siding", "--mlflow-port", "5001"], "--mlflow-port is for the platform that --up starts; add --up."),
        (["up", "--port", "70000"], "argument --port: '70000' is no port; name one from 1 to 65535"),
        (["up", "--port", "web"], "argument --port: 'web' is no port"),
        (["up", "--day", "3"], "argument --day: invalid choice: 3"),
        (
            ["ask", "siding", "How long does cedar last?"],
            "siding has no champion yet; `run siding` trains one once enough is new.",
        ),
        (["rollback", "siding", "--reason", "it is worse"], "No platform runs on "),
        (["rollback", "siding"], "the following arguments are required: --reason"),
        (["rnu"], "invalid choice: 'rnu'"),
        ([], "required: COMMAND; see `python -m sovereign_tasks --help`."),
    ],
)
@pytest.mark.usefixtures("config")
def test_what_can_not_be_done(state: Path, arguments: list[str], said: str) -> None:
    assert said in refused(state, *arguments)


@pytest.mark.usefixtures("config")
def test_a_port_that_is_taken(state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(state, "run", "siding", "--up", "--port", str(port))
    assert said == f"port {port} for airflow is taken by another program; name a free one, or none at all"


@pytest.mark.usefixtures("config")
def test_a_second_platform_on_the_same_state(state: Path) -> None:
    make_private(state)
    lock = StateLock(state)
    lock.acquire()
    assert "a platform is just starting" in refused(state, "up")
    assert "A platform is just starting" in refused(state, "run", "siding")
    write_card(state, pid=1, started="", airflow="http://127.0.0.1:8099", mlflow="http://127.0.0.1:5099")
    said = refused(state, "run", "siding", "--up")
    assert "Airflow at http://127.0.0.1:8099, MLflow at http://127.0.0.1:5099" in said
    lock.release()


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder on a disk of its own without a free byte; needs root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        with (disk / "filler").open("wb", buffering=0) as filler:
            os.posix_fallocate(filler.fileno(), 0, shutil.disk_usage(disk).free)
        monkeypatch.setenv("SOVEREIGN_STATE", str(disk / "state"))
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.usefixtures("config")
def test_a_full_disk(full_disk: Path) -> None:
    said = refused(full_disk / "state", "run", "siding", "--up")
    assert f"the disk of the state folder {full_disk}/state is full" in said
    said = refused(full_disk / "state", "status", "siding")
    assert f"The state folder {full_disk}/state can't be used: No space left on device" in said


@pytest.mark.parametrize("name", ["up", "run", "status", "lineage", "export", "ask", "rate", "schema"])
def test_help_shows_an_example(name: str) -> None:
    done = command(name, "--help")
    assert done.returncode == 0
    assert f"python -m sovereign_tasks {name}" in done.stdout.partition("examples:")[2]


@pytest.mark.usefixtures("config")
def test_ctrl_c_while_still_importing() -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "sovereign_tasks", "ask", "siding", "What?"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # As a terminal starts it: what runs in a shell's background inherits that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    while "sovereign_tasks.errors" not in process.stderr.readline():
        assert process.poll() is None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    said = [line for line in process.communicate(timeout=30)[1].splitlines() if not line.startswith("import time:")]
    assert (process.returncode, said) == (130, ["Stopped."])


def test_a_training_on_nothing_is_refused_before_a_platform_is_looked_for(config: Path, state: Path) -> None:
    assert refused(state, "retrain", "siding") == ("siding has no snapshot to train on; run `run siding` first.")
