"""The report in a real browser: searched, sorted, unfolded; on a phone, in the dark, on paper."""

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

from understudy.distill.evaluation.results import Report
from understudy.distill.reporting.pages import write_report

pytestmark = pytest.mark.browser

REPORTS = runpy.run_path(str(Path(__file__).with_name("report_samples.py")))["REPORTS"]
CHROMIUM = os.environ.get("UNDERSTUDY_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
AXE = (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
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


# Texts of a chart that lie over one another, or beyond the edge of their chart, by 3 pixels.
CLASHES = """() => {
  const bad = [];
  for (const chart of document.querySelectorAll('svg.chart')) {
    const edge = chart.getBoundingClientRect();
    const texts = [...chart.querySelectorAll('text')];
    const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
    boxes.forEach(([said, a], n) => {
      if (a.left < edge.left - 3 || a.right > edge.right + 3) bad.push([said, 'edge']);
      for (const [other, b] of boxes.slice(n + 1)) {
        const over = (start, end) => Math.min(a[end], b[end]) - Math.max(a[start], b[start]);
        if (over('left', 'right') > 3 && over('top', 'bottom') > 5) bad.push([said, other]);
      }
    });
  }
  return bad;
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
    made = {name: make() for name, make in REPORTS.items()} | {"sorted": three(), "many": many()}
    return {name: write_report(one, folder / name).as_uri() for name, one in made.items()}


def three() -> Report:
    """Rows that every order of the browser puts differently."""
    report: Report = REPORTS["extraction"]()
    row = report.rows.rows[0]
    rows = [
        row.model_copy(
            update={
                "example": text,
                "inputs": {"text": text},
                "right": {f"s{n}": n >= wrong for n in range(3)},
                "answers": {f"s{n}": {"total": 1} for n in range(3)},
                "confidence": {"s0": sure},
            }
        )
        for text, wrong, sure in (("bb", 1, 0.9), ("a", 0, 0.2), ("ccc", 2, 0.5))
    ]
    return report.model_copy(update={"rows": report.rows.model_copy(update={"rows": rows})})


def many() -> Report:
    """More rows than are shown at once."""
    report: Report = REPORTS["extraction"]()
    rows = [
        report.rows.rows[0].model_copy(update={"example": f"{number:016x}"})
        for number in range(120)
    ]
    return report.model_copy(update={"rows": report.rows.model_copy(update={"rows": rows})})


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
    pytest.importorskip("playwright")
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
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("window.scrollTo(500, 0)")
    assert page.evaluate("window.scrollX") == 0


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_asks_for_nothing_but_itself_and_says_nothing(
    visit: Any, pages: dict[str, str], name: str
) -> None:
    page = visit(name)
    if page.locator("#search").count():
        page.fill("#search", "a")
    page.wait_for_load_state("networkidle")
    assert page.heard == [pages[name]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", REPORTS)
def test_every_text_has_the_contrast_of_wcag_aa(visit: Any, name: str, scheme: str) -> None:
    page = visit(name, scheme=scheme)
    page.wait_for_timeout(100)
    assert page.evaluate(POOR_CONTRAST) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", REPORTS)
def test_axe_finds_no_serious_fault(visit: Any, name: str, scheme: str) -> None:
    page = visit(name, scheme=scheme)
    page.wait_for_timeout(100)
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["passes"]
    serious = [
        (fault["id"], [node["html"][:120] for node in fault["nodes"][:3]])
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_light_is_light_and_dark_is_dark(visit: Any) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('svg.chart text')).fill"
    light, dark = visit("news", scheme="light"), visit("news", scheme="dark")
    assert light.evaluate(paper) == "rgb(251, 250, 247)"
    assert dark.evaluate(paper) == "rgb(20, 23, 27)"
    assert light.evaluate(ink) != dark.evaluate(ink)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (360, 1100)])
def test_the_first_screen_holds_the_verdict_its_numbers_and_how_sure_it_is(
    visit: Any, width: int, height: int
) -> None:
    page = visit("news", width=width, unfold=False)
    hero = page.locator("#answer")
    assert "Not supported" in hero.inner_text()
    assert hero.locator(".numbers > div").count() == 4
    assert "How sure" in hero.inner_text()
    box = hero.bounding_box()
    assert box["y"] + box["height"] <= height


def test_a_search_finds_words_in_texts_answers_and_reasonings_and_marks_them(visit: Any) -> None:
    page = visit("news", unfold=False)
    assert page.locator("#count").inner_text() == "14 rows match, 14 shown"
    page.fill("#search", "protestaram 7 vezes")
    assert page.locator("#count").inner_text() == "1 row matches, 1 shown"
    assert page.locator("#cases .case").count() == 1
    page.fill("#search", "alarme NEGADA")
    assert page.locator("#cases .case").count() == 14
    page.fill("#search", "negada")
    page.locator("#cases summary").first.click()
    assert page.locator("#cases .case mark").first.inner_text() == "negada"
    page.fill("#search", "no such word")
    assert page.locator("#cases .case").count() == 0
    assert page.locator("#count").inner_text() == "0 rows match, 0 shown"


def test_filters_by_split_reason_system_and_right_or_wrong(visit: Any) -> None:
    page = visit("news", unfold=False)
    cases = page.locator("#cases .case")
    page.select_option("#by-split", "hard")
    assert cases.count() == 1
    page.select_option("#by-split", "")
    page.select_option("#by-why", "sample")
    assert cases.count() == 12
    page.select_option("#by-why", "")
    page.select_option("#by-system", label="teacher")
    page.select_option("#by-right", "wrong")
    assert cases.count() == 0
    page.select_option("#by-system", label="student-reason-0")
    assert cases.count() == 14
    page.select_option("#by-right", "right")
    assert cases.count() == 0


def test_rows_are_sorted_by_what_is_chosen(visit: Any) -> None:
    page = visit("sorted", unfold=False)
    seen = "[...document.querySelectorAll('#cases .excerpt')].map(e => e.textContent)"
    orders = {
        "as chosen": ["bb", "a", "ccc"],
        "text, A to Z": ["a", "bb", "ccc"],
        "longest first": ["ccc", "bb", "a"],
        "shortest first": ["a", "bb", "ccc"],
        "least sure first": ["a", "ccc", "bb"],
        "most systems wrong first": ["ccc", "bb", "a"],
        "fewest systems wrong first": ["a", "bb", "ccc"],
    }
    options = page.locator("#sort option").all_inner_texts()
    assert sorted(options) == sorted(orders)
    for choice, order in orders.items():
        page.select_option("#sort", choice)
        assert page.evaluate(seen) == order, choice


def test_a_row_opens_by_click_and_by_key_and_shows_everybody_side_by_side(visit: Any) -> None:
    page = visit("news", unfold=False)
    case = page.locator("#cases .case").first
    case.locator("summary").click()
    table = case.locator("table")
    assert table.locator("thead th").all_inner_texts() == [
        "Path",
        "Gold",
        "teacher",
        "student-reason-0",
        "student-label",
    ]
    whole = table.locator("tbody tr").first.locator("td").all_inner_texts()
    assert whole == ["", "✓ right", "✕ wrong, 41 % sure", "no answer"]
    assert "≠ Medo" in table.inner_text()
    assert "pista temem indica Medo" in case.inner_text()
    assert "the answer is no JSON: Expecting value" in case.inner_text()
    case.locator("summary").press("Enter")
    assert not table.is_visible()


def test_many_rows_are_shown_fifty_at_a_time(visit: Any) -> None:
    page = visit("many", unfold=False)
    assert page.locator("#count").inner_text() == "120 rows match, 50 shown"
    page.click("#more")
    page.click("#more")
    assert page.locator("#cases .case").count() == 120
    assert not page.locator("#more").is_visible()


def test_hostile_rows_stay_text_in_the_browser(visit: Any) -> None:
    page = visit("hostile")
    page.wait_for_timeout(100)
    case = page.locator("#cases .case").first
    assert "<script>alert('x')</script> <img src=x onerror=alert(1)>" in case.inner_text()
    assert "</script><!--" in case.inner_text()
    assert "⟨U+202E⟩" in case.inner_text()
    assert page.locator("img, iframe").count() == 0
    assert page.locator("script").count() == 2


def test_without_javascript_rows_can_still_be_read(browser: Any, pages: dict[str, str]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["news"])
    assert page.locator("noscript .case").count() == 10
    assert not page.locator("#controls").is_visible()
    page.locator("noscript summary").first.click()
    assert "Sindicatos protestaram 1 vezes" in page.locator("noscript .case").first.inner_text()
    context.close()


def test_a_wide_table_scrolls_in_its_own_box_and_keeps_the_names_in_sight(visit: Any) -> None:
    page = visit("news", width=360)
    box = page.locator("#split-1 figure.table .scroll").first
    assert box.evaluate("e => e.scrollWidth > e.clientWidth")
    box.evaluate("e => { e.scrollLeft = 200 }")
    assert box.evaluate("e => e.scrollLeft") == 200
    left = box.locator("tbody th").first.bounding_box()["x"]
    assert left == pytest.approx(box.bounding_box()["x"], abs=1)


def test_a_link_into_a_folded_split_opens_it(visit: Any) -> None:
    page = visit("news", unfold=False)
    assert not page.locator("#split-2 table").first.is_visible()
    page.click("nav a[href='#split-2']")
    page.wait_for_selector("#split-2 table")
    page.locator("#split-2 > details > summary").press("Enter")
    assert not page.locator("#split-2 table").first.is_visible()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["news", "hostile"])
def test_no_text_of_a_chart_runs_out_of_it_or_into_another(
    visit: Any, name: str, width: int
) -> None:
    page = visit(name, width=width)
    page.wait_for_timeout(100)
    assert page.evaluate(CLASHES) == []


def test_on_paper_everything_is_light_unfolded_and_whole(visit: Any) -> None:
    page = visit("news", width=1010, unfold=False)  # A4 across, without its margins, in CSS pixels
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.scrollWidth") == 1010
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 32, 39)"
    assert page.locator("#split-3 table").first.is_visible()
    assert not page.locator("#controls").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.locator("#split-3 table").first.is_visible()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
