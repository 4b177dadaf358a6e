"""`run` and `up` for real: nights that are cut off, config that is broken and mended, sites that do not answer."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import eventually

from sovereign_tasks.platform import AirflowClient, find_running, load_credentials
from sovereign_tasks.platform.environment import marker
from sovereign_tasks.platform.processes import find_marked
from tests.conftest import fix_key
from tests.leaks import Needles, scan
from tests.unit.stages.nights import write_first_day
from tests.unit.stages.test_erasure import LETTER, MAIL, WORDS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
HOUSE = '{{name: house, kind: files, folder: "{documents}", licence: owner, consent: own-content}}'
SITE = (
    '{{name: shop, kind: web, start: ["http://shop.example/"], licence: owner, consent: own-content, '
    'connect_to: {{shop.example: "127.0.0.1:{port}"}}}}'
)
MODEL = """
model: {name}
description: Assistant for siding crews
sources: [{source}]
domain: {{keywords: [siding, plank, trim, board, house, nail]}}
dataset: {{holdout_share: 0.5, min_answer_chars: 20}}
retrain: {{min_new_examples: {needed}}}
training:
  base_model: scratch
  scratch: {{vocabulary: 400, hidden: 32, layers: 1, heads: 2, steps: 60}}
  epochs: 1
  max_length: 256
evidence: {{min_groups: 20}}
gates:
  - {{metric: general_nll, no_worse_than: base, by: 9}}
  - {{metric: general_nll, better_than: champion, by: 9}}
"""


class Command:
    """The command line in a process group of its own, as a terminal holds it."""

    def __init__(self, output: Path, *arguments: str) -> None:
        self.output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sovereign_tasks", *arguments],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.output.read_text()

    def says(self, text: str) -> None:
        """Wait until it has said something."""
        eventually(lambda: text in self.said() or self.process.poll() is not None)
        assert text in self.said(), self.said()

    def ends(self, code: int) -> str:
        """Wait for its end; what it said."""
        assert self.process.wait(480) == code, self.said()
        assert "Traceback" not in self.said()
        return self.said()

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)


@pytest.fixture
def start(tmp_path: Path, state: Path) -> Iterator[Callable[..., Command]]:
    """Starts commands; at the end nothing of them is left."""
    started: list[Command] = []

    def command(*arguments: str) -> Command:
        started.append(Command(tmp_path / f"output-{len(started)}.txt", *arguments))
        return started[-1]

    yield command
    for one in reversed(started):
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait(60)
    assert find_marked(marker(state)) == []


@pytest.fixture
def write(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes model files into a config folder of their own, under a fixed key: by it rows are held out."""
    fix_key(state)
    write_first_day(tmp_path / "documents")
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(folder))

    def model(name: str, source: str = HOUSE, needed: int = 5, port: int = 0) -> Path:
        source = source.format(documents=tmp_path / "documents", port=port)
        path = folder / f"{name}.yaml"
        path.write_text(MODEL.format(name=name, source=source, needed=needed))
        return path

    return model


def client_of(state: Path) -> AirflowClient:
    card = find_running(state)
    assert card
    return AirflowClient(card["airflow"], load_credentials(state).admin_password)


def is_running(state: Path, dag_id: str, task: str) -> bool:
    client = client_of(state)
    runs = client.runs(dag_id) if client.dag(dag_id) else []
    tasks = [t for run in runs for t in client.task_instances(dag_id, run["dag_run_id"])]
    return any(t["task_id"] == task and t["state"] == "running" for t in tasks)


def test_cut_off_nights_complete(start: Callable[..., Command], write: Callable[..., Path], state: Path) -> None:
    write("siding")
    for dag_id, task in (("siding_build", "collect"), ("siding_retrain", "train")):
        command = start("run", "siding", "--up", "--once")
        command.says("Night of siding")
        eventually(lambda dag_id=dag_id, task=task: is_running(state, dag_id, task))
        command.interrupt()
        command.says("Stopping; running tasks get a few seconds.")
        command.interrupt()
        assert command.ends(130).splitlines()[-1] == "Stopped."
        assert find_marked(marker(state)) == []

    said = start("run", "siding", "--up", "--once").ends(0)
    assert "Training of siding that is not finished yet" in said
    assert "Verdict    version 1: every gate passed" in said
    assert "0 new training examples (0 gone) of 5 needed: not due" in said
    assert "Champion   version 1, from snapshot 1" in said


def test_config_and_sites_that_fail_while_it_is_up(
    start: Callable[..., Command], write: Callable[..., Path], state: Path
) -> None:
    write("siding", needed=1000)
    broken = write("broken", needed=1000)
    good = broken.read_text()
    broken.write_text(good.replace("domain:", "domian: {}\ndomain:"))
    up = start("up")
    up.says("Up until Ctrl-C.")
    client = client_of(state)

    # A broken file is an import error in its own words, and harms no other.
    assert "not due" in start("run", "siding").ends(0)
    errors = eventually(client.import_errors)
    assert [error["filename"] for error in errors] == ["broken.py"]
    refusal = start("run", "broken").ends(2)
    assert refusal.startswith(f"Error: {broken}: domian is not a known key; did you mean domain?")
    assert errors[0]["stack_trace"].strip() == refusal.strip().removeprefix("Error: ")

    # Mended it has its DAGs, and so does a further file.
    broken.write_text(good)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    write("shop", SITE, needed=1000, port=port)
    wanted = [f"{name}_{kind}" for name in ("broken", "shop") for kind in ("build", "retrain")]
    eventually(lambda: all(client.dag(dag_id) for dag_id in wanted))
    eventually(lambda: not client.import_errors())

    # Nothing listens at its site, and so Airflow waits for another try; a new night need not wait for that.
    said = start("run", "shop").ends(2)
    assert "Error: source shop: http://shop.example/" in said
    assert "can't be reached" in said
    assert "Airflow tries again in five minutes." in said
    write("shop", needed=1000)
    night = start("run", "shop")
    night.says("Night of shop that is not finished yet; a new one follows")
    night.says("Ended without success: source shop")
    eventually(lambda: night.said().count("✓ begin") == 2)
    next(one for one in find_marked(marker(state)) if "api_server" in "".join(one.cmdline())).kill()
    said = night.ends(0)
    assert "Airflow does not answer; waiting" in said
    assert "not due" in said

    # A second platform says where the first is; Ctrl-C is how that one's work ends.
    assert client.base_url in start("up").ends(2)
    up.interrupt()
    up.ends(0)


def test_a_stopped_night_goes_on_once_it_is_accepted(
    start: Callable[..., Command], write: Callable[..., Path], tmp_path: Path
) -> None:
    write("siding", needed=1000)
    for path in (tmp_path / "documents").iterdir():
        path.write_text("Cookies, please. Cookies.\n")
    start("up").says("Up until Ctrl-C.")
    said = start("run", "siding").ends(2)
    assert "was stopped before publishing, and there is no snapshot yet. documents is 0" in said
    night = re.search(r"accept (\w+) --reason", said)[1]
    assert f"accept {night} --reason" in start("status", "siding").ends(0)
    assert "It goes on from `validate`" in start("accept", night, "--reason", "nothing is there yet").ends(0)

    def published() -> bool:
        return "accepted by " in (text := start("status", "siding").ends(0)) and "Snapshot   none" in text

    eventually(published)
    assert "is published already" in start("accept", night, "--reason", "again").ends(2)


def test_a_promotion_waits_for_a_person_and_a_rollback_for_a_reason(
    start: Callable[..., Command], write: Callable[..., Path], state: Path
) -> None:
    file = write("siding")
    file.write_text(file.read_text() + "approval: {needed: true}\n")
    start("up").says("Up until Ctrl-C.")
    client = client_of(state)

    def answer(*command: str, option: str, reason: str) -> str:
        asked = start(*command)
        eventually(lambda: "approve waits for your answer" in asked.said(), 400)
        (run_id,) = [r["dag_run_id"] for r in client.runs("siding_retrain") if r["state"] == "running"]
        where = f"/api/v2/dags/siding_retrain/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
        shown = client._send("GET", where)
        assert "| general\\_nll no worse than base |" in shown["body"]
        assert f"(http://127.0.0.1:{find_running(state)['mlflow'].rpartition(':')[2]}/#/runs/" in shown["body"]
        time.sleep(5)  # a task that is answered before the scheduler has seen its process end is failed by it
        client._send("PATCH", where, json={"chosen_options": [option], "params_input": {"reason": reason}})
        return asked.ends(0)

    said = answer("run", "siding", option="Reject", reason="too terse")
    assert "Approval   rejected by admin: too terse" in said
    assert "Champion   none yet" in said
    said = answer("retrain", "siding", option="Approve", reason="reads well")
    assert "Approval   approved by admin: reads well" in said
    assert "Champion   version 2, from snapshot 1" in said

    refusal = "siding: there is no champion before version 2 to go back to."
    assert refusal in start("rollback", "siding", "--reason", "worse").ends(2)
    run_id = client.trigger("siding_rollback", {"reason": "worse", "version": "1"})
    eventually(lambda: client.dag_run("siding_rollback", run_id)["state"] == "failed")
    assert "Champion   version 2" in start("status", "siding").ends(0)


def test_a_person_is_erased_from_the_data_and_from_the_model(
    start: Callable[..., Command], write: Callable[..., Path], state: Path, tmp_path: Path
) -> None:
    write("siding")
    (tmp_path / "documents" / "letter-1.md").write_text(LETTER)  # under the fixed key this is no held-out name
    needles = Needles({"words": [WORDS], "mail": [MAIL], "name": ["Jane Roe"]})
    up = start("up")
    up.says("Up until Ctrl-C.")
    assert "every gate passed" in start("run", "siding").ends(0)
    assert {hit.needle for hit in scan(state, needles).hits} == needles.names  # the scanner sees what is there

    def ask(*arguments: str) -> str:
        argv = [sys.executable, "-m", "sovereign_tasks", *arguments]
        said = subprocess.run(argv, cwd=ROOT, input=f"email: {MAIL}\n", capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr
        return said.stdout

    assert "1 of house" in (shown := ask("erase", "siding"))
    assert "Nothing was erased." in shown
    assert "siding_erase carries it out" in ask("erase", "siding", "--yes")
    client = client_of(state)
    eventually(lambda: [r["state"] for r in client.runs("siding_erase")] == ["success"])
    assert "erased on request: due" in start("status", "siding").ends(0)
    eventually(lambda: [r["state"] for r in client.runs("siding_retrain")] == ["success", "success"], 400)
    assert "Champion   version 2, from snapshot 2" in start("status", "siding").ends(0)

    from mlflow import MlflowClient

    versions = {v.version: v.tags for v in MlflowClient(find_running(state)["mlflow"]).search_model_versions()}
    assert (versions["1"]["tainted"][-6:], versions["1"]["weights"]) == ("erased", "deleted")
    assert "tainted" not in versions["2"]
    assert "All of siding is as it was published." in start("verify", "siding").ends(0)
    start("run", "siding").ends(0)  # its source still has it
    up.interrupt()
    up.ends(0)
    assert {hit.needle: hit for hit in scan(state, needles).hits} == {}
    assert list((state / "models" / "siding" / "bases").iterdir()) != []
