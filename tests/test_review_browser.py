"""The review page in a real browser: the keyboard alone, two tabs, hostile rows, both schemes."""

from __future__ import annotations

import os
import random
import runpy
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field

from understudy.chains.shape import nested
from understudy.chains.task import Task
from understudy.distill.reviewing.server import ReviewServer, serve_review
from understudy.store import Example, Record, Run, Store
from understudy.store.reviews import corrections, reviews

pytestmark = pytest.mark.browser

SIBLING = runpy.run_path(str(Path(__file__).with_name("test_report_browser.py")))
POOR_CONTRAST, lacking = SIBLING["POOR_CONTRAST"], SIBLING["lacking"]
CHROMIUM = os.environ.get("UNDERSTUDY_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
MOODS = ("Felicidade", "Tristeza", "Raiva", "Nojo", "Medo", "Surpresa", "Desprezo", "Neutro")
SIGNS = ("Positivo", "Negativo", "Neutro")


class Reading(BaseModel):
    """What a sentence says."""

    polarity: Literal["Positivo", "Negativo", "Neutro"]
    emotion: Literal[
        "Felicidade", "Tristeza", "Raiva", "Nojo", "Medo", "Surpresa", "Desprezo", "Neutro"
    ]


class News(BaseModel):
    """What a news item says, and how much."""

    why: str = Field(max_length=300)
    f1: Reading
    f2: Reading
    stars: int = Field(ge=0, le=5)


TASK = Task(
    name="news",
    schema=News,
    reasoning="why",
    prompt=ChatPromptTemplate.from_messages([("human", "{f1} {f2}")]),
)
HOSTILE = {
    "script": "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>",
    "markup": "</dd></dl><style>*{display:none}</style><base href='http://evil.example/'>",
    "bidi": "paid \u202e000,1\u202c euros \u2066x\u2069\u200f, zero\u200bwidth, \x1b[31mred\x07",
    "long": "word " * 209_715 + "END",
    "unbroken": "x" * 2**20,
    "controls": "\u202e" * 50_000,
}


def answer(rng: random.Random) -> dict[str, Any]:
    said = {f"f{n}.{path}": rng.choice(of) for n in (1, 2) for path, of in PATHS.items()}
    return nested({**said, "stars": rng.randrange(6)})


PATHS: dict[str, tuple[str, ...]] = {"polarity": SIGNS, "emotion": MOODS}


def filled(store: Store, count: int = 50) -> list[Example]:
    """`count` news items that a teacher and a student have read, seeded."""
    rng = random.Random(0)
    examples = [
        Example(
            id=f"e{n}",
            task="news",
            split="train",
            inputs={
                "f1": f"Acionistas festejaram o lucro do banco {n} no trimestre.",
                "f2": "A diretoria divulgou sem alarme o atraso na obra da refinaria.",
            },
        )
        for n in range(count)
    ]
    store.add_examples(examples)
    for role in ("teacher", "student"):
        _answers(store, role, examples, rng)
    return examples


def _answers(store: Store, role: Any, examples: list[Example], rng: random.Random) -> None:
    facts: dict[str, Any] = dict.fromkeys(("strategy", "target", "words"), "same")
    facts |= {"model": f"{role}-1", "answers": TASK.answers, "started": "2026-01-01"}
    store.start_run(Run(id=role, name=role, task="news", role=role, **facts))
    for one in examples:
        why = "f1: pista festejaram indica Felicidade; f2: pista alarme negada"
        sure = {"f1.polarity": 0.62} if role == "student" else None
        record = {"run": role, "example": one.id, "reasoning": why, "confidence": sure}
        store.add_record(Record(**record, answer=answer(rng), created="2026-01-01"))


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


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    with Store(tmp_path / "s.db") as opened:
        yield opened


@pytest.fixture
def serve(store: Store) -> Iterator[Any]:
    """Starts a server over examples of the store."""
    servers = []

    def started(
        examples: list[Example], *, reviewer: str = "Ana", on: Store = store
    ) -> ReviewServer:
        reasons = ("f1.polarity: the student says Neutro, the teacher Positivo",)
        entries = [(example.id, reasons) for example in examples]
        server = serve_review(TASK, on, entries, reviewer=reviewer)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    """Opens the page; at the end, no console has said a word and nothing was asked elsewhere."""
    contexts, heard, asked = [], [], []

    def opened(
        server: ReviewServer, *, width: int = 1280, scheme: str = "light", beside: Any = None
    ) -> Any:
        view = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
        context = beside.context if beside else browser.new_context(**view)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.url)
        page.wait_for_selector("#row:visible, #end:visible")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []
    assert [url for url in asked if not url.startswith("http://127.0.0.1:")] == []


def press(page: Any, *keys: str) -> None:
    """Press keys one by one, each when the server has answered what the one before asked."""
    for key in keys:
        page.keyboard.press(key)
        page.locator("body:not([aria-busy])").wait_for(state="attached")


def status(page: Any) -> str:
    return str(page.locator("#status").text_content())


def test_fifty_rows_are_reviewed_with_the_keyboard_alone(visit, serve, store):
    examples = filled(store)
    page = visit(serve(examples))
    expected: dict[str, tuple[str, Any, str | None]] = {}
    taught = {record.example: record for record in store.records("teacher")}
    for number, example in enumerate(examples):
        assert f"do banco {number} no" in page.locator("#input-list").text_content()
        assert page.locator("#count").text_content() == f"{number} of 50 done"
        old = taught[example.id]
        new: Any = {**old.answer, "f1": dict(old.answer["f1"])}
        if number % 5 == 0:
            press(page, "Enter")
            expected[example.id] = ("accept", new, old.reasoning)
        elif number % 5 == 1:  # the second field's digit
            at = (MOODS.index(new["f1"]["emotion"]) + 1) % len(MOODS)
            new["f1"]["emotion"] = MOODS[at]
            press(page, "j", str(at + 1), "a")
            expected[example.id] = ("correct", new, None)
        elif number % 5 == 2:  # the first field by arrows, the last by typing
            at = (SIGNS.index(new["f1"]["polarity"]) + 1) % len(SIGNS)
            new["f1"]["polarity"] = SIGNS[at]
            new["stars"] = (new["stars"] + 1) % 6
            press(page, "ArrowRight", "k", "k", "e", "Control+a")
            page.keyboard.type(str(new["stars"]))
            press(page, "Escape", "Enter")
            expected[example.id] = ("correct", new, None)
        elif number % 5 == 3:
            press(page, "r", "Control+a")
            page.keyboard.type(f"asks {number}? <b>j k s u</b> 123")
            press(page, "Escape", "a")
            expected[example.id] = ("correct", new, f"asks {number}? <b>j k s u</b> 123")
        else:
            press(page, "s")
            expected[example.id] = ("skip", None, None)
    assert page.locator("#end").is_visible()
    assert "Here: 10 accepted, 30 corrected, 10 skipped." in page.locator("#end").text_content()
    kept = reviews(store, "news")
    assert {r.example: (r.verdict, r.answer, r.reasoning) for r in kept} == expected
    assert len(kept) == 50
    assert {(r.reviewer, r.run) for r in kept} == {("Ana", "teacher")}
    golds = {e.id: e.gold for e in store.examples("news")}
    assert golds == {name: made for name, (_, made, _) in expected.items()}


def test_undo_drops_changes_first_then_takes_back_decisions_one_by_one(visit, serve, store):
    page = visit(serve(filled(store, 4)))
    press(page, "ArrowRight", "Enter", "s", "Enter")
    first = corrections(store, "news")["e0"]
    press(page, "j", "ArrowRight")
    assert page.locator("#save-text").text_content() == "Save correction"
    press(page, "s")
    assert "Enter saves it" in page.locator("#error").text_content()
    press(page, "u")
    assert page.locator("#save-text").text_content() == "Accept"
    assert "changes to this row are dropped" in status(page)
    assert [review.verdict for review in reviews(store, "news")] == ["correct", "skip", "accept"]
    for said, left in (("accepted", ["e0"]), ("skipped", ["e0"]), ("corrected", [])):
        press(page, "u")
        assert status(page) == f"Undone: this row had been {said}."
        assert list(corrections(store, "news")) == left
    assert "do banco 0 no" in page.locator("#input-list").text_content()
    assert page.locator("#save-text").text_content() == "Save correction"
    assert page.locator("#count").text_content() == "0 of 4 done"
    press(page, "Enter")
    assert corrections(store, "news")["e0"].answer == first.answer
    press(page, "u", "u")
    assert status(page) == "There is nothing to undo."
    assert all(review.undone for review in reviews(store, "news"))
    assert all(example.gold is None for example in store.examples("news"))


def test_a_changed_label_says_that_its_reasoning_was_for_another(visit, serve, store):
    page = visit(serve(filled(store, 4)))
    stale = page.locator(".stale")
    [why] = {record.reasoning for record in store.records("teacher")}
    press(page, "r", "Escape")  # read with the old answer
    press(page, "j", "ArrowRight")
    assert "for the old answer" in stale.text_content()
    press(page, "ArrowLeft")
    assert not stale.is_visible()
    press(page, "ArrowRight", "Enter")
    press(page, "ArrowRight", "r", "Escape")  # read with the new one, and kept
    assert not stale.is_visible()
    press(page, "Enter", "ArrowRight", "r", "End", "!", "Escape", "Enter")
    kept = reviews(store, "news")
    assert [review.verdict for review in kept] == ["correct"] * 3
    assert [review.reasoning for review in kept] == [None, why, f"{why}!"]
    for said in (f"{why}!", why, why):
        press(page, "u")
        assert page.locator(".reasoning > .text").text_content() == said
    assert stale.is_visible()
    press(page, "Enter")
    assert reviews(store, "news")[-1].reasoning is None
    press(page, "u", "u", "s", "u", "Enter")  # a skip that is taken back leaves the reasoning alone
    last = reviews(store, "news")[-1]
    assert (last.verdict, last.reasoning) == ("accept", why)


def test_a_reload_shows_the_same_row_and_another_tab_another(visit, serve, store):
    server = serve(filled(store, 3))
    page = visit(server)
    page.reload()
    page.wait_for_selector("#row:visible")
    assert "do banco 0 no" in page.locator("#input-list").text_content()
    other = visit(server, beside=page)
    assert "do banco 1 no" in other.locator("#input-list").text_content()


def test_a_held_key_decides_one_row(visit, serve, store):
    page = visit(serve(filled(store, 4)))
    page.keyboard.down("a")
    for _ in range(5):
        page.keyboard.down("a")  # as the keyboard repeats it
    press(page, "Shift")
    assert len(reviews(store, "news")) == 1


def test_two_tabs_of_one_reviewer_share_the_queue(visit, serve, store):
    server = serve(filled(store, 12))
    one = visit(server)
    two = visit(server, beside=one)
    tabs = [one, two]
    for turn in range(12):
        page = tabs[turn % 2]
        if page.locator("#end").is_visible():
            page = tabs[(turn + 1) % 2]
        press(page, "a")
    kept = reviews(store, "news")
    assert sorted(review.example for review in kept) == sorted(f"e{n}" for n in range(12))
    for page in tabs:
        press(page, "a")
        assert page.locator("#end").is_visible()
    assert len(reviews(store, "news")) == 12


def test_a_row_that_another_reviewer_decides_first_is_said_and_skipped(
    visit, serve, store, tmp_path
):
    examples = filled(store, 3)
    with Store(tmp_path / "s.db") as again:
        ana, rui = visit(serve(examples)), visit(serve(examples, reviewer="Rui", on=again))
        press(ana, "2", "Enter")
        press(rui, "j", "1", "Enter")
        assert "by Ana in another window; here is the next" in status(rui)
        assert "do banco 1 no" in rui.locator("#input-list").text_content()
        assert rui.locator("#count").text_content() == "1 of 3 done"
        press(rui, "a")
        ana.evaluate("window.dispatchEvent(new Event('focus'))")  # on coming back to the window
        press(ana, "Shift")
        assert "accepted by Rui in another window" in status(ana)
        assert "do banco 2 no" in ana.locator("#input-list").text_content()
    kept = [(review.example, review.reviewer) for review in reviews(store, "news")]
    assert kept == [("e0", "Ana"), ("e1", "Rui")]


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_rows_are_shown_as_text_and_can_be_reviewed(visit, serve, store, kind):
    text = HOSTILE[kind]
    rows = [Example(id="e", task="news", split="train", inputs={"f1": text, "f2": "x"})]
    store.add_examples(rows)
    filled(store, 1)
    taught: dict[str, Any] = {
        "answer": answer(random.Random(0)),
        "reasoning": text,
        "created": "2026",
    }
    store.add_record(Record(run="teacher", example="e", **taught))
    page = visit(serve(rows))
    view = page.locator("#input-list .text").first
    shown = view.evaluate("e => e.textContent")
    marked = text.translate(
        {
            0x202E: "⟨RLO⟩",
            0x202C: "⟨PDF⟩",
            0x2066: "⟨LRI⟩",
            0x2069: "⟨PDI⟩",
            0x200F: "⟨RLM⟩",
            0x200B: "⟨ZWSP⟩",
            0x1B: "⟨U+001B⟩",
            0x07: "⟨U+0007⟩",
        }
    )
    assert shown == marked
    assert view.evaluate("e => e.children.length") == 0
    assert page.locator(".reasoning > .text").evaluate("e => e.textContent") == marked
    assert page.evaluate("window.hacked === undefined && document.baseURI === location.href")
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    press(page, "2", "1", "j", "1", "3", "u", "Enter")
    assert page.locator("#end").is_visible() or page.locator("#error").text_content()
    (kept,) = reviews(store, "news")
    assert kept.reasoning == text


def test_an_answer_that_does_not_fit_says_why_and_stays(visit, serve, store):
    page = visit(serve(filled(store, 2)))
    press(page, "k", "k", "e", "Control+a")
    page.keyboard.type("many")
    press(page, "Control+Enter")
    assert (
        page.locator("#error").text_content().startswith("stars: Input should be a valid integer")
    )
    assert page.locator("[data-current], .field:focus").get_attribute("aria-label") == "stars"
    box, view = page.locator("#error").bounding_box(), page.viewport_size
    assert 0 <= box["y"] <= box["y"] + box["height"] <= view["height"]
    assert reviews(store, "news") == []
    press(page, "e", "Control+a", "3", "Escape", "Enter")
    assert page.locator("#count").text_content() == "1 of 2 done"


def test_help_opens_and_closes_by_its_keys_and_takes_no_others(visit, serve, store):
    page = visit(serve(filled(store, 2)))
    press(page, "?")
    assert page.locator("#keys").is_visible()
    press(page, "a", "s", "u")
    assert reviews(store, "news") == []
    press(page, "Escape")
    assert not page.locator("#keys").is_visible()
    press(page, "a")
    assert len(reviews(store, "news")) == 1


def test_tab_alone_reaches_every_field_and_button_with_its_focus_in_sight(visit, serve, store):
    page = visit(serve(filled(store, 2)))
    reached = []
    for _ in range(12):
        name, drawn = page.evaluate(
            "() => { const e = document.activeElement;"
            " const box = e.closest('label.choice') || e;"
            " return [e.id || e.name || e.textContent, getComputedStyle(box).outlineStyle]; }"
        )
        reached.append(name)
        assert drawn == "solid", name
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    assert reached == [
        *(f"field-{n}" for n in range(4)),
        *("Edit e", "Edit r"),
        "save",
        "skip",
        "undo",
        "help",
    ]


def test_every_part_has_a_name_for_those_who_do_not_see_it(visit, serve, store):
    page = visit(serve(filled(store, 2)))
    assert page.title() == "0 of 2 · Review news"
    assert page.evaluate("document.documentElement.lang") == "en"
    for role, name in (
        ("group", "f1.polarity"),
        ("group", "stars"),
        ("group", "Reasoning"),
        ("progressbar", "rows done"),
        ("toolbar", "What to do with this row"),
        ("region", "Answer"),
        ("region", "Input"),
    ):
        assert page.get_by_role(role, name=name).count() == 1, (role, name)
    assert page.get_by_role("radio").count() == 22


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_reads_well_in_light_and_dark_and_on_a_phone(visit, serve, store, scheme, width):
    page = visit(serve(filled(store, 2)), width=width, scheme=scheme)
    press(page, "j", "ArrowRight")
    assert page.locator(".stale").is_visible()
    assert page.evaluate(POOR_CONTRAST) == []
    press(page, "r", "x", "Escape")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(POOR_CONTRAST) == []
    if folder := os.environ.get("UNDERSTUDY_PICTURES"):
        page.screenshot(path=f"{folder}/review-{scheme}-{width}.png", full_page=True)
    press(page, "?")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    press(page, "Escape", "Enter", "a")
    assert page.locator("#end").is_visible()
    assert page.evaluate(POOR_CONTRAST) == []


def test_without_the_token_there_is_no_page(browser, serve, store):
    server = serve(filled(store, 1))
    page = browser.new_context().new_page()
    assert page.goto(server.url.split("?")[0]).status == 403
    assert "the token is wrong" in page.content()
    page.context.close()


def test_a_server_that_is_gone_is_said(visit, serve, store):
    server = serve(filled(store, 2))
    page = visit(server)
    page.route("**/api/**", lambda route: route.fulfill(status=200, body="no json"))
    press(page, "a")
    page.locator("#error", has_text="server does not answer").wait_for()
    page.unroute("**/api/**")
    press(page, "a")
    assert page.locator("#count").text_content() == "1 of 2 done"
