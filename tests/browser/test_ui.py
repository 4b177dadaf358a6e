"""The whole loop as a person sees it: one real run through the command line, looked at in a real browser."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import requests

from .conftest import Loop

with suppress(ImportError):  # `loop` says what is missing
    import screenshots
    from playwright.sync_api import expect

pytestmark = pytest.mark.browser

# The colour that is painted, as red, green and blue, whatever form the style sheet gives it in.
COLOUR = """square => {
    const pen = document.createElement("canvas").getContext("2d");
    pen.fillStyle = getComputedStyle(square).backgroundColor;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""
BUILD_TASKS = "begin collect curate deduplicate examples validate publish retrain_due".split()
RETRAIN_TASKS = "preflight base train evaluate gate promote".split()


def test_the_terminal_ends_with_a_champion_and_the_addresses(loop: Loop) -> None:
    for said in ("Snapshot   1:", "every gate passed", "Champion   version 1", loop.airflow, loop.mlflow):
        assert said in loop.output


def test_the_list_shows_both_dags(loop: Loop) -> None:
    loop.page.goto(f"{loop.airflow}/dags")
    for dag in ("roofing_build", "roofing_retrain"):
        expect(loop.page.get_by_role("link", name=dag, exact=True)).to_be_visible()


@pytest.mark.parametrize(("dag", "tasks"), [("roofing_build", BUILD_TASKS), ("roofing_retrain", RETRAIN_TASKS)])
def test_the_grid_is_green(loop: Loop, dag: str, tasks: list[str]) -> None:
    loop.page.goto(f"{loop.airflow}/dags")
    loop.page.get_by_role("link", name=dag, exact=True).click()
    expect(loop.page.get_by_test_id("header-card").get_by_test_id("state-badge")).to_have_accessible_name("success")
    for task in tasks:
        square = loop.page.locator(f"[data-run-id][data-task-id={task}] [data-testid=task-state-badge]")
        expect(square).to_have_count(1)
        red, green, blue = square.evaluate(COLOUR)
        assert green > 2 * max(red, blue), f"{task} is not green"


def test_the_asset_links_the_two(loop: Loop) -> None:
    loop.page.goto(f"{loop.airflow}/assets")
    loop.page.get_by_role("link", name="roofing_snapshot").click()
    graph = loop.page.get_by_test_id("rf__wrapper")
    for node in ("roofing_build", "roofing_snapshot", "roofing_retrain"):
        expect(graph.get_by_text(node, exact=True)).to_be_visible()
    expect(loop.page.get_by_text("1 Asset Event")).to_be_visible()
    expect(loop.page.get_by_text("Triggered Dag Run:")).to_be_visible()


def test_training_waits_in_the_pool_gpu(loop: Loop) -> None:
    loop.page.get_by_text("Admin", exact=True).click()
    loop.page.get_by_role("menuitem", name="Pools").click()
    expect(loop.page.get_by_text("gpu (1 Slots)")).to_be_visible()
    expect(loop.page.get_by_text("trainings at once, one per GPU")).to_be_visible()


def test_the_sovereign_page(loop: Loop) -> None:
    loop.page.goto(loop.airflow)
    frame = screenshots.open_sovereign(loop.page)
    expect(frame.get_by_role("heading", name="roofing")).to_be_visible()
    expect(frame.get_by_text("Snapshot 1", exact=True)).to_be_visible()
    expect(frame.get_by_text("Version 1", exact=True)).to_be_visible()
    expect(frame.get_by_role("progressbar", name="New training examples")).to_be_visible()
    expect(frame.get_by_text("Trained on snapshot 1; nothing is new since")).to_be_visible()
    funnel = frame.get_by_role("table", name="Rows in, rows out")
    for stage in ("Collect almanac", "Collect forum", "Collect house", "Curate forum", "Deduplicate", "Publish"):
        expect(funnel.get_by_role("rowheader", name=stage)).to_be_visible()
    deduplicate = funnel.get_by_role("row", name="Deduplicate")
    expect(deduplicate.get_by_text(re.compile(r"^\d+ near duplicate$"))).to_be_visible()
    gates = frame.get_by_role("table", name="Gates of version 1")
    expect(gates.get_by_role("row", name="Loss on the holdout must be better than the base")).to_contain_text("passed")
    expect(gates.get_by_role("row", name="Loss on the holdout must be better than the champion")).to_contain_text(
        "no champion yet"
    )
    expect(gates.get_by_text("refused")).to_have_count(0)


def test_the_report_of_the_gates_says_why(loop: Loop) -> None:
    loop.page.goto(loop.airflow)
    frame = screenshots.open_sovereign(loop.page)
    with loop.context.expect_page() as opened:
        frame.get_by_role("link", name="Report of its gates").click()
    report = opened.value.frame_locator("iframe")
    expect(report.get_by_role("heading", name="Version 1 passed: it did all that was asked of it.")).to_be_visible()
    opened.value.close()


def test_anonymous_is_refused(loop: Loop) -> None:
    answer = requests.get(f"{loop.airflow}/sovereign/", timeout=30)
    assert answer.status_code == 401
    assert "roofing" not in answer.text
    with loop.context.browser.new_context() as stranger:
        page = stranger.new_page()
        page.goto(f"{loop.airflow}/plugin/sovereign")
        expect(page.locator("input[name=username]")).to_be_visible()


def test_the_train_task_leads_to_its_run(loop: Loop) -> None:
    loop.page.goto(f"{loop.airflow}/dags/roofing_retrain")
    loop.page.locator("[data-run-id][data-task-id=train] a").click()
    loop.page.get_by_role("link", name="Details").click()
    with loop.context.expect_page() as opened:
        loop.page.get_by_role("link", name="MLflow run").click()
    run = opened.value
    expect(run.get_by_role("heading", name="snapshot 1")).to_be_visible()
    assert run.url.startswith(f"{loop.mlflow}/#/experiments/")
    run.close()


def test_the_run_has_parameters_a_dataset_and_curves(loop: Loop) -> None:
    page = loop.page
    page.goto(f"{loop.mlflow}/#/experiments")
    expect(page.get_by_role("heading", name="Experiments")).to_be_visible()
    page.get_by_role("row").get_by_role("link", name="roofing", exact=True).click()
    page.get_by_role("link", name="snapshot 1, version 1", exact=True).click()
    expect(page.get_by_text("Finished", exact=True)).to_be_visible()
    expect(page.get_by_text(re.compile(r"^roofing snapshot 1 \([0-9a-f]{36}\)"))).to_be_visible()
    for name, value in (("epochs", "3"), ("learning_rate", "0.006")):
        row = page.get_by_role("row").filter(has=page.get_by_text(name, exact=True)).filter(has_text=value)
        expect(row.last).to_be_visible()
    run = page.url
    screenshots.open_curves(page, run)
    for curve in ("loss", "eval_loss", "learning_rate"):
        expect(page.get_by_text(curve, exact=True).first).to_be_visible()
    expect(page.locator("path.js-line").nth(2)).to_be_attached()
    page.goto(f"{run}/artifacts")
    expect(page.get_by_text("gates.md", exact=True)).to_be_visible()


def test_the_version_has_its_aliases_and_its_adapter(loop: Loop) -> None:
    page = loop.page
    page.goto(f"{loop.mlflow}/#/models")
    expect(page.get_by_role("heading", name="Registered Models")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()  # it praises the page at the first visit
    page.get_by_role("row").get_by_role("link", name="roofing", exact=True).click()
    version = page.get_by_role("row").filter(has=page.get_by_role("link", name="Version 1", exact=True))
    for said in ("@ champion", "@ challenger", "gates: passed"):
        expect(version).to_contain_text(said)
    version.get_by_role("link", name="Version 1", exact=True).click()
    page.get_by_role("link", name="adapter", exact=True).click()
    page.get_by_text("Artifacts", exact=True).click()
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        expect(page.get_by_text(file, exact=True)).to_be_visible()


def test_the_browser_asked_only_the_two_servers(loop: Loop) -> None:
    origins = {f"{url.scheme}://{url.netloc}" for url in map(urlsplit, loop.requested) if url.scheme in ("http", "ws")}
    others = [url for url in loop.requested if urlsplit(url).scheme not in ("http", "ws", "data", "blob")]
    assert others == []
    assert origins == {loop.airflow, loop.mlflow}
