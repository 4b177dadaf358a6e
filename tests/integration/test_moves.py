"""How the champion becomes another version in a real MLflow: killed anywhere, gone back from, and refused."""

from __future__ import annotations

import io
import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from killing import killed
from mlflow import MlflowClient
from rich.console import Console

from sovereign_tasks import promote as promotion
from sovereign_tasks.causal_lm import hash_folder
from sovereign_tasks.config import load_model
from sovereign_tasks.errors import UserError
from sovereign_tasks.evaluate.probes import Probes
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.records import EvalReport, Taint, TrainingRun
from sovereign_tasks.stages import retrain
from sovereign_tasks.stages.champion import champion_of
from sovereign_tasks.stages.context import open_context, run_key
from sovereign_tasks.stages.due import check_due
from sovereign_tasks.stages.moves import line_of_champions
from sovereign_tasks.stages.provisional import promote_provisionally
from sovereign_tasks.stages.rollback import roll_back
from sovereign_tasks.stages.scores import read_reports, write_reports
from sovereign_tasks.store import model_folder
from sovereign_tasks.terminal.rollback import go_back as by_command
from sovereign_tasks.terminal.summary import print_champion
from sovereign_tasks.terminal.user import current_user
from sovereign_tasks.train import tracking
from tests.unit.stages import nights

pytestmark = pytest.mark.integration
ROWS, WORSE = 40, 0.0
"""Rows and groups that are judged, and how much worse a candidate knows everyday questions than its base."""
GENERAL = 40


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model's file and the state that its first night left."""
    return nights.spend_first_night(tmp_path_factory.mktemp("night"), {})


@pytest.fixture
def client(night: Path, state: Path, mlflow_server, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow, beside a model that has had a night."""
    shutil.copytree(night / "state", state, dirs_exist_ok=True)
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(night / "config"))
    monkeypatch.setenv(promotion.VARIABLE, mlflow_server.uri)
    return MlflowClient(tracking_uri=mlflow_server.uri, registry_uri=mlflow_server.uri)


def ledger() -> Ledger:
    return open_context("siding", "").ledger


def trained(run: str, champion: float = 1.5) -> TrainingRun:
    """A training with an adapter and scores of its own, as the gates find it: a loss of 1, the base's of 2.

    `champion` is the loss of the version that it meets; by default it is better than everything before it.
    """
    folder = model_folder("siding", "runs", run) / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(run.encode())
    tags = {"config_hash": "c", "code_version": "1", "base_hash": "b"}
    run_id = tracking.start_run("siding", run, snapshot=1, snapshot_hash="ab" * 32, counts={}, params={}, tags=tags)
    made = TrainingRun("siding", run_id, 1, "base", "b", "c", 1, str(folder), hash_folder(folder), {})
    context = open_context("siding", run)
    context.ledger.record_training(run, made)

    def report(subject: str, name: str, scores: dict[str, float], rows: int) -> EvalReport:
        slices = {by: ["one"] * rows for by in ("kind", "label", "source")}
        values = {metric: [value] * rows for metric, value in scores.items()}
        ids = [f"e{n}" for n in range(rows)]
        return EvalReport(subject, name, ids, ids, values, slices=slices)

    def both(subject: str, nll: float) -> dict[str, EvalReport]:
        held = report(subject, "holdout", {"nll": nll, "question_gain": 3 - nll}, ROWS)
        return {
            "holdout": held,
            "general": report(
                subject, "general", {"general_nll": 1.0 + (WORSE if subject == "candidate" else 0.0)}, GENERAL
            ),
        }

    write_reports(context, {s: both(s, nll) for s, nll in (("candidate", 1.0), ("base", 2.0), ("champion", champion))})
    nothing_given_away = Probes(exposure={"candidate": [0.0] * 8, "base": [0.0] * 8}, answers=ROWS)
    (folder.parent / "probes.json").write_text(json.dumps(asdict(nothing_given_away)))
    return made


def judge_and_promote(run: str) -> None:
    assert retrain.judge("siding", run)
    retrain.promote("siding", run)


def go_back(run: str) -> None:
    roll_back("siding", run, "", "it forgot the prices", "tom")


def standing() -> tuple[str, str | None]:
    """The versions that are champion and previous; there is always a champion."""
    before = promotion.previous("siding")
    return promotion.champion("siding").version, before and before.version


def test_killed_at_its_writes_there_is_one_version_and_always_a_champion(client: MlflowClient) -> None:
    trained("first")
    judge_and_promote("first")
    assert standing() == ("1", None)
    writes, rounds, again = 1 - nights.STEP, 0, True
    while again:
        writes, rounds = writes + nights.STEP, rounds + 1
        made, run = trained(f"run{rounds}"), f"run{rounds}"
        old, new = str(rounds), str(rounds + 1)
        again = killed(judge_and_promote, run, writes)
        assert standing()[0] in (old, new)
        judge_and_promote(run)
        assert standing() == (new, old)
        of_run = client.search_model_versions(f"run_id = '{made.run_id}'")
        assert [v.version for v in of_run] == [new]
        experiment = client.get_run(made.run_id).info.experiment_id
        assert len(client.search_logged_models([experiment], f"source_run_id = '{made.run_id}'")) == 1
        assert [d["outcome"] for d in ledger().decisions("siding", "promotion", run)] == ["promoted"]
        assert ledger().moves("siding")[0]["detail"]["took_over_from"] == old
    assert writes > 25
    assert len(client.search_model_versions("name = 'siding'")) == rounds + 1
    assert line_of_champions(ledger(), "siding") == [str(n) for n in range(1, rounds + 2)]


def test_a_rollback_killed_at_its_writes_is_made_once(client: MlflowClient) -> None:
    for run in ("first", "second"):
        trained(run)
        judge_and_promote(run)
    writes, rounds, again = 1 - nights.STEP, 0, True
    while again:
        writes, rounds = writes + nights.STEP, rounds + 1
        trained(f"run{rounds}")
        judge_and_promote(f"run{rounds}")
        bad = standing()[0]
        again = killed(go_back, f"back{rounds}", writes)
        assert standing()[0] in (bad, "2")
        if rounds % 2:
            go_back(f"back{rounds}")
        else:  # given anew by hand, which has a run of its own
            with ledger().engine.begin() as c:
                c.exec_driver_sql("DELETE FROM leases")  # as a minute would
            if standing()[0] == bad:
                roll_back("siding", f"by hand {rounds}", "2", "it forgot the prices", "tom")
            else:  # the next one to move the champion ends what was cut off, and has nothing to do itself
                with pytest.raises(UserError, match="version 2 is the champion; name an earlier one"):
                    roll_back("siding", f"by hand {rounds}", "2", "it forgot the prices", "tom")
        assert standing() == ("2", "1")
        assert ledger().moves("siding")[0]["detail"] == {
            "version": "2",
            "run_id": promotion.champion("siding").run_id,
            "snapshot": 1,
            "took_over_from": bad,
            "previous": "1",
            "by": "tom",
        }
        assert line_of_champions(ledger(), "siding") == ["1", "2"]
    tags = client.get_model_version("siding", bad).tags
    assert tags["rolled_back"] == "to version 2 by tom: it forgot the prices"
    assert client.get_model_version("siding", "2").tags["restored"].startswith(f"from version {bad} by tom")


def test_what_there_is_no_going_back_to(client: MlflowClient) -> None:
    def refuse(version: str, words: str, reason: str = "worse") -> None:
        before = standing() if promotion.champion("siding") else None
        with pytest.raises(UserError, match=words):
            roll_back("siding", f"{version} {words}", version, reason, "tom")
        assert before == (standing() if before else None)

    refuse("", "there is no champion to roll back from")
    made = {}
    for run in ("one", "two", "three"):
        made[run] = trained(run)
        judge_and_promote(run)
    trained("four")
    retrain.judge("siding", "four")
    refuse("2", "needs a reason", " ")
    refuse("9", "MLflow has no version 9; versions that were champion before: 1, 2")
    refuse("1'; --", "MLflow has no version 1'; --;")
    refuse("4", "version 4 never was champion, and a rollback does not promote; versions that were before: 1, 2")
    refuse("3", "version 3 is the champion; name an earlier one")
    ledger().taint("siding", made["two"].run_id, Taint(3, on_request=True))
    refuse("", "version 2 has learned from 3 rows that were erased since")
    client.set_model_version_tag("siding", "1", "weights", "deleting")  # which was cut off there
    refuse("1", "the weights of version 1 were deleted")
    tracking.delete_weights("siding", made["one"].run_id)
    refuse("1", "the weights of version 1 were deleted")
    ledger().taint("siding", "b", Taint(2, on_request=False))  # the base that all began from
    refuse("1", "version 1 has learned from 2 rows that were erased since")


def test_rolled_back_from_and_forth_the_ledger_knows_who_is_champion(client: MlflowClient) -> None:
    for run in ("one", "two", "three"):
        trained(run)
        judge_and_promote(run)
    back = roll_back("siding", "a", "1", "prices are wrong", "tom")
    assert back == {"model": "siding", "version": "1", "took_over_from": "3"}
    assert roll_back("siding", "a", "1", "prices are wrong", "tom") == back
    assert standing() == ("1", None)
    assert line_of_champions(ledger(), "siding") == ["1"]
    # The promotion that is cleared in Airflow was made once, and is not made again.
    retrain.promote("siding", "three")
    assert standing() == ("1", None)
    assert roll_back("siding", "b", "3", "they were right", "ann")["took_over_from"] == "1"
    assert standing() == ("3", "1")
    assert line_of_champions(ledger(), "siding") == ["1", "3"]
    (report,) = ledger().reports("siding", run_key("rollback", "siding", "b"))
    assert report.stage == "rollback"

    console = Console(file=io.StringIO(), width=200)
    by_command(console, load_model("siding"), "1", "once more")
    assert console.file.getvalue() == "Version 1 of siding is the champion again; it took over from version 3.\n"
    assert ledger().moves("siding")[0]["detail"]["by"] == current_user()
    roll_back("siding", "c", "3", "and forth", "ann")

    # Somebody moves the alias in MLflow; the next promotion takes over from whom it finds.
    client.set_registered_model_alias("siding", "champion", "2")
    four = trained("four")
    judge_and_promote("four")
    assert standing() == ("4", "2")
    assert line_of_champions(ledger(), "siding") == ["1", "3", "2", "4"]

    # What is made again in Airflow takes no weights from a champion that may yet answer.
    ledger().taint("siding", four.run_id, Taint(3, on_request=True))
    assert roll_back("siding", "a", "1", "prices are wrong", "tom") == back
    retrain.promote("siding", "three")
    assert Path(four.adapter).exists()

    # Whom a rollback to an earlier version leaves is nobody's predecessor.
    roll_back("siding", "d", "3", "four is harmful", "tom")
    assert standing() == ("3", "1")
    roll_back("siding", "e", "2", "three is no better", "tom")
    assert standing() == ("2", "1")
    assert line_of_champions(ledger(), "siding") == ["1", "2"]


def test_gates_are_eased_where_the_champion_that_was_met_has_to_go(client: MlflowClient) -> None:
    one = trained("one")
    judge_and_promote("one")
    trained("too late to matter", champion=0.99)  # no better than the champion, nor much worse
    assert retrain.judge("siding", "too late to matter") is None
    two = trained("two")
    judge_and_promote("two")
    ledger().taint("siding", one.run_id, Taint(3, on_request=True))  # who is champion no more
    trained("as before", champion=0.99)
    assert retrain.judge("siding", "as before") is None
    ledger().taint("siding", two.run_id, Taint(3, on_request=True))
    trained("worse", champion=0.9)
    assert retrain.judge("siding", "worse") is None
    eased = trained("eased", champion=0.99)
    judge_and_promote("eased")
    assert standing() == ("6", "3")
    assert [Path(made.adapter).exists() for made in (one, two)] == [False, False]

    # Nothing is eased against a clean version to which somebody has moved the alias.
    ledger().taint("siding", eased.run_id, Taint(3, on_request=True))
    client.set_registered_model_alias("siding", "champion", "4")
    trained("against another", champion=0.99)
    assert retrain.judge("siding", "against another") is None


def test_what_a_candidate_said_goes_where_an_erasure_came_between(client: MlflowClient) -> None:
    made, context = trained("late"), open_context("siding", "late")
    reports = read_reports(context)
    held = reports["candidate"]["holdout"]
    reports["candidate"]["holdout"] = replace(held, answers=["It is 4711."] * ROWS)
    ledger().taint("siding", made.run_id, Taint(3, on_request=True))
    write_reports(context, reports)  # by an evaluation that was under way
    assert retrain.judge("siding", "late") is None
    assert read_reports(context)["candidate"]["holdout"].answers == [""] * ROWS


def test_whom_a_candidate_meets_is_the_champion_until_the_candidate_takes_over(client: MlflowClient) -> None:
    one = trained("one")
    judge_and_promote("one")
    late = open_context("siding", "late")
    trained("late")
    assert champion_of(late) == one
    two = trained("two")
    judge_and_promote("two")
    retrain.judge("siding", "late")
    with pytest.raises(UserError, match="version 3 was not compared with version 2, who is champion by now"):
        retrain.promote("siding", "late")
    assert champion_of(late) == two  # a second evaluation meets who stands then
    retrain.promote("siding", "late")
    assert standing() == ("3", "2")
    assert champion_of(late) == two  # and one after that whom it took over from, not itself


def test_a_person_makes_a_first_champion_where_only_evidence_is_wanting(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(version: str, words: str, reason: str = "read them") -> None:
        with pytest.raises(UserError, match=words):
            promote_provisionally("siding", version, reason, "tom")
        assert promotion.champion("siding") is None

    def shown() -> str:
        out = io.StringIO()
        print_champion(Console(file=out, width=200), ledger(), "siding")
        return out.getvalue()

    refuse("1", "no version 1 was judged by the gates; those that were: none")
    monkeypatch.setattr(sys.modules[__name__], "ROWS", 10)  # and 20 are needed
    trained("few")
    assert retrain.judge("siding", "few") is None
    refuse("1", "needs a reason", " ")
    assert "Provisional  only evidence is wanting for version 1" in shown()
    monkeypatch.setattr(sys.modules[__name__], "WORSE", 1.5)
    trained("forgot")
    assert retrain.judge("siding", "forgot") is None
    assert "Provisional" not in shown()
    refuse("2", "version 2 was refused by general_nll no worse than base, .*; train again")
    client.set_model_version_tag("siding", "1", "weights", "deleting")
    refuse("1", "the weights of version 1 were deleted")
    client.delete_model_version_tag("siding", "1", "weights")
    assert promote_provisionally("siding", "1", "read them", "tom") == "1"
    assert promote_provisionally("siding", "1", "read them", "tom") == "1"
    (made,) = ledger().moves("siding")
    assert made["reason"] == "provisional, on the word of tom: read them; the first"
    monkeypatch.setattr(sys.modules[__name__], "WORSE", 0.0)
    trained("more")
    assert retrain.judge("siding", "more") is None
    with pytest.raises(UserError, match="version 1 is or was champion, and over a champion only the gates promote"):
        promote_provisionally("siding", "3", "read them", "tom")
    assert standing() == ("1", None)


def test_what_passed_needs_nobodys_word(client: MlflowClient) -> None:
    trained("one")
    assert retrain.judge("siding", "one")
    for _ in range(2):
        with pytest.raises(UserError, match="version 1 passed its gates, and needs no word in place of proof"):
            promote_provisionally("siding", "1", "read them", "tom")
        retrain.promote("siding", "one")
    assert standing() == ("1", None)


def test_what_mlflow_tells_of_a_version_follows_it(client: MlflowClient, tmp_path: Path) -> None:
    def told(version: str) -> str:
        found = client.get_model_version("siding", version)
        assert client.get_run(found.run_id).data.tags["mlflow.note.content"] == found.description
        return found.description

    first, _ = trained("one"), retrain.judge("siding", "one")
    assert told("1").startswith("Passed by its gates. Version 1 passed: it did all that was asked of it.")
    assert "- Learned from: house \\(" in told("1")
    assert "There is no champion yet." in client.get_registered_model("siding").description
    assert client.get_run(first.run_id).info.run_name == "snapshot 1, version 1"
    page = Path(client.download_artifacts(first.run_id, "report.html", str(tmp_path))).read_text()
    assert "Version 1 passed: it did all that was asked of it." in page
    (kept,) = ledger().decisions("siding", "report", "one")
    assert kept["detail"]["experiment"] == client.get_run(first.run_id).info.experiment_id

    retrain.promote("siding", "one")
    trained("two")
    judge_and_promote("two")
    assert told("2").startswith("Champion. ")
    assert "took over from version 1" in told("2")
    assert told("1").startswith("Promoted earlier. ")
    roll_back("siding", "back", "", "it <forgot> the prices", "tom")
    assert "rolled back from version 2 to version 1 by tom: it \\<forgot\\> the prices" in told("1")
    assert told("2").startswith("Promoted earlier. ")
    assert "**Version 1 is the champion** since" in client.get_registered_model("siding").description

    ledger().taint("siding", first.run_id, Taint(3, on_request=True))
    check_due({"model": "siding", "build_id": "night"})
    assert "Erased since: 3 rows" in told("1")
    assert all(len(told(version)) <= 5000 for version in "12")
