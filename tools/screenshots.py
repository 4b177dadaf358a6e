"""Take the README's pictures from a running platform: both web UIs, and the terminal.

    python -m pip install -r .ci/requirements.txt -c requirements.txt   # into .venv, once; and have chromium
    TTY_COMPATIBLE=1 TTY_INTERACTIVE=0 COLUMNS=100 make run > run.log   # in another terminal
    .venv/bin/python tools/screenshots.py --log run.log

The browser tests log in and open MLflow with the functions here.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect, sync_playwright
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()
FLAGS += "--disable-component-update --disable-sync".split()
WIDTH, COLUMNS = 1400, 100
SECONDS = 30


def find_chromium() -> str | None:
    """The system's chromium, which Playwright drives instead of one of its own."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless browser that by itself speaks to nobody."""
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        yield browser
        browser.close()


def log_in(page: Page, airflow: str, password: str) -> None:
    """Log in to Airflow as a person does, and wait for its navigation."""
    page.goto(airflow)
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Sovereign", exact=True)).to_be_visible()


def open_sovereign(page: Page) -> FrameLocator:
    """Go to the Sovereign page by the navigation."""
    page.get_by_role("link", name="Sovereign", exact=True).click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", level=1)).to_be_visible()
    return frame


def open_curves(page: Page, run: str) -> None:
    """Open the training curves of an MLflow run, at its address, with the charts of single figures folded away."""
    page.goto(f"{run}/model-metrics")
    sections = page.get_by_test_id("experiment-view-compare-runs-section-header")
    expect(sections.filter(has_text="Model metrics")).to_be_visible()
    for section in sections.filter(has_not_text="Model metrics").all():
        section.click()
    expect(page.get_by_text("eval_loss", exact=True).first).to_be_visible()


def set_up_mlflow(context: BrowserContext) -> None:
    """Choose MLflow's side for model training, and close the assistant that opens at the first visit."""
    context.add_init_script(
        "localStorage.setItem('mlflow.workflowType_v1', '\"machine_learning\"');"
        "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
        "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
    )


def main() -> None:
    """Take every picture, or end with one sentence."""
    sys.path.insert(0, str(ROOT))
    from sovereign_tasks.platform import default_state, find_running
    from sovereign_tasks.platform.credentials import load_credentials

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="roofing", help="model to show (default: roofing)")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images", help="folder (default: docs/images)")
    parser.add_argument("--log", type=Path, help="output of `make run`, for terminal.svg")
    arguments = parser.parse_args()
    state = default_state(ROOT)
    card = find_running(state)
    if not card:
        sys.exit(f"No platform runs on {state}: start one with `make run`, or set SOVEREIGN_STATE to its folder.")
    if not find_chromium():
        sys.exit("There is no chromium here: install it from the system's packages.")
    arguments.to.mkdir(parents=True, exist_ok=True)
    if arguments.log:
        _draw_terminal(arguments.log.read_text(encoding="utf-8"), arguments.to / "terminal.svg")
    with open_browser() as browser:
        context = browser.new_context(viewport={"width": WIDTH, "height": 640}, timezone_id="UTC")
        page = context.new_page()
        log_in(page, card["airflow"], load_credentials(state).admin_password)
        _airflow(page, card["airflow"], arguments.model, arguments.to)
        _sovereign(page, arguments.to)
        set_up_mlflow(context)
        _mlflow(page, card["mlflow"], arguments.model, arguments.to)


def _airflow(page: Page, airflow: str, model: str, folder: Path) -> None:
    for name in ("build", "retrain"):
        page.goto(f"{airflow}/dags/{model}_{name}")
        expect(page.get_by_text(re.compile(r"Last (\d+ )?Dag Runs?")).first).to_be_visible()
        _take(page, folder / f"dag-{name}-grid.png")
    page.goto(f"{airflow}/assets")
    page.get_by_role("link", name=f"{model}_snapshot").click()
    expect(page.get_by_test_id("rf__wrapper").get_by_text(f"{model}_retrain", exact=True)).to_be_visible()
    _take(page, folder / "asset.png")
    page.goto(f"{airflow}/pools")
    expect(page.get_by_text("gpu (")).to_be_visible()
    _take(page, folder / "pool.png")


def _sovereign(page: Page, folder: Path) -> None:
    for theme in ("light", "dark"):
        page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
        page.reload()
        frame = open_sovereign(page)
        height = frame.locator("html").evaluate("html => html.scrollHeight")
        page.set_viewport_size({"width": WIDTH, "height": height})
        _take(page, folder / f"sovereign-{theme}.png")
    page.evaluate("localStorage.setItem('theme', 'light')")
    page.set_viewport_size({"width": WIDTH, "height": 640})


def _mlflow(page: Page, mlflow: str, model: str, folder: Path) -> None:
    page.goto(f"{mlflow}/#/models/{model}")
    expect(page.get_by_text("@ champion")).to_be_visible()
    _take(page, folder / "mlflow-versions.png")
    page.get_by_role("link", name=re.compile(r"^Version \d+")).first.click()
    page.get_by_role("link", name=re.compile(r"^snapshot \d+")).click()
    expect(page.get_by_text("About this run")).to_be_visible()
    page.set_viewport_size({"width": WIDTH, "height": 1180})
    _take(page, folder / "mlflow-run.png")
    page.set_viewport_size({"width": WIDTH, "height": 1250})
    open_curves(page, page.url)
    _take(page, folder / "mlflow-curves.png")


def _take(page: Page, file: Path) -> None:
    """The page as PNG with a palette, which is a third of the size, once charts and fades have come to rest."""
    page.mouse.move(WIDTH / 2, 1)
    page.wait_for_timeout(2500)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file}  {file.stat().st_size // 1000} kB")


def _draw_terminal(output: str, file: Path) -> None:
    """The output of a run as SVG, without its password, and without the font that rich would fetch from elsewhere."""
    plain = re.sub(r"\x1b\[\?25[hl]", "", output.rstrip())  # the cursor, hidden and shown again
    text = Text.from_ansi(re.sub(r"(password )\S+", r"\1…", plain))
    width = min(COLUMNS, max(line.cell_len for line in text.split()))
    console = Console(record=True, width=width, file=io.StringIO(), highlight=False)
    console.print(text)
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    file.write_text(console.export_svg(title="make run", code_format=form, unique_id="terminal"), encoding="utf-8")
    print(f"{file}  {file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
