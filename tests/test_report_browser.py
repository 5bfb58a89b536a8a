"""The report in a real browser: fits a phone, stays quiet, reads well in light and dark."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from understudy.distill.reporting.pages import write_report

pytestmark = pytest.mark.browser

REPORTS = runpy.run_path(str(Path(__file__).with_name("report_samples.py")))["REPORTS"]
CHROMIUM = os.environ.get("UNDERSTUDY_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
OPEN_DETAILS = "document.querySelectorAll('details').forEach(d => { d.open = true })"

# Relative luminance and contrast as WCAG 2.2 defines them, of every element that holds text itself
# against the nearest background that is painted behind it.
POOR_CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const over = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    const box = element.getBoundingClientRect();
    if (!own || !box.width || element.closest('title, desc')) continue;
    const behind = [];
    for (let at = element; at; at = at.parentElement) {
      behind.unshift(getComputedStyle(at).backgroundColor);
    }
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [luminance(over([...behind, ink])), luminance(over(behind))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) poor.push([element.textContent.trim().slice(0, 40), contrast]);
  }
  return poor;
}"""


def lacking(reason: str) -> NoReturn:
    """Skip at a desk; in CI a check that was skipped would pass for one that was made."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a network; where there is none, skipped, but never in CI."""
    try:
        from playwright import sync_api as playwright
    except ImportError:
        lacking("needs playwright: run make setup")
    if not Path(CHROMIUM).is_file():
        lacking(f"needs chromium: {CHROMIUM} is not there (set UNDERSTUDY_CHROMIUM)")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The address of every sample report's page."""
    folder = tmp_path_factory.mktemp("reports")
    return {name: write_report(make(), folder / name).as_uri() for name, make in REPORTS.items()}


@pytest.fixture
def visit(browser: Any, pages: dict[str, str]) -> Iterator[Any]:
    """Opens a report: `visit("news", width=360, scheme="dark")`."""
    contexts = []

    def opened(name: str, *, width: int = 1280, scheme: str = "light", unfold: bool = True) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.heard = []
        page.on("console", lambda message: page.heard.append(message.text))
        page.on("pageerror", lambda error: page.heard.append(str(error)))
        page.on("request", lambda request: page.heard.append(request.url))
        page.goto(pages[name])
        if unfold:
            page.evaluate(OPEN_DETAILS)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("ci", "outcome"), [("true", "1 error"), ("", "1 skipped")])
def test_a_missing_browser_fails_in_ci_and_is_skipped_elsewhere(ci: str, outcome: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        [*command, "-k", "light_is_light"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "CI": ci, "UNDERSTUDY_CHROMIUM": "/nowhere/chromium"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in done.stdout.splitlines()[-1]
    assert "needs chromium: /nowhere/chromium is not there (set UNDERSTUDY_CHROMIUM)" in done.stdout


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", REPORTS)
def test_the_page_never_scrolls_sideways(visit: Any, name: str, width: int) -> None:
    page = visit(name, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("window.scrollTo(500, 0)")
    assert page.evaluate("window.scrollX") == 0


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_asks_for_nothing_but_itself_and_says_nothing(
    visit: Any, pages: dict[str, str], name: str
) -> None:
    page = visit(name)
    page.wait_for_load_state("networkidle")
    assert page.heard == [pages[name]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", REPORTS)
def test_every_text_has_the_contrast_of_wcag_aa(visit: Any, name: str, scheme: str) -> None:
    page = visit(name, scheme=scheme)
    assert page.evaluate(POOR_CONTRAST) == []


def test_light_is_light_and_dark_is_dark(visit: Any) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    assert visit("news", scheme="light").evaluate(paper) == "rgb(252, 251, 248)"
    assert visit("news", scheme="dark").evaluate(paper) == "rgb(20, 23, 27)"


def test_a_wide_table_scrolls_in_its_own_box_and_keeps_the_names_in_sight(visit: Any) -> None:
    page = visit("news", width=360)
    box = page.locator("#split-1 .scroll").first
    assert box.evaluate("e => e.scrollWidth > e.clientWidth")
    box.evaluate("e => { e.scrollLeft = 400 }")
    assert box.evaluate("e => e.scrollLeft") == 400
    left = box.locator("tbody th").first.bounding_box()["x"]
    assert left == pytest.approx(box.bounding_box()["x"], abs=1)


def test_details_open_on_a_click_and_from_the_keyboard(visit: Any) -> None:
    page = visit("news", unfold=False)
    folded = page.locator("#split-1 details").first
    assert not folded.locator("table").first.is_visible()
    folded.locator("summary").click()
    assert folded.locator("table").first.is_visible()
    folded.locator("summary").press("Enter")
    assert not folded.locator("table").first.is_visible()


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_a_dot_is_drawn_between_its_name_and_its_figure_at_every_width(
    visit: Any, width: int
) -> None:
    page = visit("news", width=width)
    chart = page.locator("#split-1 .chart")
    plot = chart.locator("svg .track").first.bounding_box()
    for at, value in enumerate((0.914, 0.781, 0.739, 0.58, 0.122, 0.203)):
        dot = chart.locator("circle").nth(at).bounding_box()
        centre = dot["x"] + dot["width"] / 2
        assert centre == pytest.approx(plot["x"] + value * plot["width"], abs=1)
        for text in (chart.locator(".name").nth(at), chart.locator(".figure").nth(at)):
            box = text.bounding_box()
            assert not overlap(dot, box | {"y": box["y"] + 4, "height": box["height"] - 8})


def overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "width"), ("y", "height"))
    )


@pytest.mark.parametrize("width", [360, 1280])
def test_no_text_of_a_chart_runs_into_another(visit: Any, width: int) -> None:
    page = visit("hostile", width=width)
    for row in page.locator(".chart li").all():
        name, figure = row.locator(".name").bounding_box(), row.locator(".figure").bounding_box()
        assert name["x"] + name["width"] <= figure["x"]


def test_the_page_prints_without_cutting_a_table(visit: Any) -> None:
    page = visit("news", width=1010)  # A4 across, without its margins, in CSS pixels
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 1010
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(28, 33, 40)"
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
