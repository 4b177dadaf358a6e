"""Trainings with a real MLflow: from the champion, several at a time, two at once, and with MLflow away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow_server import MlflowServer

from sovereign_tasks.causal_lm import base_name
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.promote import VARIABLE, champion
from sovereign_tasks.records import GateDecision, Taint, TrainingRun
from sovereign_tasks.stages import base as bases
from sovereign_tasks.stages import held_out, retrain, search, train
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.lineage import of_version
from sovereign_tasks.stages.moves import make_champion
from sovereign_tasks.stages.taints import note_taint
from sovereign_tasks.stages.weights import unfinished_trainings
from sovereign_tasks.train import qlora, tracking
from sovereign_tasks.train.search import validation_rows
from tests.unit.stages import nights

pytestmark = pytest.mark.integration
TRAINING = (
    "training: {learning_rate: 0.01, epochs: 2, scratch: {vocabulary: 500, hidden: 64, layers: 1, heads: 2, steps: 60}}"
)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model's file and the state that its first night left."""
    settings = {"training: {base_model: scratch}": TRAINING}
    return nights.spend_first_night(tmp_path_factory.mktemp("night"), settings)


@pytest.fixture
def config(night: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a model that has had a night."""
    shutil.copytree(night / "state", state, dirs_exist_ok=True)
    shutil.copytree(night / "config", tmp_path / "config")
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config" / "siding.yaml"


@pytest.fixture
def few_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the few groups of this domain choose and judge."""
    monkeypatch.setattr(held_out, "CHOOSING", 1)
    monkeypatch.setattr(held_out, "validation_rows", lambda rows, leave=0: validation_rows(rows))


@pytest.fixture
def mlflow(mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    monkeypatch.setenv(VARIABLE, mlflow_server.uri)
    return mlflow_server


def client(server: MlflowServer) -> MlflowClient:
    return MlflowClient(tracking_uri=server.uri, registry_uri=server.uri)


def prepare(run_id: str) -> tuple[str, str, int, str]:
    """What the stages of a retraining by hand are called with."""
    checked = retrain.preflight("siding", run_id, None, by_hand=True)
    return "siding", checked["run"], 1, bases.prepare_base("siding", checked["run"], 1)["base"]


def register(run: str, *, alias: bool = False) -> str:
    """Make a version of what a run trained, with the alias champion if asked for."""
    context = open_context("siding", run)
    made = context.ledger.training("siding", run)
    tags = {"adapter_hash": made.adapter_hash, "snapshot": "1"}
    version = tracking.register(made.run_id, "siding", Path(made.adapter), metrics=made.metrics, tags=tags)
    context.ledger.record_gates(run, GateDecision("siding", made.run_id, version, [], alias))
    if alias:
        make_champion(context, made, version, proved="every gate passed")
    return version


def change(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def curve(server: MlflowServer, run_id: str, name: str = "loss") -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client(server).get_metric_history(run_id, name)]


def promoted(config: Path, mlflow: MlflowServer) -> TrainingRun:
    """A first training whose adapter is the champion, and settings that let the next go on from it."""
    change(config, "epochs: 2", "epochs: 2, start: champion")
    first = prepare("first")
    told = train.train(*first)
    assert client(mlflow).get_run(told["mlflow_run"]).data.tags["started_fresh"] == "there is no champion yet"
    register(first[1], alias=True)
    return open_context("siding", first[1]).ledger.training("siding", first[1])


def test_a_training_goes_on_from_the_champion_and_takes_its_taint_over(config: Path, mlflow: MlflowServer) -> None:
    parent = promoted(config, mlflow)
    second = prepare("second")
    run_id = train.train(*second)["mlflow_run"]
    assert client(mlflow).get_run(run_id).data.tags["started_from"] == parent.run_id
    assert curve(mlflow, run_id)[0][1] < curve(mlflow, parent.run_id)[0][1] - 0.2
    context = open_context("siding", second[1])
    made = context.ledger.training("siding", second[1])
    assert made.started_from == parent.run_id
    (earlier,) = of_version(context, register(second[1], alias=True)).started_from
    assert (earlier.version, earlier.run_id) == ("1", parent.run_id)

    # It is promoted, and the task is cleared in Airflow: it begins with what it began with, and is the same.
    assert train.train(*second)["mlflow_run"] == run_id
    assert context.ledger.training("siding", second[1]) == made

    # What the champion learned from is erased: what goes back to it is tainted, and the next one starts fresh.
    context.ledger.taint("siding", parent.run_id, Taint(3, on_request=True))
    assert note_taint(context, made) == Taint(3, on_request=True)
    third = prepare("third")
    tags = client(mlflow).get_run(train.train(*third)["mlflow_run"]).data.tags
    assert tags["started_fresh"] == "the champion has learned from what was erased since"
    assert "started_from" not in tags
    assert note_taint(context, context.ledger.training("siding", third[1])) is None


def test_settings_or_a_base_of_ones_own_start_fresh(config: Path, mlflow: MlflowServer) -> None:
    promoted(config, mlflow)
    change(config, "epochs: 2", "epochs: 1")
    told = train.train(*prepare("second"))
    tags = client(mlflow).get_run(told["mlflow_run"]).data.tags
    assert tags["started_fresh"] == "the champion was trained with other settings"
    change(config, "steps: 60", "steps: 61")
    tags = client(mlflow).get_run(train.train(*prepare("third"))["mlflow_run"]).data.tags
    assert tags["started_fresh"] == "the champion has another base"


def test_both_starts_are_compared(config: Path, mlflow: MlflowServer, few_groups: None, tmp_path: Path) -> None:
    promoted(config, mlflow)
    change(config, "start: champion", "start: both")
    second = prepare("second")
    tried = [search.try_settings(*second, name) for name in ("fresh", "from the champion")]
    assert (
        tried[1]["failed"]
        == "siding: nothing can be begun from the champion: the champion was trained with other settings."
    )
    assert client(mlflow).get_run(train.train(*second)["mlflow_run"]).data.tags["best_trial"] == "fresh"
    register(second[1], alias=True)
    third = prepare("third")
    tried = [search.try_settings(*third, name) for name in ("fresh", "from the champion")]
    assert tried[1]["eval_loss"] < tried[0]["eval_loss"]
    run = client(mlflow).get_run(train.train(*third)["mlflow_run"])
    made = open_context("siding", third[1]).ledger.training("siding", third[1])
    assert made.started_from == champion("siding").run_id
    told = {"best_trial": "from the champion", "started_from": made.started_from}
    assert told.items() <= run.data.tags.items()
    lineage = client(mlflow).download_artifacts(run.info.run_id, "lineage.json", str(tmp_path))
    assert json.loads(Path(lineage).read_text())["started_from"]["run"] == made.started_from

    # It is the champion now; tried once more, it does not begin with itself.
    register(third[1], alias=True)
    assert train.train(*third)["mlflow_run"] == run.info.run_id
    assert open_context("siding", third[1]).ledger.training("siding", third[1]) == made


def test_of_several_settings_the_lowest_held_out_loss_goes_on(
    config: Path, mlflow: MlflowServer, few_groups: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(config, "epochs: 2", "epochs: 2, search: {rank: [4, 8], learning_rate: [0.00001, 0.01, 1000000000.0]}")
    run = prepare("search")
    search.announce_search("siding", {"run": run[1], "snapshot": 1, "base": run[3]})
    trials = list(open_context("siding", run[1]).config.training.trials())
    tried = {name: search.try_settings(*run, name) for name in trials}
    failed = {name for name, result in tried.items() if "failed" in result}
    assert failed == {name for name in trials if "1000000000" in name}
    assert all("is nan" in tried[name]["failed"] or "rose from" in tried[name]["failed"] for name in failed)
    losses = {name: result["eval_loss"] for name, result in tried.items() if name not in failed}
    told = train.train(*run)
    parent = client(mlflow).get_run(told["mlflow_run"])
    best = min(losses, key=losses.get)
    assert parent.data.tags["best_trial"] == best
    assert best.endswith("0.01")
    assert parent.data.metrics["eval_loss"] == pytest.approx(losses[best])

    nested = client(mlflow).search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{told['mlflow_run']}'"
    )
    assert {child.info.run_name: child.info.status for child in nested} == {
        name: "FAILED" if name in failed else "FINISHED" for name in trials
    }
    assert {child.data.params["lora.rank"] for child in nested} == {"4", "8"}
    context = open_context("siding", run[1])
    made = context.ledger.training("siding", run[1])
    assert made.chosen_by
    (trained,) = (r for r in context.ledger.reports("siding", run[1]) if r.stage == "train")
    assert trained.notes["not_compared"] == [name for name in trials if name in failed]
    assert [p.parent for p in Path(made.adapter).parents[1].glob("*/adapter")] == [Path(made.adapter).parent]
    assert unfinished_trainings(context) == []
    # A try that was killed after that ends as it did.
    assert train.train(*run)["mlflow_run"] == told["mlflow_run"]
    assert context.ledger.training("siding", run[1]) == made
    assert trained.notes == next(r for r in context.ledger.reports("siding", run[1]) if r.stage == "train").notes

    # The rows that had a say are no evidence any more.
    held_out = context.ledger.snapshot("siding", 1).counts["holdout"]
    shown: list[tuple[int, int]] = []
    monkeypatch.setattr(Context, "advance", lambda context, stage, done, total: shown.append((done, total)))
    rows = retrain.evaluate("siding", run[1])["rows"]
    assert 0 < rows < held_out
    # Candidate, base and what is probed are a third each, and nothing goes back.
    assert shown == sorted(shown)
    assert {total for _, total in shown} == {3 * rows}
    assert shown[-1] == (3 * rows, 3 * rows)
    assert shown[-2][0] < 2 * rows


def test_of_two_at_once_one_waits(config: Path, mlflow: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = prepare("first"), prepare("second")
    refused: list[str] = []
    advance = Context.advance

    def meanwhile(context: Context, stage: str, done: int, total: int) -> None:
        advance(context, stage, done, total)
        if done == 2 and not refused:
            with pytest.raises(TransientError) as error:
                train.train(*second)
            refused.append(str(error.value))

    monkeypatch.setattr(Context, "advance", meanwhile)
    undisturbed = train.train(*first)
    assert refused == ["train/siding is held by another run; try again when that has ended."]
    ledger = open_context("siding", first[1]).ledger
    assert ledger.training("siding", second[1]) is None
    train.train(*second)
    one, two = (ledger.training("siding", run[1]) for run in (first, second))
    assert one.run_id == undisturbed["mlflow_run"] != two.run_id
    assert one.adapter_hash == two.adapter_hash


def test_a_search_whose_trials_all_fail_says_why(config: Path, mlflow: MlflowServer, few_groups: None) -> None:
    change(config, "learning_rate: 0.01", "search: {learning_rate: [1e9, 2e9]}")
    run = prepare("search")
    for name in open_context("siding", run[1]).config.training.trials():
        search.try_settings(*run, name)
    with pytest.raises(UserError, match=r"none of the 2 settings has an adapter to compare: training: .*(is nan|rose)"):
        train.train(*run)
    begun = open_context("siding", run[1]).ledger.decisions("siding", "search", run[1])[0]["detail"]["run_id"]
    assert client(mlflow).get_run(begun).info.status == "FAILED"


@pytest.mark.parametrize("away", ["before", "during", "after"])
def test_a_training_needs_mlflow_only_to_be_told(
    away: str, config: Path, mlflow: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is away before a training, from its second step on, or once it has ended; then it is back."""
    if away == "before":  # from the champion too, which the ledger knows
        promoted(config, mlflow)
    run = prepare("run")
    trained: list[int] = []

    def stopping(function: Callable[..., Any], at: Callable[..., bool]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if at(*arguments):
                mlflow.stop()
            return function(*arguments, **named)

        return wrapped

    once = qlora._run
    monkeypatch.setattr(qlora, "_run", lambda *given: trained.append(1) or once(*given))
    with monkeypatch.context() as patch:
        if away == "before":
            mlflow.stop()
        elif away == "during":
            patch.setattr(tracking, "BUFFER_SECONDS", 0.0)
            patch.setattr(Context, "advance", stopping(Context.advance, lambda context, stage, done, total: done == 2))
        else:
            patch.setattr(qlora, "read_record", stopping(qlora.read_record, lambda adapter: True))
        with pytest.raises(TransientError, match=r"MLflow at http\S+ does not answer"):
            train.train(*run)
    assert trained == [1]
    context = open_context("siding", run[1])
    assert context.ledger.training("siding", run[1]) is None

    mlflow.start()
    run_id = train.train(*run)["mlflow_run"]
    assert trained == [1], "it was not trained again"
    made = context.ledger.training("siding", run[1])
    assert (made.run_id, made.base_hash) == (run_id, base_name(Path(run[3])))
    found = client(mlflow).get_run(run_id)
    assert len(client(mlflow).search_runs([found.info.experiment_id])) == (2 if away == "before" else 1)
    assert ("started_from" in found.data.tags) == (away == "before")
    losses, _ = qlora.read_record(Path(made.adapter))
    wanted = [(step, values["loss"]) for step, values in losses if "loss" in values]
    assert curve(mlflow, run_id) == wanted
    assert len(wanted) == made.metrics.get("steps", len({step for step, _ in wanted}))
    assert {f.path for f in client(mlflow).list_artifacts(run_id)} >= {"lineage.json", "loss.png", "model.yaml"}
    assert register(run[1]) == ("2" if away == "before" else "1")


def test_a_training_that_breaks_while_mlflow_is_away_says_why(config: Path, mlflow: MlflowServer) -> None:
    change(config, "learning_rate: 0.01", "learning_rate: 1000000000.0")
    run = prepare("run")
    mlflow.stop()
    with pytest.raises(UserError, match=r"is nan at step|rose from"):
        train.train(*run)
