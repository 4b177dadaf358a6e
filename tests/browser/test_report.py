"""The report of the gates in a real browser: its sentence at the top, its pictures, and room for all of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sovereign_tasks.evaluate.report import render
from tests.unit.evaluate.judged import cases

sys.path.append(str(Path(__file__).parents[2] / "tools"))
try:
    import screenshots
    from playwright.sync_api import Browser, Page, expect

    MISSING = "" if screenshots.find_chromium() else "there is no chromium on the PATH"
except ImportError as error:
    MISSING = f"{error.name} is not installed (.ci/requirements.txt has it)"

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(MISSING) and not os.environ.get("CI"), reason=MISSING)]

CASES = cases()
SENTENCES = {
    "promoted": "Version 7 passed: it did all that was asked of it.",
    "luck": "Version 7 is not promoted: it could not be shown to be better, and the difference may be luck.",
    "leak": "Version 7 is not promoted: it breaks a limit that it must keep.",
    "few": "Version 7 is not promoted: there is not enough evidence yet: 38 of 100 groups of held-out questions.",
    "first": "Version 7 passed: it did all that was asked of it.",
}
CONTRAST = """element => {
    const shine = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let ground = element;
    while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
    const both = [shine(getComputedStyle(element).color), shine(getComputedStyle(ground).backgroundColor)];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if MISSING:
        pytest.fail(MISSING, pytrace=False)
    with screenshots.open_browser() as opened:
        yield opened


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(color_scheme=request.param)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("case", CASES)
def test_it_is_plain_at_both_widths(page: Page, tmp_path: Path, case: str) -> None:
    file = tmp_path / "report.html"
    file.write_text(render(CASES[case]), encoding="utf-8")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for width in (1400, 800):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(file.as_uri())
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_have_text(SENTENCES[case])
        expect(heading).to_be_in_viewport()
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for picture in page.get_by_role("img").all():
            box = picture.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        for element in page.locator("h1, .chip, .meaning, li, summary, dd, td, th").all()[:80]:
            assert element.evaluate(CONTRAST) >= 4.5, element.inner_text()
    assert set(asked) == {file.as_uri()}
