"""The site in a real browser: every page, light and dark, on a phone; its links and its search."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urldefrag, urlsplit

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[1]
CHROMIUM = os.environ.get("UNDERSTUDY_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ZENSICAL = shutil.which("zensical", path=Path(sys.executable).parent)
PHONE = {"width": 360, "height": 740}
LINKS = """() => [...document.querySelectorAll('[href], [src]')]
  .map(e => e.href || e.src).filter(to => typeof to === 'string')"""
IDS = "[...document.querySelectorAll('[id]')].map(e => e.id)"
SCHEME = "document.body.dataset.mdColorScheme"
# How far the page scrolls sideways, and the width of what lies beyond its edge.
ASIDE = """() => {
  window.scrollTo(500, 0);
  const { scrollWidth, clientWidth } = document.documentElement;
  return [window.scrollX, Math.max(0, scrollWidth - clientWidth)];
}"""


def lacking(reason: str) -> NoReturn:
    """Skip at a desk; in CI a check that was skipped would pass for one that was made."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address at which the site is, built from docs/ as it stands."""
    if ZENSICAL is None:
        pytest.skip("needs zensical: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    subprocess.run(
        [ZENSICAL, "build", "--strict", "-f", "mkdocs.yml"],
        cwd=folder,
        capture_output=True,
        timeout=120,
        check=True,
    )

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    there = functools.partial(Handler, directory=str(folder / "build" / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), there) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; where there is none, skipped, but never in CI."""
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


@pytest.fixture
def on_a_phone(browser: Any, site: str) -> Iterator[Callable[[str], Any]]:
    """A page in a colour scheme; `heard` is all that is wrong with what came."""
    contexts = []

    def opened(scheme: str) -> Any:
        context = browser.new_context(viewport=PHONE, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.heard = []

        def asked(request: Any) -> None:
            if not request.url.startswith((site, "data:", "blob:")):
                page.heard.append(f"elsewhere: {request.url}")

        page.on("request", asked)
        page.on("console", lambda message: page.heard.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.heard.append(str(error)))
        page.on("requestfailed", lambda request: page.heard.append(f"failed: {request.url}"))
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def page(on_a_phone: Callable[[str], Any]) -> Any:
    return on_a_phone("light")


def addresses(site: str) -> list[str]:
    """Every page of docs/, as the site names it."""
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]
    named = [page.with_suffix("").as_posix().removesuffix("index") for page in pages]
    return [site + name + ("/" if name and not name.endswith("/") else "") for name in named]


def wrong_with(page: Any, scheme: str) -> list[Any]:
    """What is wrong with the page that is open, and in which scheme; empty where nothing is."""
    wanted = {"light": "default", "dark": "slate"}[scheme]
    page.wait_for_function(f"{SCHEME} === {wanted!r}", timeout=5000)
    aside = page.evaluate(ASIDE)
    heard = page.heard.copy()
    page.heard.clear()
    return [scheme, aside, *heard] if heard or aside != [0, 0] else []


def test_every_page_fits_a_phone_light_and_dark_and_its_links_lead_somewhere(
    on_a_phone: Callable[[str], Any], site: str
) -> None:
    page, dark = on_a_phone("light"), on_a_phone("dark")
    places: dict[str, set[str]] = {}
    links: dict[str, str] = {}
    wrong = {}
    for address in addresses(site):
        answer = page.goto(address, wait_until="domcontentloaded")
        dark.goto(address, wait_until="domcontentloaded")
        found = [*wrong_with(page, "light"), *wrong_with(dark, "dark")]
        if found or answer.status != 200:
            wrong[address.removeprefix(site)] = [answer.status, *found]
        places[address] = set(page.evaluate(IDS))
        links |= {link: address for link in page.evaluate(LINKS) if link.startswith(site)}
    for each in (page, dark):
        each.wait_for_load_state()
    assert (wrong, page.heard, dark.heard) == ({}, [], [])
    assert len(places) > 20
    assert len(links) > 100
    others = {urldefrag(link)[0] for link in links} - places.keys()
    missing = {link for link in others if page.request.get(link).status != 200}
    broken = []
    for link, seen_on in links.items():
        address, place = urldefrag(link)
        if address in missing or place not in {"", *places.get(address, {place})}:
            broken.append(f"{seen_on} -> {link}")
    assert broken == []


def test_the_search_finds_a_word_and_leads_to_its_page(page: Any, site: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(site + "tour/")
    page.locator(".md-search__button").click()
    page.locator("input[aria-label=Search]").fill("escalation")
    found = page.get_by_role("option").first
    found.wait_for(timeout=10_000)
    assert "escalation" in found.inner_text()
    found.click()
    page.wait_for_url(lambda url: urlsplit(url).path == "/", timeout=10_000)
    assert page.heard == []


def test_what_is_wrong_with_a_page_is_seen(page: Any, site: str) -> None:
    page.goto(site)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=width:900px>wide</p>')")
    page.evaluate("fetch('http://127.0.0.1:9/').catch(() => console.error('no'))")
    page.wait_for_timeout(200)
    scheme, (scrolled, beyond), *heard = wrong_with(page, "light")
    assert (scheme, scrolled > 0, beyond > 0) == ("light", True, True)
    assert "elsewhere: http://127.0.0.1:9/" in heard
    assert "error: no" in heard
