"""A training in a real MLflow server: run, curves, adapter, versions and the champion's alias."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

from sovereign_tasks.causal_lm import hash_folder
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.evaluate.gates import at_most
from sovereign_tasks.promote import VARIABLE, champion, connect, fetch_adapter, move, previous
from sovereign_tasks.records import GateRow
from sovereign_tasks.train import tracking
from sovereign_tasks.train.system_metrics import LAST_SECONDS, system_metrics

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def uri(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIABLE, server)
    return server


def begin(model: str, attempt: str = "one", config_hash: str = "c0ffee") -> str:
    return tracking.start_run(
        model,
        attempt,
        snapshot=3,
        snapshot_hash="ab" * 32,
        counts={"train": 60, "holdout": 12},
        params={"learning_rate": 2e-4, "lora": {"rank": 16}},
        tags={"config_hash": config_hash, "code_version": "1", "base_hash": "00"},
    )


def adapter(folder: Path, body: bytes) -> Path:
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(body)
    (folder / "adapter_config.json").write_text("{}")
    return folder


def register(model: str, run_id: str, folder: Path) -> str:
    tags = {"adapter_hash": hash_folder(folder), "snapshot": "3"}
    return tracking.register(run_id, model, folder, metrics={"eval_loss": 0.5}, tags=tags)


def gate(against: str, passed: bool, reference: float = 0.9) -> GateRow:
    return GateRow(f"nll, {against}", "nll", against, 0.5, reference, 0.4, 0.3, 0.5, 0.0, passed, "because")


def test_a_run_holds_what_it_was_made_from_and_a_retry_goes_on_in_it() -> None:
    run_id = begin("retry")
    with tracking.Curves(run_id) as curves:
        for step in range(1, 6):
            curves(step, {"loss": 1 / step})
    tracking.end_run(run_id, ok=False)
    assert begin("retry") == run_id
    with tracking.Curves(run_id) as curves:
        for step in range(4, 9):
            curves(step, {"loss": 1 / step})
    assert begin("retry", "another") != run_id
    with connect() as client:
        run = client.get_run(run_id)
        assert run.info.status == "RUNNING"
        assert run.data.params == {"learning_rate": "0.0002", "lora.rank": "16"}
        assert run.data.tags["snapshot_hash"] == "ab" * 32
        assert run.data.tags["hardware"]
        (dataset,) = run.inputs.dataset_inputs
        assert json.loads(dataset.dataset.profile) == {"train": 60, "holdout": 12}
        assert [m.step for m in client.get_metric_history(run_id, "loss")] == list(range(1, 9))
    assert requests.get(tracking.run_url(run_id), timeout=10).ok


def test_where_a_run_comes_from_lies_beside_it(tmp_path: Path) -> None:
    run_id = begin("traced")
    lineage = {"snapshot": 3, "sources": [{"source": "forum", "licence": "owner", "rows": {"train": 60}}]}
    for _ in range(2):
        tracking.log_lineage(run_id, lineage)
    with connect() as client:
        path = client.download_artifacts(run_id, "lineage.json", str(tmp_path))
    assert json.loads(Path(path).read_text()) == lineage


def test_what_a_killed_start_has_not_sent_the_next_one_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "log_batch", kill)
        with pytest.raises(KeyboardInterrupt):
            begin("killed")
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "log_inputs", kill)
        with pytest.raises(KeyboardInterrupt):
            begin("killed")
    run_id = begin("killed")
    assert begin("killed") == run_id
    assert begin("killed", config_hash="another") != run_id
    with connect() as client:
        run = client.get_run(run_id)
        assert len(client.search_runs([run.info.experiment_id])) == 2
    assert run.info.status == "RUNNING"
    assert run.data.params == {"learning_rate": "0.0002", "lora.rank": "16"}
    assert run.data.tags.items() >= {"snapshot_hash": "ab" * 32, "code_version": "1", "base_hash": "00"}.items()
    assert len(run.inputs.dataset_inputs) == 1


def test_a_training_outlives_a_server_that_is_away(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setattr(tracking, "BUFFER", 50)
    run_id = begin("patient")
    with tracking.Curves(run_id) as curves:
        for step in range(1, 1201):
            monkeypatch.setenv(VARIABLE, "http://127.0.0.1:9" if step < 1190 else uri)
            curves(step, {"loss": 1 / step})
    with connect() as client:
        found: list[int] = []
        token = None
        while not found or token:
            page = client._tracking_client.store.get_metric_history(run_id, "loss", max_results=1000, page_token=token)
            found += [m.step for m in page]
            token = page.token
    assert found == list(range(1, 1201))
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(TransientError), tracking.Curves(run_id) as curves:
        curves(1201, {"loss": 0.0})


def test_the_machine_is_watched_in_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    run_id, memory = begin("watched"), "system/system_memory_usage_megabytes"
    with connect() as client:
        counts = []
        for _ in range(2):  # a try, and the next
            with system_metrics(run_id):
                time.sleep(3)
            counts.append(len(client.get_metric_history(run_id, memory)))
        assert 0 < counts[0] < counts[1]
        assert [m.step for m in client.get_metric_history(run_id, memory)] == list(range(counts[1]))
        run = client.get_run(run_id)
        assert run.data.metrics["system/cpu_utilization_percentage"] >= 0
        assert len(client.search_runs([run.info.experiment_id])) == 1


def test_no_training_fails_or_waits_for_want_of_system_metrics(
    monkeypatch: pytest.MonkeyPatch, server_process: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    run_id = begin("unwatched")
    began = time.monotonic()
    try:
        with system_metrics(run_id):
            os.killpg(server_process.pid, signal.SIGSTOP)  # it takes what is sent, and answers nothing
            time.sleep(1)
    finally:
        os.killpg(server_process.pid, signal.SIGCONT)
    assert time.monotonic() - began < 1 + LAST_SECONDS + 4
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:9")
    with system_metrics(run_id):
        pass


def test_the_alias_moves_and_the_adapter_is_fetched(tmp_path: Path) -> None:
    model = "roofing"
    assert (champion(model), previous(model)) == (None, None)
    run_id = begin(model)
    first = adapter(tmp_path / "a", b"one")
    one = register(model, run_id, first)
    assert register(model, run_id, first) == one
    assert champion(model) is None
    two = register(model, begin(model, "two"), adapter(tmp_path / "b", b"two"))
    for version, before in ((one, None), (two, one), (two, one)):
        move(model, version, before, {})
    assert previous(model).version == one
    now = champion(model)
    assert now is not None
    assert (now.version, now.tags["snapshot"]) == (two, "3")
    wanted = hash_folder(tmp_path / "b")
    folder = fetch_adapter(now, tmp_path / "cache", wanted)
    weights = folder / "adapter_model.safetensors"
    assert weights.read_bytes() == b"two"
    made = weights.stat().st_ino
    assert fetch_adapter(now, tmp_path / "cache", wanted) == folder
    assert weights.stat().st_ino == made
    weights.write_bytes(b"changed here")
    assert fetch_adapter(now, tmp_path / "cache", wanted) == folder
    assert weights.read_bytes() == b"two"
    for _ in range(2):
        move(model, one, None, {two: {"rolled_back": "to version 1"}, "99": {"rolled_back": "nobody knows it"}})
    assert champion(model).run_id == run_id
    assert previous(model) is None
    with connect() as client:
        assert client.get_model_version(model, two).tags["rolled_back"] == "to version 1"


def test_an_adapter_that_changed_in_the_store_is_refused(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", b"x")
    # Whoever can change the stored adapter can change the tag beside it; the ledger's hash is the one that counts.
    move("tampered", register("tampered", begin("tampered"), folder), None, {})
    with pytest.raises(UserError, match="train again"):
        fetch_adapter(champion("tampered"), tmp_path / "cache", "0" * 64)
    assert not list((tmp_path / "cache").iterdir())


def test_gate_rows_are_kept_passed_or_not(tmp_path: Path) -> None:
    run_id = begin("gated")
    version = register("gated", run_id, adapter(tmp_path / "a", b"x"))
    rows = [gate("base", True), gate("champion", False, math.nan), at_most("canaries", "exposure", 2.5, 5.0, "why")]
    tracking.log_gates(run_id, "gated", version, rows, passed=False)
    tracking.end_run(run_id)
    with connect() as client:
        run = client.get_run(run_id)
        assert run.data.metrics["gate/nll champion passed"] == 0.0
        assert run.data.metrics["gate/exposure candidate"] == 2.5  # against nobody
        assert run.data.tags["gates"] == "refused"
        assert client.get_model_version("gated", version).tags["gates"] == "refused"
        path = client.download_artifacts(run_id, "gates.json", str(tmp_path))
        kept = json.loads(Path(path).read_text())
    assert [row["passed"] for row in kept["rows"]] == [True, False, True]
    assert kept["rows"][1]["reference"] is None


def test_the_scores_of_single_rows_are_a_table_that_is_kept_once(tmp_path: Path) -> None:
    run_id = begin("scored")
    table = {"columns": ["example_id", "nll/base", "facts/base"], "data": [["e1", 0.5, None], ["e2", 0.75, 1.0]]}
    for _ in range(2):  # a task that is tried again
        tracking.log_scores(run_id, table, {"label": {"core/processes": {"nll": 0.625}}})
    with connect() as client:
        run = client.get_run(run_id)
        assert run.data.metrics["slice/label core.processes nll"] == 0.625
        shown = client.load_table(run.info.experiment_id, "scores.json", [run_id])
        assert list(shown["nll/base"]) == [0.5, 0.75]
        kept = json.loads(Path(client.download_artifacts(run_id, "scores.json", str(tmp_path))).read_text())
    assert kept == table


def test_a_server_that_is_away_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(TransientError, match=r"http://127\.0\.0\.1:9 does not answer"):
        begin("away")
    monkeypatch.setenv(VARIABLE, "sqlite:///mlflow.db")
    with pytest.raises(UserError, match=VARIABLE):
        champion("away")
