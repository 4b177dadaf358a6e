"""The whole loop as a person sees it: one real run through the command line, looked at in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from sovereign_tasks.platform import find_running
from sovereign_tasks.platform.environment import marker
from sovereign_tasks.platform.ports import choose_port
from sovereign_tasks.platform.processes import find_marked, kill

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))
try:
    import screenshots
    from playwright.sync_api import BrowserContext, Page, expect

    MISSING = "" if screenshots.find_chromium() else "there is no chromium on the PATH"
except ImportError as error:
    MISSING = f"{error.name} is not installed (.ci/requirements.txt has it)"

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(MISSING) and not os.environ.get("CI"), reason=MISSING)]

RUN_SECONDS = 1200
STOP_SECONDS = 90
# The colour that is painted, as red, green and blue, whatever form the style sheet gives it in.
COLOUR = """square => {
    const pen = document.createElement("canvas").getContext("2d");
    pen.fillStyle = getComputedStyle(square).backgroundColor;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""
BUILD_TASKS = "begin collect curate deduplicate examples validate publish retrain_due".split()
RETRAIN_TASKS = "preflight base train evaluate gate promote".split()


@dataclass
class Loop:
    """A platform that has run the whole loop and is still up, and what the browser asked of whom."""

    airflow: str
    mlflow: str
    password: str
    output: str
    context: BrowserContext
    page: Page
    requested: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """`make run` on the bundled domain with half the base, as far as "Up until Ctrl-C", and a browser, logged in."""
    if MISSING:
        pytest.fail(MISSING, pytrace=False)
    folder = tmp_path_factory.mktemp("loop")
    state = folder / "state"
    state.mkdir()
    config = Path(shutil.copytree(ROOT / "config", folder / "config"))
    bundled = (config / "roofing.yaml").read_text()
    assert "steps: 600" in bundled
    (config / "roofing.yaml").write_text(bundled.replace("steps: 600", "steps: 300"))
    ports = [choose_port(28080, set()), choose_port(25000, set())]
    command = [sys.executable, "-m", "sovereign_tasks", "run", "roofing", "--up"]
    command += ["--port", str(ports[0]), "--mlflow-port", str(ports[1])]
    unset = {"SOVEREIGN_KEY", "SOVEREIGN_LEDGER", "SOVEREIGN_TABLES"}
    env = {name: value for name, value in os.environ.items() if name not in unset}
    with (folder / "output.txt").open("w+") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**env, "SOVEREIGN_STATE": str(state), "SOVEREIGN_CONFIG": str(config)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            said = _await_up(process, Path(output.name))
            card = find_running(state)
            assert card is not None
            password = json.loads((state / "secrets.json").read_text())["admin_password"]
            with screenshots.open_browser() as browser:
                context = browser.new_context(viewport={"width": 1400, "height": 1000})
                loop = Loop(card["airflow"], card["mlflow"], password, said, context, context.new_page())
                context.on("request", lambda request: loop.requested.append(request.url))
                screenshots.log_in(loop.page, loop.airflow, password)
                screenshots.set_up_mlflow(context)
                yield loop
            process.send_signal(signal.SIGINT)
            assert process.wait(STOP_SECONDS) == 0
            assert find_marked(marker(state)) == []
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            kill(find_marked(marker(state)))


def _await_up(process: subprocess.Popen[bytes], output: Path) -> str:
    until = time.monotonic() + RUN_SECONDS
    while "Up until Ctrl-C" not in (said := output.read_text()):
        if process.poll() is not None or time.monotonic() > until:
            pytest.fail(f"the run ended with {process.poll()}, or not in {RUN_SECONDS} s:\n{said}", pytrace=False)
        time.sleep(0.5)
    return said


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
    expect(report.get_by_role("heading", name="Version 1 passed: it may become the champion.")).to_be_visible()
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
