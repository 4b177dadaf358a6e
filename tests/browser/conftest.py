"""One real run of the bundled domain for all tests here, through the command line, and a browser that is logged in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sovereign_tasks.platform import find_running
from sovereign_tasks.platform.environment import marker
from sovereign_tasks.platform.ports import choose_port
from sovereign_tasks.platform.processes import find_marked, kill
from tests.conftest import fix_key

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))
try:
    import screenshots

    MISSING = "" if screenshots.find_chromium() else "there is no chromium on the PATH"
except ImportError as error:
    MISSING = f"{error.name} is not installed (.ci/requirements.txt has it)"

RUN_SECONDS = 1200
STOP_SECONDS = 90


@dataclass
class Loop:
    """A platform that has run the whole loop and is still up, and what the browser asked of whom."""

    airflow: str
    mlflow: str
    password: str
    output: str
    state: Path
    config: Path
    context: BrowserContext
    page: Page
    requested: list[str] = field(default_factory=list)


@pytest.fixture(scope="package")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """`make run` on the bundled domain with half the base, as far as "Up until Ctrl-C", and a browser, logged in."""
    if MISSING and not os.environ.get("CI"):
        pytest.skip(MISSING)
    if MISSING:
        pytest.fail(MISSING, pytrace=False)
    folder = tmp_path_factory.mktemp("loop")
    state = folder / "state"
    state.mkdir()
    fix_key(state)
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
                addresses = (card["airflow"], card["mlflow"])
                loop = Loop(*addresses, password, said, state, config, context, context.new_page())
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
