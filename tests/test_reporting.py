"""The report as HTML, Markdown and JSON: same figures, nothing runs, nothing is loaded."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from understudy.chains.task import Task
from understudy.distill.evaluation.comparing import compare
from understudy.distill.evaluation.results import Report
from understudy.distill.reporting import charts, figures, tables
from understudy.distill.reporting import pages as reporting
from understudy.distill.reporting.pages import render_html, render_markdown, write_report
from understudy.store import Store
from understudy.store.rows import Example, Record, Run, Score, example_id

SAMPLES = runpy.run_path(str(Path(__file__).with_name("report_samples.py")))
REPORTS = SAMPLES["REPORTS"]
VOID = ("meta", "line", "circle", "br")
NUMBER = re.compile(r"[<+−-]?\d[\d,.]*\d|\d")


class Page(HTMLParser):
    """Elements as (tag, attributes, tags around it) and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
        self.open: list[str] = []
        self.pieces: list[str] = []
        self.style = ""
        self.feed(html)
        self.text = " ".join("".join(self.pieces).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}, tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            self.style += data
        else:
            self.pieces.append(data)

    def named(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [a for t, a, _ in self.elements if t == tag and attributes.items() <= a.items()]


def plain(text: str) -> str:
    return " ".join(text.split())


def strings(data: Any) -> Iterator[str]:
    """Every string value of JSON data, and every key that is data rather than a field's name."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from strings(value)
            if not re.fullmatch(r"[a-z_0-9]+", key):
                yield key
    elif isinstance(data, list):
        for value in data:
            yield from strings(value)


def rendered_markdown(report: Report) -> str:
    """The Markdown as a reader with a CommonMark renderer sees it, as HTML."""
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return str(parser.render(render_markdown(report)))


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_renders_as_well_formed_html(name: str) -> None:
    page = Page(render_html(REPORTS[name]()))
    assert page.open == []
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [attributes["href"] for attributes in page.named("a")]
    assert {target.removeprefix("#") for target in targets} <= set(ids)


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_loads_nothing_and_runs_nothing(name: str) -> None:
    page = Page(render_html(REPORTS[name]()))
    assert {"script", "img", "iframe", "object", "link", "base", "form"}.isdisjoint(
        tag for tag, _, _ in page.elements
    )
    for _, attributes, _ in page.elements:
        assert not any(key.startswith("on") or key == "src" for key in attributes)
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"url\(|@import|https?:", page.style)
    policy = page.named("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_every_hostile_text_is_shown_and_none_is_markup() -> None:
    report = SAMPLES["hostile_report"]()
    page = Page(render_html(report))
    assert {"b", "i", "em"}.isdisjoint(tag for tag, _, _ in page.elements)
    for text in strings(report.model_dump(mode="json", exclude={"differences": True})):
        assert plain(text) in page.text


def test_hostile_text_is_no_markup_in_markdown_either() -> None:
    report = SAMPLES["hostile_report"]()
    html = rendered_markdown(report)
    page = Page(html)
    assert {"a", "img", "script", "code", "em", "b", "pre"}.isdisjoint(
        tag for tag, _, _ in page.elements
    )
    assert "http://" not in render_markdown(report)
    for text in strings(report.model_dump(mode="json", exclude={"differences": True})):
        assert plain(text).removesuffix('"><b>role') in page.text


@pytest.mark.parametrize("name", REPORTS)
def test_every_markdown_table_has_rows_of_equal_length(name: str) -> None:
    for block in render_markdown(REPORTS[name]()).split("\n\n"):
        if block.startswith("|"):
            lengths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(lengths) == 1


@pytest.mark.parametrize("name", ["news", "extraction"])
def test_every_figure_of_the_page_is_in_the_markdown(name: str) -> None:
    report = REPORTS[name]()
    page, markdown = Page(render_html(report)), Page(rendered_markdown(report)).text
    drawn = [
        charts.exact_chart(report, "test"),
        charts.difference_chart(report.differences),
    ]
    ticks = {n for c in drawn if c for _, text in c.ticks for n in NUMBER.findall(text)}
    missing = set(NUMBER.findall(page.text)) - set(NUMBER.findall(markdown)) - ticks
    assert missing == set()


@pytest.mark.parametrize("name", ["news", "extraction"])
def test_the_answer_and_every_sentence_are_in_both(name: str) -> None:
    report = REPORTS[name]()
    for shown in (Page(render_html(report)).text, Page(rendered_markdown(report)).text):
        for sentence in (report.answer, *(split.sentence for split in report.splits)):
            assert sentence in shown
        for note in report.notes:
            assert note in shown


def test_sections_follow_the_order_of_the_report() -> None:
    text = Page(render_html(SAMPLES["news_report"]())).text
    headings = [
        "news 2026-03-01 12:30 UTC",
        "Does the student trained with reasoning beat the label-only one?",
        "Wins are parts",
        "wild 120 rows Real headlines",
        "hard 120 rows Negation",
        "test 120 rows Rows like",
        "Disagreements Rows on which",
        "What these numbers mean and do not mean",
        "Provenance Every figure",
    ]
    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)


def test_a_dot_stands_where_its_value_is_and_its_interval_around_it() -> None:
    report = SAMPLES["news_report"]()
    page = Page(render_html(report))
    dots = [float(a["cx"].removesuffix("%")) for a in page.named("circle")]
    lines = [
        (float(a["x1"].removesuffix("%")), float(a["x2"].removesuffix("%")))
        for a in page.named("line", **{"class": "interval"})
    ]
    expected = [(d.points, 50.0, 50.0 / 20) for d in report.differences]
    expected += [
        (system.splits[split.name].exact, 0.0, 100.0)
        for split in report.splits
        for system in report.systems
    ]
    assert dots == pytest.approx([start + by * s.value for s, start, by in expected], abs=1e-3)
    bounds = [(start + by * s.low, start + by * s.high) for s, start, by in expected]
    assert [x for line in lines for x in line] == pytest.approx(
        [x for bound in bounds for x in bound], abs=1e-3
    )


def test_a_difference_whose_interval_includes_zero_is_hollow() -> None:
    chart = charts.difference_chart(SAMPLES["news_report"]().differences)
    assert chart is not None
    assert [(mark.name, mark.hollow) for mark in chart.marks] == [
        ("wild", False),
        ("hard", False),
        ("test", True),
    ]
    assert chart.ends == ("← student-label ahead", "student-reason ahead →")


def test_every_drawing_says_in_words_what_it_shows() -> None:
    page = Page(render_html(SAMPLES["news_report"]()))
    drawings = page.named("svg", role="img")
    assert len(drawings) == 4
    names = " ".join(drawing["aria-labelledby"] for drawing in drawings).split()
    assert {a["id"] for tag in ("title", "desc") for a in page.named(tag) if "id" in a} == set(
        names
    )
    assert "teacher: 91.4 % [87.6–94.8]; student-reason: 78.1 % [74.3–81.5]" in page.text


def test_what_is_unscored_is_a_dash_and_never_zero() -> None:
    report = SAMPLES["extraction_report"]()
    table = tables.split_table(report, "wild")
    assert table is not None
    shown = {h.text: (c.text, c.title) for h, c in zip(table.heads, table.rows[0], strict=True)}
    assert shown["Exact, %"] == ("–", "unscored")
    assert shown["US$ per 1,000 rows"] == ("–", "unscored: not known")
    assert shown["Valid, %"] == ("100.0", "")
    assert '<abbr title="unscored">–</abbr>' in render_html(report)
    chart = charts.exact_chart(report, "wild")
    assert chart is not None
    assert [(m.figure, m.bounds, m.at) for m in chart.marks] == [("unscored", "", None)]


def test_not_a_number_is_unscored() -> None:
    report = SAMPLES["extraction_report"]()
    broken = (
        report.systems[0]
        .splits["test"]
        .model_copy(
            update={
                "exact": Score(value=float("nan"), low=0.1, high=0.9, n=3),
                "cost": float("inf"),
            }
        )
    )
    only = report.systems[0].model_copy(update={"splits": {"test": broken}})
    text = Page(render_html(report.model_copy(update={"systems": [only]}))).text
    assert not re.search(r"\b(nan|inf)\b", text)
    assert "student unscored" in text


def test_n_stands_in_the_heading_where_shared_and_beside_the_figure_where_not() -> None:
    report = SAMPLES["news_report"]()
    table = tables.split_table(report, "wild")
    assert table is not None
    heads = {head.text: head.note for head in table.heads}
    assert heads["Exact, %"] == "n 360"
    assert heads["Whole answers right, %"] == "n 120"
    fewer = (
        report.systems[0]
        .splits["wild"]
        .model_copy(update={"exact": Score(value=0.5, low=0.4, high=0.6, n=90)})
    )
    teacher = report.systems[0].model_copy(update={"splits": {"wild": fewer}})
    mixed = report.model_copy(update={"systems": [teacher, *report.systems[1:]]})
    table = tables.split_table(mixed, "wild")
    assert table is not None
    assert table.heads[1].note == ""
    assert [row[1].note for row in table.rows[:2]] == ["[40.0–60.0] n 90", "[74.3–81.5] n 360"]


def test_a_row_of_the_split_table_is_one_system_whole() -> None:
    table = tables.split_table(SAMPLES["news_report"](), "wild")
    assert table is not None
    row = {
        h.text: f"{c.text} {c.note}".strip()
        for h, c in zip(table.heads, table.rows[0], strict=True)
    }
    assert row == {
        "System": "teacher",
        "Exact, %": "91.4 [87.6–94.8]",
        "Whole answers right, %": "76.4 [68.3–83.6]",
        "Valid, %": "98.3 [96.3–100.0]",
        "Agreement with the teacher, %": "–",
        "Macro-F1 polaridade": "0.933 [0.892–0.970]",
        "Macro-F1 emocao": "0.903 [0.862–0.940]",
        "Cited cue in the text, %": "96.4 [94.3–98.3]",
        "Rows": "120 2 failed",
        "Median s per row": "2.31",
        "p95 s per row": "5.62",
        "Tokens in per row": "811",
        "Tokens out per row": "104",
        "US$ per 1,000 rows": "2.46",
    }


def test_a_student_that_has_not_learnt_is_marked() -> None:
    text = Page(render_html(SAMPLES["news_report"]())).text
    assert text.count("not shown to beat the majority class") == 3


def test_a_confusion_matrix_counts_gold_in_rows() -> None:
    label = tables.label_tables(SAMPLES["news_report"](), "wild")[0]
    assert label.name == "polaridade"
    teacher = label.confusions[0]
    assert [head.text for head in teacher.heads[1:]] == [
        "Positivo",
        "Negativo",
        "Neutro",
        "no answer",
    ]
    assert [[cell.text for cell in row] for row in teacher.rows] == [
        ["Positivo", "116", "4", "0", "0"],
        ["Negativo", "0", "116", "3", "1"],
        ["Neutro", "4", "0", "116", "0"],
    ]


def test_a_disagreement_marks_what_is_not_as_in_gold() -> None:
    found = SAMPLES["news_report"]().disagreements[0]
    table = tables.answers_table(found)
    rows = {row[0].text: [(cell.text, cell.differs) for cell in row[1:]] for row in table.rows}
    assert rows["f2.emocao"] == [
        ("Neutro", False),
        ("Neutro", False),
        ("Medo", True),
        ("no answer", True),
    ]
    assert "≠ Medo" in render_markdown(SAMPLES["news_report"]())


def test_a_disagreement_without_gold_or_answers_is_still_shown() -> None:
    found = SAMPLES["news_report"]().disagreements[0]
    bare = found.model_copy(update={"gold": None, "answers": {"teacher": None}})
    assert [
        [(c.text, c.title, c.differs) for c in row] for row in tables.answers_table(bare).rows
    ] == [[("answer", "", False), ("–", "unscored: no gold", False), ("no answer", "", False)]]


def test_write_report_writes_three_files_and_the_json_is_the_report(tmp_path: Path) -> None:
    report = SAMPLES["news_report"]()
    page = write_report(report, tmp_path / "new" / "folder")
    assert page == tmp_path / "new" / "folder" / "report.html"
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
    ]
    assert page.read_text(encoding="utf-8") == render_html(report)
    assert page.with_suffix(".md").read_text(encoding="utf-8") == render_markdown(report)
    text = page.with_suffix(".json").read_text(encoding="utf-8")
    assert Report.model_validate_json(text) == report


def test_a_report_that_cannot_be_written_leaves_no_half_of_it(tmp_path: Path) -> None:
    (tmp_path / "report.md" / "in the way").mkdir(parents=True)
    (tmp_path / "report.html").write_text("yesterday's", encoding="utf-8")
    with pytest.raises(OSError, match=r"report\.md"):
        write_report(SAMPLES["news_report"](), tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "yesterday's"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
    ]


def test_half_an_emoji_from_a_model_does_not_lose_the_report(tmp_path: Path) -> None:
    report = SAMPLES["news_report"]()
    found = report.disagreements[0].model_copy(update={"gold": {"f1": "a\ud83d"}})
    page = write_report(report.model_copy(update={"disagreements": [found]}), tmp_path)
    for suffix in (".html", ".md", ".json"):
        assert "a?" in page.with_suffix(suffix).read_text(encoding="utf-8")


def test_a_markdown_figure_reads_well_as_plain_text() -> None:
    lines = render_markdown(SAMPLES["news_report"]()).splitlines()
    assert lines[10:13] == [
        "| Split | Difference, points (n 360) | Wins | Losses | First − second |",
        "| --- | --: | --: | --: | --: |",
        "| wild | +4.2 [+0.3 to +8.3] | 34 | 30 | student-reason − student-label |",
    ]


def test_report_shows_what_the_store_holds(tmp_path: Path, tiny_task: Task) -> None:
    moods = {"as vendas subiram": "Alegria", "as vendas caíram": "Medo"}
    examples = [
        Example(
            id=example_id({"sentence": sentence}),
            task="tiny",
            split="test",
            inputs={"sentence": sentence},
            gold={"mood": mood, "urgent": False},
        )
        for sentence, mood in moods.items()
    ]
    run = Run(
        id="a" * 16,
        name="teacher",
        task="tiny",
        role="teacher",
        model="scripted",
        strategy="one",
        target="reason_label",
        words=tiny_task.teacher_words,
        answers=tiny_task.answers,
        started="2026-03-01T12:30:00+00:00",
    )
    with Store(tmp_path / "store.db") as store:
        store.add_examples(examples)
        store.start_run(run)
        for example in examples:
            answer = {"mood": "Medo", "urgent": False}
            store.add_record(
                Record(run=run.id, example=example.id, answer=answer, created=run.started)
            )
        page = reporting.report(tiny_task, store, tmp_path / "report", splits=["test"])
        found = compare(tiny_task, store, splits=["test"])
    assert found.systems[0].splits["test"].exact.value == 0.5
    written = Report.model_validate_json(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert written.systems == found.systems
    assert "teacher: 50.0 %" in Page(page.read_text(encoding="utf-8")).text


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (figures.percent, 0.9123, "91.2"),
        (figures.points, 4.21, "+4.2"),
        (figures.points, -0.5, "−0.5"),
        (figures.points, -0.01, "0.0"),
        (figures.seconds, 0.00002, "<0.001"),
        (figures.seconds, 0.0, "0.000"),
        (figures.seconds, 0.0123, "0.012"),
        (figures.seconds, 2.314, "2.31"),
        (figures.seconds, 1214.7, "1,215"),
        (figures.tokens, 61.74, "61.7"),
        (figures.tokens, 811.2, "811"),
        (figures.dollars, 0.0, "0.00"),
        (figures.dollars, 2.4563, "2.46"),
        (figures.dollars, 0.00042, "0.00042"),
    ],
)
def test_a_figure_is_written_with_the_places_it_deserves(
    write: Any, value: float, text: str
) -> None:
    assert write(value) == text


@pytest.mark.parametrize(
    ("created", "shown"),
    [
        ("2026-03-01T12:30:00+02:00", "2026-03-01 10:30 UTC"),
        ("2026-03-01T12:30:00", "2026-03-01 12:30"),
        ("last Tuesday", "last Tuesday"),
    ],
)
def test_the_date_is_shown_as_a_person_reads_it(created: str, shown: str) -> None:
    report = SAMPLES["extraction_report"]().model_copy(update={"created": created})
    assert f"{shown} · 1 system on 2 held-out splits" in Page(render_html(report)).text
