"""A champion made worse on purpose goes back by itself, once enough was gathered to tell; a good one stays."""

from __future__ import annotations

import itertools
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from killing import killed

from sovereign_tasks import promote as promotion
from sovereign_tasks.config import load_model
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.records import GateDecision, Taint, TrainingRun
from sovereign_tasks.stages import base as bases
from sovereign_tasks.stages import due, retrain, train, watch
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.held_out import gathered_since
from sovereign_tasks.stages.lineage import of_version
from sovereign_tasks.stages.moves import line_of_champions, make_champion
from sovereign_tasks.stages.must_go import read_must_go
from sovereign_tasks.stages.rollback import LOOP, roll_back
from sovereign_tasks.stages.serving import ask
from sovereign_tasks.train import tracking
from tests.unit.stages import nights

pytestmark = pytest.mark.integration
TRAINING = (
    "training: {learning_rate: 0.01, epochs: 4, scratch: {vocabulary: 500, hidden: 64, layers: 1, heads: 2, steps: 60}}"
)
TOPICS = (
    "larch spruce hemlock cypress copper zinc slate clay plaster bamboo cork glass marble granite oak maple "
    "birch walnut poplar beech elm hickory juniper willow alder chestnut acacia teak mahogany ebony basalt "
    "limestone sandstone quartz bronze nickel titanium chrome rubber linen hemp straw reed adobe gypsum mica "
).split()


@pytest.fixture(scope="module")
def nights_of_three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model's file and the state that its first night left."""
    settings = {
        "training: {base_model: scratch}\n": f"{TRAINING}\nrollback: {{looks: [20, 24, 1000], margin: 0.02}}\n",
        "holdout_share: 0.3": "near_holdout: 0.9, holdout_share: 0.6",
    }
    return nights.spend_first_night(tmp_path_factory.mktemp("night"), settings)


@pytest.fixture
def config(nights_of_three: Path, state: Path, tmp_path: Path, mlflow_server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a model that has had a night, beside an MLflow of its own."""
    shutil.copytree(nights_of_three / "state", state, dirs_exist_ok=True)
    shutil.copytree(nights_of_three / "documents", tmp_path / "documents")
    shutil.copytree(nights_of_three / "config", tmp_path / "config")
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv(promotion.VARIABLE, mlflow_server.uri)
    file = tmp_path / "config" / "siding.yaml"
    file.write_text(file.read_text().replace(str(nights_of_three), str(tmp_path)))
    return file


def ledger() -> Ledger:
    return open_context("siding", "").ledger


def judged(run_id: str, *, passed: bool) -> tuple[Context, TrainingRun, str]:
    """Train on the newest snapshot, and give that a verdict, whatever it is: its run, the training and the version."""
    checked = retrain.preflight("siding", run_id, None, by_hand=True)
    run, number = checked["run"], checked["snapshot"]
    train.train("siding", run, number, bases.prepare_base("siding", run, number)["base"])
    context = open_context("siding", run)
    made = context.ledger.training("siding", run)
    tags = {"adapter_hash": made.adapter_hash, "snapshot": str(number)}
    version = tracking.register(made.run_id, "siding", Path(made.adapter), metrics=made.metrics, tags=tags)
    context.ledger.record_gates(run, GateDecision("siding", made.run_id, version, [], passed))
    return context, made, version


def promote(run_id: str) -> None:
    """Train on the newest snapshot, and promote what came of it."""
    make_champion(*judged(run_id, passed=True), proved="for this test")


def gather(config: Path, topics: list[str], run_id: str) -> None:
    """A night that finds a document of each topic."""
    for n, topic in enumerate(topics):
        (config.parents[1] / "documents" / f"{topic}.md").write_text(nights.page(topic, 24 + 4 * n))
    assert nights.run_night(run_id)


def watch_once(run_id: str) -> None:
    watch.watch("siding", run_id)


def standing() -> tuple[str, list[str]]:
    return promotion.champion("siding").version, line_of_champions(ledger(), "siding")


def test_a_worse_champion_goes_back_once_the_looks_allow_it(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = config.read_text()
    assert watch.watch("siding", "first night")["found"] == "there is no champion yet"
    promote("good")
    assert "no champion before version 1 to go back to" in watch.watch("siding", "second night")["found"]
    config.write_text(good.replace("learning_rate: 0.01", "learning_rate: 0.00001"))
    promote("bad")
    config.write_text(good)
    assert standing() == ("2", ["1", "2"])
    found = watch.watch("siding", "third night")["found"]
    assert found == "0 groups gathered since version 2 took over; the next look is at 20"

    gather(config, TOPICS, "two")
    context = open_context("siding", "x")
    trainings = [t for _, t in context.ledger.trainings("siding")]
    rows = gathered_since(context, context.ledger.moves("siding")[0]["at"], trainings)
    groups = {row.group for row in rows}
    assert 24 <= len(groups) < 1000
    assert gathered_since(context, datetime.now(UTC), trainings) == []

    # It is killed once the look is kept: the next night scores nothing again, and goes back.
    with monkeypatch.context() as patch:
        patch.setattr(watch, "roll_back", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            watch.watch("siding", "fourth night")
    assert standing() == ("2", ["1", "2"])
    with monkeypatch.context() as patch:
        patch.setattr(watch, "_bits", None)
        found = watch.watch("siding", "fifth night")["found"]
    assert standing() == ("1", ["1"])
    (look,) = ledger().decisions("siding", "look")
    assert (look["outcome"], look["detail"]["look"], look["detail"]["groups"]) == ("worse", 24, len(groups))
    assert look["detail"]["alpha"] == pytest.approx(0.025 / 3)
    assert look["detail"]["high"] < -0.02
    move = ledger().moves("siding")[0]
    assert (move["outcome"], move["detail"]["by"], move["reason"]) == ("rolled_back", LOOP, found)
    assert found.startswith("version 2 takes +")
    assert "worse by more than 0.02" in found

    # A person may go forth again; the loop does not go back a second time within its days.
    roll_back("siding", "forth", "2", "it was meant so", "tom")
    assert "none is again within 7 days" in watch.watch("siding", "sixth night")["found"]
    assert standing()[0] == "2"


def test_after_an_erasure_the_newest_champion_that_knew_nothing_of_it_takes_over_in_time(config: Path) -> None:
    good = config.read_text()
    promote("one")
    config.write_text(good.replace("epochs: 4", "epochs: 5"))
    promote("two")
    two = ledger().moves("siding")[0]["detail"]["run_id"]
    assert read_must_go(ledger(), load_model("siding")) == ""
    ledger().taint("siding", two, Taint(4, on_request=True))
    assert watch.watch("siding", "a")["found"].startswith("0 groups gathered since")
    said = read_must_go(ledger(), load_model("siding"))
    assert said.startswith("Version 2 has learned from 4 rows that were erased since, and has to go. A candidate that")
    assert standing() == ("2", ["1", "2"])
    config.write_text(good + "erasure: {deadline_days: 0}\n")
    words = "version 2 has learned from 4 rows that were erased since, and nothing took over in 0 days"
    assert watch.watch("siding", "b")["found"] == f"{words}: version 1 is champion"
    assert standing() == ("1", ["1"])
    assert (ledger().moves("siding")[0]["reason"], read_must_go(ledger(), load_model("siding"))) == (words, "")
    assert promotion.find_version("siding", "2").tags["weights"] == "deleted"
    assert "weights" not in promotion.find_version("siding", "1").tags


def test_where_every_champion_knew_of_it_the_base_takes_over(config: Path) -> None:
    config.write_text(config.read_text() + "erasure: {deadline_days: 0}\n")
    promote("one")
    first = ledger().moves("siding")[0]["detail"]["run_id"]
    ledger().taint("siding", first, Taint(4, on_request=True))
    judged("refused", passed=False)
    assert retrain.preflight("siding", "night", None, by_hand=False) is None
    for writes in itertools.count(2, 2 * nights.STEP):  # each try goes on where the one before was killed
        again = killed(watch_once, "a", writes)
        assert promotion.champion("siding").version in ("1", "3")
        if not again:
            break
    assert writes > 20
    assert standing() == ("3", ["1", "3"])
    assert ledger().moves("siding")[0]["reason"].endswith("were erased since, and nothing took over in 0 days")
    with promotion.connect() as client:
        assert len(client.search_model_versions("name = 'siding'")) == 3
    assert promotion.previous("siding") is None
    answers = ask(ledger(), load_model("siding"), "How long does cedar siding last?", beside_base=True)
    assert answers["champion"] == answers["base"]
    with pytest.raises(UserError, match=r"is the base .* itself, and has learned from no snapshot"):
        of_version(open_context("siding", ""))
    # A retraining stays due although the snapshot was trained on, meets the base as champion, and is promoted as ever.
    assert due.check_due({"model": "siding", "build_id": "night"})["due"]
    assert retrain.preflight("siding", "night", None, by_hand=False)
    promote("three")
    assert standing() == ("4", ["1", "3", "4"])
    assert not due.check_due({"model": "siding", "build_id": "next night"})["due"]
    said = "0 groups gathered since version 4 took over; the next look is at 20"
    assert watch.watch("siding", "b")["found"] == said


def test_a_champion_that_is_no_worse_stays_and_each_look_is_taken_once(config: Path) -> None:
    good = config.read_text()
    config.write_text(good.replace("learning_rate: 0.01", "learning_rate: 0.00001"))
    promote("bad")
    config.write_text(good)
    promote("good")
    gather(config, TOPICS, "two")
    assert "not worse by more than 0.02" in watch.watch("siding", "first night")["found"]
    assert watch.watch("siding", "second night")["found"].endswith("the next look is at 1000")
    assert standing() == ("2", ["1", "2"])
    assert [look["outcome"] for look in ledger().decisions("siding", "look")] == ["not_worse"]

    # Nothing goes back to what has learned from erased rows, nor undoes what a person did in MLflow.
    first = ledger().moves("siding")[-1]["detail"]["run_id"]
    ledger().taint("siding", first, Taint(3, on_request=True))
    assert "version 1 has learned from 3 rows that were erased since" in watch.watch("siding", "third night")["found"]
    with promotion.connect() as client:
        client.set_registered_model_alias("siding", "champion", "1")
    assert "somebody moved the alias to version 1" in watch.watch("siding", "fourth night")["found"]
