"""Which versions still have their weights after a verdict, here and in MLflow."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from sovereign_tasks.causal_lm import hash_folder
from sovereign_tasks.errors import UserError
from sovereign_tasks.promote import VARIABLE, champion, fetch_adapter
from sovereign_tasks.records import GateDecision, TrainingRun
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.moves import lease_name, make_champion
from sovereign_tasks.stages.rollback import roll_back
from sovereign_tasks.stages.weights import NEWEST, drop_old_weights
from sovereign_tasks.store import model_folder
from sovereign_tasks.train import tracking
from tests.unit.stages import nights

pytestmark = pytest.mark.integration


@pytest.fixture
def context(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv(VARIABLE, server)
    nights.write_first_day(tmp_path / "documents")
    nights.write_config(tmp_path / "config", tmp_path / "documents")
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path / "config"))
    assert nights.run_night("one")
    return open_context("siding", "")


def made(context: Context, number: int, *, judged: bool = True) -> TrainingRun:
    """A training with an adapter of its own, registered unless it never came to a verdict."""
    folder = model_folder("siding", "runs", f"run{number}") / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"%d" % number)
    tags = {"config_hash": "c", "code_version": "1", "base_hash": "b"}
    run_id = tracking.start_run(
        "siding", f"run{number}", snapshot=1, snapshot_hash="ab" * 32, counts={}, params={}, tags=tags
    )
    hashed = hash_folder(folder)
    training = TrainingRun("siding", run_id, 1, "base", "b", "c", 1, str(folder), hashed, {"eval_loss": 0.5})
    context.ledger.record_training(f"run{number}", training)
    if judged:
        version = tracking.register(
            run_id, "siding", folder, metrics={"eval_loss": 0.5}, tags={"adapter_hash": hashed, "snapshot": "1"}
        )
        context.ledger.record_gates(f"run{number}", GateDecision("siding", run_id, version, [], True))
        tracking.end_run(run_id)
    return training


def promote(training: TrainingRun, version: int) -> None:
    make_champion(open_context("siding", f"promote{version}"), training, str(version), proved="every gate passed")


def kept(client: MlflowClient) -> list[int]:
    """The versions whose adapter MLflow still hands out; of the others a tag has to say that it's gone."""
    found = []
    for version in sorted(client.search_model_versions("name = 'siding'"), key=lambda v: int(v.version)):
        where = client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
        there = bool(get_artifact_repository(where, tracking_uri=client.tracking_uri).list_artifacts())
        assert version.tags.get("weights") == (None if there else "deleted")
        if there:
            found.append(int(version.version))
    return found


def test_champion_previous_and_the_newest_keep_their_weights(context: Context, server: str, tmp_path: Path) -> None:
    client = MlflowClient(tracking_uri=server, registry_uri=server)
    one, two = made(context, 1), made(context, 2)
    promote(one, 1)
    promote(two, 2)
    fetched = fetch_adapter(champion("siding"), model_folder("siding", "champions"), two.adapter_hash)
    unjudged = made(context, 3, judged=False)
    old = [made(context, number) for number in (4, 5)]
    newest = [made(context, number) for number in range(6, 6 + NEWEST)]
    late = made(context, 20, judged=False)
    killed = model_folder("siding", "runs", "run3") / ".adapter.0123"
    killed.mkdir()

    with context.ledger.lease(lease_name("siding"), "another"):  # who may make any of them champion
        drop_old_weights(context)
    assert kept(client) == list(range(1, 5 + NEWEST))
    with context.ledger.lease("train/siding", "another"):
        drop_old_weights(context)
    assert killed.exists()
    for _ in range(2):
        drop_old_weights(context)
        assert kept(client) == [1, 2, *range(5, 5 + NEWEST)]
        there = [t for t in (one, two, unjudged, *old, *newest, late) if Path(t.adapter).exists()]
        assert there == [one, two, *newest, late]
    assert not killed.exists()
    assert client.get_run(old[0].run_id).data.metrics["eval_loss"] == 0.5

    # Now another is promoted: the first champion is no longer the one before, and its copy in the cache goes with it.
    promote(newest[-2], 4 + NEWEST)
    fetch = fetched.with_name(f"siding-1-{one.adapter_hash[:16]}")
    shutil.copytree(one.adapter, fetch)
    # A deletion that was killed between the files and the tag is finished by the next.
    version = client.get_model_version("siding", "1")
    where = client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
    get_artifact_repository(where, tracking_uri=server).delete_artifacts()
    drop_old_weights(context)
    assert kept(client) == [2, *range(5, 5 + NEWEST)]
    assert not fetch.exists()
    assert fetched.exists()

    assert roll_back("siding", "back", "", "worse", "tom")["version"] == "2"
    with pytest.raises(UserError, match="the weights of version 1 were deleted, so it can't be champion"):
        roll_back("siding", "further", "", "worse", "tom")
    assert champion("siding").version == "2"
