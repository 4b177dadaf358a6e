"""The pages inside Airflow: who may read them, what they say, and that nothing untrusted gets out of its place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from sovereign_tasks.ledger import Ledger
from sovereign_tasks.records import StageReport, TrainingRun
from sovereign_tasks.store import Store

PLUGINS = Path(__file__).parents[3] / "plugins"


def text(html: str) -> str:
    """What a reader sees, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_anonymous_is_refused(client, night: Ledger) -> None:
    answer = client(None).get("/sovereign/")
    assert answer.status_code == 401
    assert "roofing" not in answer.text


def test_a_login_without_a_role_is_refused(client, night: Ledger) -> None:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="t", role=None))
    answer = client(None).get("/sovereign/", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["docs", "redoc", "openapi.json"])
def test_no_description_of_the_pages_is_open_to_anyone(client, night: Ledger, path: str) -> None:
    assert client("ADMIN").get(f"/sovereign/{path}").status_code == 404


@pytest.mark.parametrize("role", ["VIEWER", "ADMIN"])
def test_a_viewer_reads_the_night_the_progress_and_the_gates(client, night: Ledger, role: str) -> None:
    answer = client(role).get("/sovereign/")
    assert answer.status_code == 200
    page = text(answer.text)
    for said in (
        "Assistant for roofing contractors",
        "Snapshot 1 131 holdout · 1 712 train",
        "1 Mar 2026, 06:34 +05:30",
        "content 9c41be07d2aa",
        "Collect almanac 96 90 6 6 not found 1 min 5 s",
        "8 too short 2 language 17 pii 2.5 s",
        "31 of 40",
        "Version 1",
        "Loss on the holdout must be better than the base 0.500 4.900 +4.400 +4.000 to +4.800 passed",
    ):
        assert said in page


def test_what_was_trained_on_is_no_longer_due(client, night: Ledger) -> None:
    night.decide("roofing", "retrain", "b2", "due", "61 of 40 needed: due", snapshot=1, new_examples=61, needed=40)
    assert "Next retrain Due 61 of 40" in text(client("VIEWER").get("/sovereign/").text)
    night.record_training("r1", TrainingRun("roofing", "a3f0", 1, "base", "b", "cfg", 42, "adapter", "a", {}))
    page = text(client("VIEWER").get("/sovereign/").text)
    assert "Next retrain Up to date 0 of 40 Trained on snapshot 1; nothing is new since" in page


def test_links_lead_to_the_models_dags_and_to_mlflow_without_its_login(client, night: Ledger) -> None:
    night.decide("roofing", "report", "r1", "kept", "", experiment="1", run_id="a3f09d2c4b7e4c6f", file="report.html")
    page = client("VIEWER").get("/sovereign/").text
    for address in (
        "/dags/roofing_build",
        "/dags/roofing_retrain",
        "http://127.0.0.1:5000/#/models/roofing",
        "http://127.0.0.1:5000/#/runs/a3f09d2c4b7e4c6f",
        "http://127.0.0.1:5000/#/experiments/1/runs/a3f09d2c4b7e4c6f/artifacts/report.html",
    ):
        assert f'href="{address}"' in page
    assert "secret" not in page


def test_before_the_first_night_the_page_says_what_to_do(client, ledger: Ledger) -> None:
    page = text(client("VIEWER").get("/sovereign/").text)
    assert "No night has run yet: start the DAG roofing_build" in page
    assert "No version has been promoted yet" in page
    assert "No snapshot yet" in page


def test_a_stopped_night_is_shown_with_how_to_accept_it(client, night: Ledger) -> None:
    Store("roofing").stage("b2", "events", pa.table({"example_id": ["e"]}))
    night.fail("roofing", "b2", "validate", "it was stopped")
    night.decide("roofing", "validation", "b2", "stopped", "removed_share is 0.9.", failures=[])
    page = text(client("VIEWER").get("/sovereign/").text)
    assert "The night b2 was stopped before publishing. removed_share is 0.9." in page
    assert "accept b2 --reason" in page


def test_a_broken_model_file_has_its_sentence_in_its_place(client, night: Ledger, configs: Path) -> None:
    (configs / "siding.yaml").write_text("model: siding\ndescription: x\nsauces: []\n")
    answer = client("VIEWER").get("/sovereign/")
    assert answer.status_code == 200
    assert "sauces is not a known key; did you mean sources?" in text(answer.text)
    assert "Snapshot 1" in answer.text


def test_untrusted_text_stays_text(client, night: Ledger, configs: Path) -> None:
    evil = "<script>alert(1)</script>"
    night.report("roofing", "4f1c22ab90de7710", StageReport(f"collect:{evil}", 1, 0, {evil: 1}, 0.1, {evil: 3}))
    night.decide("roofing", "retrain", "4f1c22ab90de7710", "not_due", f'"{evil}', new_examples=1, needed=2)
    night.decide("roofing", "promotion", "r9", "promoted", evil, version=f'1" onclick="{evil}', run_id=evil)
    back = {"version": "1", "run_id": evil, "snapshot": 1, "took_over_from": evil, "previous": None, "by": evil}
    night.decide("roofing", "promotion", "r10", "rolled_back", evil, **back)
    (configs / "siding.yaml").write_text(f'model: siding\n"{evil}": 1\n')
    page = client("VIEWER").get("/sovereign/").text
    assert "<script>" not in page
    assert 'onclick="' not in page
    assert page.count("&lt;script&gt;alert(1)") >= 5


def test_a_page_loads_only_its_own_files(client, night: Ledger) -> None:
    answer = client("VIEWER").get("/sovereign/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', answer.text)
    assert loaded == ["/sovereign/static/style.css", "/sovereign/static/frame.js"]
    for address in loaded:
        assert client(None).get(address).status_code == 200
    for file in (PLUGINS / "sovereign_ui" / "static").iterdir():
        assert not re.search(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)\w+\.\w", file.read_text())
    assert " style=" not in answer.text


def test_airflow_shows_the_page_in_its_navigation(airflow_app) -> None:
    from airflow import plugins_manager

    (plugin,) = [p for p in plugins_manager._get_plugins()[0] if p.name == "sovereign"]
    (view,) = plugin.external_views
    assert (view["destination"], view["nav_top_level"], view["href"]) == ("nav", True, "sovereign/")
    assert [link.name for link in plugin.operator_extra_links] == ["MLflow run", "Report of the gates"]
    assert "sovereign_plugin" in sys.modules
    assert not {"app", "links", "rendering", "overview"} & sys.modules.keys(), "each file was run as a plugin"
    assert not [path for path in plugins_manager.get_import_errors() if str(PLUGINS) in path]


def test_a_tasks_link_is_what_it_left(airflow_app, monkeypatch: pytest.MonkeyPatch) -> None:
    from sovereign_ui import links

    run = "http://127.0.0.1:5000/#/experiments/1/runs/a3"
    kept = {"mlflow_run_url": run, "gate_report_url": f"{run}/artifacts/report.html"}
    monkeypatch.setattr(links, "XCom", SimpleNamespace(get_value=lambda ti_key, key: kept.get(key)))
    assert links.MlflowRunLink().get_link(None, ti_key=None) == run
    assert links.GateReportLink().get_link(None, ti_key=None) == f"{run}/artifacts/report.html"
    kept.clear()
    for link in (links.MlflowRunLink(), links.GateReportLink()):
        assert link.get_link(None, ti_key=None) == ""


def test_tasks_load_the_plugin_without_the_web_or_the_tables(tmp_path: Path) -> None:
    code = (
        "import sys; import airflow.plugins_manager; import sovereign_plugin;"
        "heavy = {'deltalake', 'pyarrow', 'mlflow', 'torch', 'airflow.api_fastapi.core_api.security'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PLUGINS), "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.stdout.strip().splitlines()[-1:] == ["[]"], done.stderr
