"""The DAGs of a config folder: six per model, a broken file is an error of its own, parsing stays light."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from .conftest import PROJECT

HEAVY = "torch transformers peft bitsandbytes mlflow great_expectations datasets trafilatura praw deltalake".split()


def load(config: Path):
    from airflow.dag_processing.dagbag import DagBag

    from dags.bundle import ModelBundle

    bundle = ModelBundle(name="models")
    bundle.initialize()
    return DagBag(dag_folder=str(bundle.path), bundle_path=bundle.path, bundle_name="models")


MODEL_DAGS = ["roofing_base", "roofing_build", "roofing_erase", "roofing_retrain", "roofing_rollback", "roofing_watch"]


def test_a_model_file_is_six_dags(config: Path) -> None:
    bag = load(config)
    assert bag.import_errors == {}
    assert sorted(bag.dag_ids) == ["maintenance", *MODEL_DAGS]


def test_a_second_file_is_a_second_six_without_code(config: Path) -> None:
    text = (config / "roofing.yaml").read_text().replace("model: roofing", "model: siding")
    (config / "siding.yaml").write_text(text)
    siding = [dag_id.replace("roofing", "siding") for dag_id in MODEL_DAGS]
    assert sorted(load(config).dag_ids) == ["maintenance", *MODEL_DAGS, *siding]


def test_a_broken_file_is_an_import_error_of_its_own(config: Path) -> None:
    text = (config / "roofing.yaml").read_text().replace("model: roofing", "model: siding")
    (config / "siding.yaml").write_text(text.replace("max_age_days", "max_age_day"))
    bag = load(config)
    assert sorted(bag.dag_ids) == ["maintenance", *MODEL_DAGS]
    ((name, message),) = bag.import_errors.items()
    assert name == "siding.py"
    assert message == f"{config}/siding.yaml: retrain.max_age_day is not a known key; did you mean max_age_days?"


def test_a_mended_file_has_its_dags_again_and_a_removed_one_has_none(config: Path) -> None:
    (config / "siding.yaml").write_text("model: siding\n")
    assert "siding.py" in load(config).import_errors
    (config / "siding.yaml").unlink()
    bag = load(config)
    assert (bag.import_errors, len(bag.dag_ids)) == ({}, 7)


def test_two_files_with_one_name_are_both_named(config: Path) -> None:
    (config / "other.yaml").write_text((config / "roofing.yaml").read_text())
    errors = load(config).import_errors
    assert any("roofing.yaml" in e and "other.yaml" in e and "name of its own" in e for e in errors.values())


def test_gpu_work_waits_in_its_pool_and_collection_in_its_own(config: Path) -> None:
    bag = load(config)
    retrain, build, base, watch = (bag.dags[f"roofing_{kind}"] for kind in ("retrain", "build", "base", "watch"))
    on_gpu = {t.task_id for t in retrain.tasks if t.pool == "gpu"}
    assert on_gpu == {"preflight", "base", "train", "evaluate"}
    assert {t.task_id for t in base.tasks if t.pool == "gpu"} == {"base"}
    assert {t.task_id for t in watch.tasks if t.pool == "gpu"} == {"watch"}
    assert all(t.queue == "gpu" for t in (*retrain.tasks, *base.tasks, *watch.tasks) if t.pool == "gpu")
    assert build.get_task("collect").pool == "network"
    assert (build.max_active_runs, retrain.max_active_runs, base.max_active_runs) == (1, 1, 1)


def test_the_retraining_starts_from_the_snapshots_asset(config: Path) -> None:
    from airflow.sdk import AssetAlias

    bag = load(config)
    (alias,) = bag.dags["roofing_build"].get_task("retrain_due").outlets
    assert alias == AssetAlias("roofing_retrain_due")
    assert "sovereign://roofing/snapshot" in str(bag.dags["roofing_retrain"].timetable.asset_condition)


def test_several_settings_are_tried_before_one_training_goes_on(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def set_training(**changes: object) -> None:
        file = config / "roofing.yaml"
        model = yaml.safe_load(file.read_text())
        model["training"] |= changes
        file.write_text(yaml.safe_dump(model))

    assert "search" not in load(config).dags["roofing_retrain"].task_ids
    set_training(search={"rank": [4, 8], "epochs": [1, 2, 3]})
    retrain = load(config).dags["roofing_retrain"]
    search, train = retrain.get_task("search"), retrain.get_task("train")
    assert (search.pool, search.queue, search.retries) == ("gpu", "gpu", 8)
    assert len(search.op_kwargs_expand_input.value["trial"]) == 6
    assert search.upstream_task_ids == {"base"}
    assert train.upstream_task_ids == {"base", "search"}
    assert train.trigger_rule == "all_done_min_one_success"
    # Settings that fail are no skip, by which Airflow would skip the training that goes on without them.
    monkeypatch.setattr("sovereign_tasks.stages.search.try_settings", lambda *where: {"failed": "nan"})
    monkeypatch.setattr("airflow.sdk.get_current_context", dict)
    prepared = {"run": "r", "snapshot": 1, "base": "b"}
    assert search.python_callable(prepared, "rank 4") == {"failed": "nan"}
    set_training(search=None, start="both")
    search = load(config).dags["roofing_retrain"].get_task("search")
    assert search.op_kwargs_expand_input.value["trial"] == ["fresh", "from the champion"]


def test_an_erasure_waits_for_the_night_and_makes_a_retraining_due(config: Path) -> None:
    bag = load(config)
    erase = bag.dags["roofing_erase"]
    assert erase.get_task("erase").upstream_task_ids == {"no_night_runs"}
    assert erase.get_task("retrain_due").upstream_task_ids == {"erase"}
    assert list(erase.params) == ["request"]


def test_a_rollback_is_asked_for_with_a_reason(config: Path) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    rollback = load(config).dags["roofing_rollback"]
    assert type(rollback.timetable).__name__ == "NullTimetable"
    assert rollback.params["version"] == ""
    with pytest.raises(ParamValidationError):
        rollback.params.validate()
    rollback.params["reason"] = "it states last year's prices"
    rollback.params.validate()


def test_a_base_is_made_by_hand_and_makes_a_retraining_due(config: Path) -> None:
    from airflow.sdk import AssetAlias

    base = load(config).dags["roofing_base"]
    assert type(base.timetable).__name__ == "NullTimetable"
    assert list(base.params) == ["snapshot"]
    assert base.get_task("base").upstream_task_ids == {"corpus"}
    assert base.get_task("retrain_due").upstream_task_ids == {"base"}
    assert base.get_task("retrain_due").outlets == [AssetAlias("roofing_base_retrain_due")]


def test_no_base_is_made_where_the_owner_brings_one(config: Path) -> None:
    path = config / "roofing.yaml"
    path.write_text(path.read_text().replace("base_model: scratch", "base_model: /srv/models/ours"))
    bag = load(config)
    assert bag.import_errors == {}
    assert sorted(bag.dag_ids) == ["maintenance", *MODEL_DAGS[1:]]


@pytest.mark.parametrize(
    ("error", "action"),
    [
        ("sovereign_tasks.errors.TransientError", "retry"),
        ("builtins.ConnectionError", "retry"),
        ("sovereign_tasks.errors.UserError", "fail"),
        ("builtins.KeyError", "fail"),
    ],
)
def test_only_what_may_heal_is_tried_again(config: Path, error: str, action: str) -> None:
    from airflow.sdk.module_loading import import_string

    for dag in load(config).dags.values():
        for task in dag.tasks:
            patient = dag.dag_id == "roofing_retrain" and task.task_id in ("train", "evaluate", "gate", "promote")
            assert (task.retries, task.retry_delay.total_seconds()) == (8 if patient else 1, 300), task.task_id
            assert task.retry_policy.evaluate(import_string(error)("x"), 1, 2).action.value == action


def test_schedules_are_in_the_configured_timezone(config: Path) -> None:
    (config / "platform.yaml").write_text("timezone: America/Chicago\n")
    timetable = load(config).dags["roofing_build"].timetable
    assert timetable.summary == "0 2 * * *"
    assert "America/Chicago" in str(timetable.serialize())


def test_a_new_dag_makes_up_for_no_hour_that_has_passed(config: Path) -> None:
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable
    from airflow.timetables.base import TimeRestriction

    just_now = datetime.now(UTC) - timedelta(minutes=2)
    (config / "platform.yaml").write_text(
        f"timezone: UTC\nmaintenance: {{schedule: '{just_now.minute} {just_now.hour} * * *'}}\n"
    )
    bag = load(config)
    assert bag.import_errors == {}
    timetable = decode_timetable(encode_timetable(bag.dags["maintenance"].timetable))
    unrestricted = TimeRestriction(earliest=None, latest=None, catchup=False)
    first = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=unrestricted)
    assert first is not None
    assert first.run_after > datetime.now(UTC)


def test_parsing_imports_nothing_heavy(config: Path) -> None:
    code = (
        "import sys; from dags.bundle import ModelBundle; b = ModelBundle(name='models'); b.initialize()\n"
        "sys.path.insert(0, 'plugins'); import runpy\n"
        "runpy.run_path(str(b.path / 'roofing.py'))\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_tasks_hand_on_plain_references(config: Path) -> None:
    """Only str, int, list and dict go through XCom: a dataclass of ours would fail in the consumer."""
    from typing import get_type_hints

    from sovereign_tasks.stages import (
        assemble,
        base,
        curation,
        due,
        erasure,
        gather,
        maintenance,
        publish,
        retrain,
        rollback,
        search,
        select,
        train,
        validate,
        watch,
    )

    tasks = [gather.begin, gather.collect, curation.curate, select.deduplicate, assemble.derive, validate.validate]
    tasks += [publish.publish, due.check_due, retrain.preflight, base.prepare_base, train.train, search.try_settings]
    tasks += [base.check_corpus, base.make_base, rollback.roll_back, watch.watch]
    tasks += [retrain.evaluate, retrain.judge, retrain.promote, erasure.erase, maintenance.tidy, maintenance.clear_logs]
    for task in tasks:
        returned = str(get_type_hints(task)["return"]).replace("typing.", "")
        assert returned in ("dict[str, Any]", "list[dict[str, Any]]", "dict[str, Any] | None"), task.__name__
