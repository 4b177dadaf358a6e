"""A base from scratch: made of a snapshot's own text, once, and used by the next training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sovereign_tasks.causal_lm import base_name
from sovereign_tasks.config import config_hash
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages import base, erasure, retrain
from sovereign_tasks.stages.context import open_context
from sovereign_tasks.stages.due import check_due
from sovereign_tasks.stages.people import read_request
from sovereign_tasks.store import model_folder

from . import nights

SMALL = "{base_model: scratch, seed: 1, scratch: {vocabulary: 300, hidden: 32, layers: 1, heads: 2, steps: 20}}"


@pytest.fixture
def config(documents: Path, tmp_path: Path) -> Path:
    """The model's file, with a base that is made in a second."""
    path = tmp_path / "config" / "siding.yaml"
    path.write_text(path.read_text().replace("{base_model: scratch}", SMALL))
    return path


@pytest.fixture
def night(config: Path) -> None:
    nights.run_night("one")


def change(config: Path, old: str, new: str) -> None:
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))


def make(run_id: str) -> dict:
    checked = base.check_corpus("siding", run_id, None)
    return base.make_base("siding", checked["run"], checked["snapshot"])


def train_on(path: str, run: str) -> None:
    """Note a training on the first snapshot, as a retraining does."""
    bases = open_context("siding", run).ledger.bases("siding")
    base_hash = next(b["base_hash"] for b in bases if b["path"] == path)
    note_training(run, path, base_hash)


def note_training(run: str, path: str, base_hash: str) -> None:
    context = open_context("siding", run)
    settings = config_hash(context.config.training)
    made = TrainingRun("siding", run, 1, path, base_hash, settings, 1, "/gone", "ad" * 32, {})
    context.ledger.record_training(run, made)


def due(run: str) -> dict:
    return check_due({"model": "siding", "build_id": run})


def test_it_is_made_of_the_training_groups_and_says_its_perplexity(night: None, documents: Path) -> None:
    checked = base.check_corpus("siding", "by-hand", None)
    made = base.make_base("siding", checked["run"], checked["snapshot"])
    corpus, trained = open_context("siding", "x").ledger.reports("siding", checked["run"])
    assert (corpus.stage, trained.stage) == ("corpus", "base")
    assert corpus.rows_in == len(list(documents.iterdir())) == 10
    assert corpus.rows_out == corpus.rows_in - corpus.rejected["held_out"] == trained.rows_out
    assert 0 < corpus.rejected["held_out"] < 10
    assert checked["characters"] == corpus.notes["characters"] > 2000
    assert checked["passes"] == round(20 * 4 * 256 * 0.5 * 4 / checked["characters"], 1)
    assert made["perplexity"] == trained.notes["perplexity"]
    for kind in ("domain", "general"):
        assert made["perplexity"][kind]["after"] < made["perplexity"][kind]["before"]
    origin = json.loads(Path(made["base"], "origin.json").read_text())
    assert (origin["snapshot"], origin["documents"], origin["hash"]) == (1, corpus.rows_out, made["hash"])
    assert [path.name for path in model_folder("siding", "bases").iterdir()] == [Path(made["base"]).name]


def test_the_next_training_uses_it_and_the_same_is_not_made_twice(
    night: None, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make("one")
    assert base.prepare_base("siding", "retrain", 1)["base"] == first["base"]
    change(config, "seed: 1", "seed: 2")
    second = make("two")
    assert second["base"] != first["base"]
    assert base.prepare_base("siding", "retrain", 1)["base"] == second["base"]
    from sovereign_tasks.train import pretrain

    monkeypatch.delattr(pretrain, "_train")
    change(config, "seed: 2", "seed: 1")
    assert make("three") == first | {"run": make("three")["run"]}
    assert base.prepare_base("siding", "retrain", 1)["base"] == first["base"], "the one made last by hand"
    assert len(open_context("siding", "x").ledger.bases("siding")) == 2


def test_another_base_makes_a_training_due_once(night: None, config: Path) -> None:
    train_on(make("one")["base"], "r1")
    assert due("b1")["reason"].endswith("of 5 needed: not due")
    assert retrain.preflight("siding", "event", None, by_hand=False) is None
    change(config, "seed: 1", "seed: 2")
    other = make("two")
    assert due("b2")["due"]
    assert due("b2")["reason"].endswith("but the base has changed since the last training: due")
    assert retrain.preflight("siding", "event", None, by_hand=False)["snapshot"] == 1
    train_on(other["base"], "r2")
    assert not due("b3")["due"]
    assert retrain.preflight("siding", "event", None, by_hand=False) is None


def test_other_settings_make_a_training_due_once(night: None, config: Path) -> None:
    made = make("one")["base"]
    train_on(made, "r1")
    assert not due("b1")["due"]
    change(config, "seed: 1,", "seed: 1, window: '20:00-06:00',")
    assert not due("b2")["due"], "when it is trained makes it no other training"
    change(config, "seed: 1,", "seed: 1, epochs: 2,")
    verdict = due("b3")
    assert verdict["due"]
    assert verdict["reason"].endswith("but its settings have changed since the last training: due")
    train_on(made, "r2")
    assert not due("b4")["due"]


def test_a_base_whose_files_changed_makes_a_training_due(night: None, config: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(make("one")["base"], own)
    change(config, "base_model: scratch", f"base_model: {own}")
    note_training("r1", str(own), base_name(own))
    assert not due("b1")["due"]
    (own / "generation_config.json").write_text("{}\n")
    assert due("b2")["reason"].endswith("but the base has changed since the last training: due")
    shutil.rmtree(own)  # a disk that is away for the moment is no other base
    assert not due("b3")["due"]


def test_what_no_base_can_be_made_of_is_a_sentence(config: Path) -> None:
    with pytest.raises(UserError, match="siding has no snapshot to make a base of; run `run siding` first"):
        base.check_corpus("siding", "x", None)
    nights.run_night("one")
    with pytest.raises(UserError, match="siding has no snapshot 7"):
        base.check_corpus("siding", "x", 7)
    change(config, "heads: 2", "heads: 3")
    with pytest.raises(UserError, match=r"heads \(3\) must divide hidden \(32\)"):
        base.check_corpus("siding", "x", None)
    change(config, "base_model: scratch", "base_model: /srv/models/ours")
    with pytest.raises(UserError, match=r"training\.base_model is /srv/models/ours; set it to scratch"):
        base.check_corpus("siding", "x", None)


def test_a_damaged_table_stops_it(night: None, state: Path) -> None:
    path = next(state.glob("tables/siding/documents/*.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="is not as it was written"):
        base.check_corpus("siding", "x", None)


def test_two_are_not_made_at_once(night: None) -> None:
    ledger = open_context("siding", "x").ledger
    with ledger.lease("base/siding", "other"), pytest.raises(TransientError, match="held by another run"):
        make("one")


def test_one_that_the_ledger_never_knew_of_is_taken_up_or_goes(
    night: None, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    bases = model_folder("siding", "bases")
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "record_base", cut_off)
        with pytest.raises(KeyboardInterrupt):
            make("one")
    (left,) = bases.iterdir()
    change(config, "seed: 1", "seed: 2")
    other = make("two")
    assert not left.exists()
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "record_base", cut_off)
        change(config, "seed: 2", "seed: 1")
        with pytest.raises(KeyboardInterrupt):
            make("one")
    written = (left / "model.safetensors").stat().st_mtime_ns
    assert make("one")["base"] == str(left)
    assert (left / "model.safetensors").stat().st_mtime_ns == written
    assert {str(path) for path in bases.iterdir()} == {str(left), other["base"]}


def test_an_erasure_leaves_nothing_of_an_unfinished_one(night: None) -> None:
    finished, context = make("one"), open_context("siding", "x")
    bases = model_folder("siding", "bases")
    for name in (".0123.unfinished", "scratch-0123"):
        (bases / name).mkdir()
    request = erasure.ask(context, read_request("source: house"))
    assert erasure.erase("siding", request)["unfinished_trainings"] == 2
    assert [str(path) for path in bases.iterdir()] == [finished["base"]]
    assert base.newest_base(context) is None, "it learned from what was erased"
