"""The report as HTML, Markdown and JSON: same figures, nothing is loaded, no text is markup."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pydantic
import pytest

from understudy.chains.task import Task
from understudy.distill.commands.display import print_table
from understudy.distill.evaluation.comparing import compare
from understudy.distill.evaluation.first_screen import EMBEDDED_NOTE
from understudy.distill.evaluation.results import Correctness, LabelDifference, Report, SystemResult
from understudy.distill.labelling.limits import LabellingError
from understudy.distill.reporting import charts, detail_tables, figures, html, markdown, tables
from understudy.distill.reporting import pages as reporting
from understudy.distill.reporting.browser import island
from understudy.distill.reporting.pages import render_html, render_markdown, write_report
from understudy.distill.reporting.sections import how_sure
from understudy.distill.reporting.selection import leading, main_verdict
from understudy.store import Store
from understudy.store.rows import Example, Record, Run, Score, example_id

SAMPLES = runpy.run_path(str(Path(__file__).with_name("report_samples.py")))
REPORTS = SAMPLES["REPORTS"]
VOID = ("meta", "input", "br")
NUMBER = re.compile(r"[<+−-]?\d[\d,.]*\d|\d")
PAGES: dict[str, str] = {}


class Page(HTMLParser):
    """Elements as (tag, attributes, tags around it) and the text that a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
        self.open: list[str] = []
        self.pieces: list[str] = []
        self.within: dict[str, list[str]] = {"style": [], "script": [], "svg": [], "noscript": []}
        self.feed(text)
        self.text = plain("".join(self.pieces))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}, tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}, tuple(self.open)))

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag, found in self.within.items():
            if tag in self.open:
                found.append(data)
                return
        self.pieces.append(data)

    def named(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [a for t, a, _ in self.elements if t == tag and attributes.items() <= a.items()]


def page_of(name: str) -> str:
    """The page of a sample, drawn once."""
    if name not in PAGES:
        PAGES[name] = render_html(REPORTS[name]())
    return PAGES[name]


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
    elif isinstance(data, list | tuple):
        for value in data:
            yield from strings(value)


def rendered_markdown(report: Report) -> str:
    """The Markdown as a reader with a CommonMark renderer sees it, as HTML."""
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return str(parser.render(render_markdown(report)))


def rows_of(page: str) -> Any:
    """The data of the browser of rows."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_renders_as_well_formed_html(name: str) -> None:
    page = Page(page_of(name))
    assert page.open == []
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [attributes["href"] for attributes in page.named("a")]
    assert {target.removeprefix("#") for target in targets} <= set(ids)
    used = [attributes["href"] for attributes in page.named("use")]
    assert {target.removeprefix("#") for target in used} <= set(ids)


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_loads_nothing_and_runs_nothing_but_its_own_script(name: str) -> None:
    page = Page(page_of(name))
    assert {
        "img",
        "iframe",
        "object",
        "link",
        "base",
        "image",
        "foreignobject",
        "a:href",
    }.isdisjoint(tag for tag, _, _ in page.elements)
    for _, attributes, _ in page.elements:
        assert not any(key.startswith("on") or key in ("src", "style") for key in attributes)
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"url\(|@import|https?:", "".join(page.within["style"]))
    assert page.named("script") == [{"type": "application/json", "id": "data"}, {}]


@pytest.mark.parametrize("name", REPORTS)
def test_the_policy_names_the_one_script_and_the_one_style_by_their_hashes(name: str) -> None:
    text = page_of(name)
    style = re.findall(r"<style>(.*?)</style>", text, re.S)
    script = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert (len(style), len(script)) == (1, 1)
    policy = Page(text).named("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    hashes = [
        base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        for part in (script[0], style[0])
    ]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_every_hostile_text_is_shown_and_none_is_markup() -> None:
    report = SAMPLES["hostile_report"]()
    page = Page(page_of("hostile"))
    assert {"b", "i", "em"}.isdisjoint(tag for tag, _, _ in page.elements)
    shown = report.model_dump(mode="json", exclude={"rows": True, "learning": {"points": True}})
    for text in strings(shown):
        assert plain(text) in page.text or text in ("supported", "teacher")


def test_hostile_rows_are_data_that_no_parser_takes_for_markup() -> None:
    text = page_of("hostile")
    (row,) = rows_of(text)["rows"]
    said = [*strings(row), *strings(rows_of(text)["systems"])]
    for found in strings(SAMPLES["hostile_report"]().rows.rows[0].model_dump(mode="json")):
        assert found in said
    for evil in ("</script>", "<!--", "\u2028", "&lt;", "<script"):
        assert evil not in island({"a": evil * 2, evil: [evil]})
        assert json.loads(island({"a": evil})) == {"a": evil}
    assert text.count("<script") == text.count("</script>") == 2


def test_hostile_text_is_no_markup_in_markdown_either() -> None:
    report = SAMPLES["hostile_report"]()
    page = Page(rendered_markdown(report))
    assert {"a", "img", "script", "em", "b", "pre"}.isdisjoint(tag for tag, _, _ in page.elements)
    assert [SAMPLES["HOSTILE"] in text for text in page.within["script"]] == []
    shown = report.model_dump(
        mode="json", exclude={"rows": {"rows": {"__all__": {"errors", "inputs"}}}, "systems": True}
    )
    for text in strings(shown):
        assert plain(text) in page.text or text == "supported"


def test_a_command_in_markdown_is_code_and_never_a_link() -> None:
    provenance = SAMPLES["news_report"]().provenance.model_copy(
        update={"commands": ["a `b` https://c", "</details><script>"]}
    )
    report = SAMPLES["news_report"]().model_copy(update={"provenance": provenance})
    html_text = rendered_markdown(report)
    assert "<code>a `b` https://c</code>" in html_text
    assert "<code>&lt;/details&gt;&lt;script&gt;</code>" in html_text


@pytest.mark.parametrize("name", REPORTS)
def test_every_markdown_table_has_rows_of_equal_length(name: str) -> None:
    for block in render_markdown(REPORTS[name]()).split("\n\n"):
        if block.startswith("|"):
            lengths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(lengths) == 1


@pytest.mark.parametrize("name", ["news", "extraction"])
def test_every_figure_of_the_page_is_in_the_markdown_where_there_is_room(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markdown, "LONGEST", 10**6)
    report, page = REPORTS[name](), Page(page_of(name))
    found = Page(rendered_markdown(report)).text
    rows = re.search(r"Rows, side by side (.*?) What these", page.text)
    assert rows is not None
    missing = set(NUMBER.findall(page.text.replace(rows[1], ""))) - set(NUMBER.findall(found))
    assert missing == set()


@pytest.mark.parametrize("name", ["news", "extraction"])
def test_the_answer_and_every_sentence_are_in_both(name: str) -> None:
    report = REPORTS[name]()
    sentences = [report.answer, *report.notes, *(split.sentence for split in report.splits)]
    for found in (report.dividends, report.comparisons, report.break_even):
        sentences += [one.sentence for one in found]
    for shown in (Page(page_of(name)).text, Page(rendered_markdown(report)).text):
        for sentence in sentences:
            assert plain(sentence) in shown


def test_the_first_thing_that_is_said_is_whether_one_can_swap() -> None:
    report = SAMPLES["news_report"]()
    text = Page(page_of("news")).text
    places = [
        text.index(part)
        for part in (
            "Can I swap? ✕ Not supported On wild, student-reason-0",
            *(value for _, value in report.verdicts[0].numbers),
            "95 % interval −18.0 to −8.4 points, on 120 rows of wild, paired, against gold.",
            "The margin is 2.0 points",
            "The answer in full",
            "wild 120 rows Real headlines",
            "hard 120 rows Negation",
            "test 120 rows Rows like",
            "Does reasoning help?",
            "When has it paid for itself?",
            "Are more labels worth their price?",
            "How they learnt",
            "Was anything seen in training?",
            "Rows, side by side",
            "What these numbers mean and do not mean",
            "Provenance Every figure",
        )
    ]
    assert places == sorted(places)
    lines = render_markdown(report).splitlines()
    assert lines[0] == "# news: Can I swap?"
    assert lines[2].startswith("**✕ Not supported.** On wild, student-reason-0")


def test_the_first_screen_takes_the_best_student_of_the_first_split_and_says_so() -> None:
    report = SAMPLES["news_report"]()
    test = report.model_copy(update={"splits": report.splits[2:]})
    main = main_verdict(test)
    assert main is not None
    assert (main.student, main.split, main.verdict) == ("student-reason-0", "test", "supported")
    text = Page(render_html(test)).text
    assert "✓ Supported" in text
    assert "The best of 3 students on test, each tested alone." in text


def test_the_first_screen_names_the_best_of_every_other_split() -> None:
    page = page_of("news")
    text = Page(page).text
    assert "✕ hard: not supported (student-reason-0) ✓ test: supported (student-reason-0)" in text
    assert page.index('class="elsewhere"') < page.index('class="numbers"')


def test_of_many_differences_the_ones_among_who_leads_come_first_and_the_page_says_how_many() -> (
    None
):
    report = SAMPLES["news_report"]()
    twins = [
        one.model_copy(update={"name": f"{one.name}{copy}"})
        for copy in ("", "-b", "-c")
        for one in report.systems
    ]
    names = [one.name for one in reversed(twins)]
    found = [
        SAMPLES["comparison"](first, second, "test", SAMPLES["points"](1, -1, 3))
        for at, first in enumerate(names)
        for second in names[at + 1 :]
    ]
    many = report.model_copy(update={"systems": twins, "comparisons": found})
    page = render_html(many)
    assert len(found) == 276
    assert "The first 30 of 276." in page
    assert "60 of 276 are shown; the others are in report.json." in page
    forest = page[page.index("Paired differences on test") :]
    assert forest.index("student-label − teacher:") < forest.index("majority-c −")
    assert "All 60 differences" in render_markdown(many)


def test_more_rows_that_would_decide_are_named() -> None:
    report = SAMPLES["news_report"]()
    only = [verdict for verdict in report.verdicts if verdict.verdict == "not enough rows"]
    text = Page(render_html(report.model_copy(update={"verdicts": only}))).text
    assert "? Not enough rows" in text
    assert "About 410 rows might decide." in text


def test_a_toy_base_is_said_on_the_first_screen_apart_from_the_answer() -> None:
    report = SAMPLES["news_report"]().model_copy(update={"answer": f"No. {EMBEDDED_NOTE}"})
    page = render_html(report)
    assert page.index('class="warning"') < page.index(EMBEDDED_NOTE[:60]) < page.index("<nav")
    assert page.count(EMBEDDED_NOTE[:60]) == 1
    assert EMBEDDED_NOTE[:40] in render_markdown(report)


def test_a_dot_stands_where_its_value_is() -> None:
    dots = [charts.Dot(name=n, score=SAMPLES["score"](v)) for n, v in (("a", 0.25), ("bb", 0.75))]
    drawn = charts.share_chart(dots, "x", title="t")
    assert drawn is not None
    page = Page(drawn)
    marks = [float(a["x"]) for a in page.named("use") if "fill" in a]
    line = r'd="M ([\d.]+) [\d.]+ L ([\d.]+) ([\d.]+)" fill="none" stroke="var\(--muted'
    axis = re.search(line, drawn)
    assert axis is not None
    left, right = float(axis[1]), float(axis[2])
    assert marks[-2:] == pytest.approx([left + v * (right - left) for v in (0.25, 0.75)], abs=0.2)


def test_a_difference_whose_interval_includes_zero_is_hollow() -> None:
    def fills(score: Score) -> set[str]:
        drawn = charts.difference_chart([charts.Dot(name="a", score=score)], "x", title="t")
        assert drawn is not None
        return {a["fill"] for a in Page(drawn).named("use") if "fill" in a}

    assert any("--raised" in fill for fill in fills(Score(value=1, low=-1, high=3, n=9)))
    assert not any("--raised" in fill for fill in fills(Score(value=1, low=0.5, high=3, n=9)))


def test_every_drawing_says_in_words_what_it_shows() -> None:
    text = page_of("news")
    page = Page(text)
    drawings = page.named("svg", role="img")
    assert len(drawings) > 15
    names = " ".join(drawing["aria-labelledby"] for drawing in drawings).split()
    assert {a["id"] for tag in ("title", "desc") for a in page.named(tag) if "id" in a} == set(
        names
    )
    assert "teacher: 76.4 % [68.3–83.6]; teacher few_shot: 78.1 %" in "".join(page.within["svg"])


def test_a_drawing_takes_every_colour_from_the_page() -> None:
    page = Page(page_of("news"))
    for tag, attributes, around in page.elements:
        if "svg" in around and tag != "use":
            for key in ("fill", "stroke"):
                value = attributes.get(key, "none")
                assert value == "none" or value.startswith("var(--"), (tag, attributes)


def test_a_dollar_sign_in_a_name_is_no_formula() -> None:
    dots = [charts.Dot(name="$x^2$ costs $5", score=SAMPLES["score"](0.5))]
    drawn = charts.share_chart(dots, "x", title="t")
    assert drawn is not None
    assert "$x^2$ costs $5" in "".join(Page(drawn).within["svg"])


def test_on_the_frontier_nobody_cheaper_is_better() -> None:
    def spot(name: str, right: float, price: float) -> charts.Spot:
        return charts.Spot(name=name, role="student", right=Score(value=right), price=price)

    spots = [
        spot("dear", 0.9, 5),
        spot("cheap", 0.5, 1),
        spot("silly", 0.4, 2),
        spot("same", 0.9, 6),
    ]
    assert [one.name for one in charts.frontier(spots)] == ["cheap", "dear"]


def test_what_is_unscored_is_a_dash_and_never_zero() -> None:
    report = SAMPLES["extraction_report"]()
    table = tables.quality_table(report, "test", "gold")
    assert table is not None
    heads = [head.text for head in table.heads]
    assert "date, %" not in heads  # nothing in the column is known
    assert tables.quality_table(report, "wild", "gold") is None
    broken = (
        report.systems[0]
        .splits["test"]
        .model_copy(update={"valid": Score(value=float("nan"), low=0.1, high=0.9, n=3)})
    )
    only = report.systems[0].model_copy(update={"splits": {"test": broken}})
    text = Page(render_html(report.model_copy(update={"systems": [only]}))).text
    assert not re.search(r"\b(nan|inf)\b", text)
    table = tables.verdicts_table(SAMPLES["news_report"]().verdicts)
    assert [(cell.text, cell.title) for cell in table.rows[4][3:4]] == [("–", "unscored")]


def test_n_stands_in_the_heading_where_shared_and_beside_the_figure_where_not() -> None:
    report = SAMPLES["news_report"]()
    table = tables.quality_table(report, "wild", "gold")
    assert table is not None
    heads = {head.text: head.note for head in table.heads}
    assert heads["Answer parts right, %"] == "n 360"
    assert heads["Whole answers right, %"] == "n 120"
    assert [cell.note for cell in table.rows[0][1:2]] == ["[68.3–83.6]"]
    first = report.systems[0]
    gold = first.splits["wild"].gold.model_copy(update={"row_exact": SAMPLES["score"](0.5, n=90)})
    fewer = first.splits["wild"].model_copy(update={"gold": gold})
    teacher = first.model_copy(update={"splits": {"wild": fewer}})
    mixed = report.model_copy(update={"systems": [teacher, *report.systems[1:]]})
    table = tables.quality_table(mixed, "wild", "gold")
    assert table is not None
    assert table.heads[1].note == ""
    assert [row[1].note for row in table.rows[:2]] == ["[47.0–52.7] n 90", "[70.0–85.4] n 120"]


def test_parts_that_are_the_whole_answer_are_not_shown_beside_it() -> None:
    report = SAMPLES["news_report"]()

    def loose(found: Correctness | None) -> Correctness | None:
        return found and found.model_copy(update={"exact": found.row_exact})

    def flat(system: SystemResult) -> SystemResult:
        splits = {
            split: one.model_copy(
                update={"gold": loose(one.gold), "teacher": loose(one.teacher)},
            )
            for split, one in system.splits.items()
        }
        return system.model_copy(update={"splits": splits})

    systems = [flat(system) for system in report.systems]
    alone = report.model_copy(update={"systems": systems})
    for by in ("gold", "teacher"):
        heads, other = (
            [head.text for head in table.heads if "right, %" in head.text]
            for found in (report, alone)
            if (table := tables.quality_table(found, "wild", by))
        )
        assert heads == ["Whole answers right, %", "Answer parts right, %"]
        assert other == ["Whole answers right, %"]
    table = tables.quality_table(alone, "wild", "teacher")
    assert table is not None
    assert table.rows[0][1].text == "96.1", "the teacher's agreement with itself"
    for page in (Page(render_html(alone)).text, render_markdown(alone)):
        assert "answer parts of rows" not in page
        assert "rows that were asked twice" in page
    one_part = (report.systems[:1], systems[1:])  # what is missing in one is told by another
    mixed = report.model_copy(update={"systems": [*one_part[0], *one_part[1]]})
    table = tables.quality_table(mixed, "wild", "gold")
    assert table is not None
    assert "Answer parts right, %" in [head.text for head in table.heads]


def test_the_teachers_agreement_with_itself_stands_beside_the_students() -> None:
    table = tables.quality_table(SAMPLES["news_report"](), "wild", "teacher")
    assert table is not None
    place = [head.text for head in table.heads].index("Answer parts right, %")
    assert table.rows[0][place].text == "96.1"


def test_a_row_of_the_cost_table_is_one_system_whole() -> None:
    table = tables.cost_table(SAMPLES["news_report"](), "wild")
    row = {h.text: c.text for h, c in zip(table.heads, table.rows[2], strict=True)}
    assert row == {
        "System": "student-reason-0",
        "US$ per 1,000 rows": "0.0044",
        "Median s per row": "0.21",
        "p95 s per row": "0.37",
        "Rows per second": "31.5",
        "Tokens in per row": "92.4",
        "Tokens out per row": "61.7",
        "Peak memory, MiB": "412",
        "Training, s": "301",
        "Training, US$": "0.12",
    }


def test_a_comparison_says_what_it_could_have_shown() -> None:
    found = [c for c in SAMPLES["news_report"]().comparisons if c.split == "hard"]
    table = tables.comparisons_table(found, "hard")
    cells = zip(table.heads, table.rows[0], strict=True)
    row = {head.text: f"{cell.text} {cell.note}".strip() for head, cell in cells}
    assert row["Difference, points"] == "+11.9 [+7.2 to +16.7]"
    assert row["Detectable, points"] == "±7.9"
    assert (row["p (McNemar)"], row["p (Holm)"]) == ("<0.001", "0.124")


def test_a_comparison_is_shown_one_label_at_a_time_too() -> None:
    report = SAMPLES["news_report"]()
    label = LabelDifference(
        points=Score(value=-3.3, low=-6.1, high=-0.4, n=240),
        only_first=4,
        only_second=12,
        p=0.077,
        p_holm=0.308,
        detectable=5.5,
    )
    pair = report.comparisons[0].model_copy(update={"labels": {"f1.<b>mood</b>": label}})
    some = report.model_copy(update={"comparisons": [pair, *report.comparisons[1:]]})
    table = tables.label_differences_table(some.comparisons, pair.split)
    assert table is not None
    assert [cell.text for cell in table.rows[0][1:]] == [
        "f1.<b>mood</b>",
        "−3.3",
        "±5.5",
        "0.077",
        "0.308",
        "4",
        "12",
    ]
    assert "One label at a time" in Page(render_html(some)).text
    assert "<b>mood" not in render_html(some)
    assert "One label at a time" not in render_html(report)


def test_a_student_that_has_not_learnt_is_marked() -> None:
    text = Page(page_of("news")).text
    assert "student-label not shown to beat the majority class" in text


def test_a_confusion_matrix_counts_gold_in_rows() -> None:
    report = SAMPLES["news_report"]()
    teacher = detail_tables.confusion_tables(report.systems[:1], "wild", "gold", "polaridade")[0]
    assert [head.text for head in teacher.heads] == [
        "Expected",
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


def test_teacher_and_judged_students_lead_where_not_all_are_shown() -> None:
    names = [system.name for system in leading(SAMPLES["news_report"](), "test", 5)]
    first = ["teacher", "student-reason-0", "student-reason-1", "student-label"]
    assert names == [*first, "teacher few_shot"]


def test_the_page_says_how_many_of_how_many_rows_it_has() -> None:
    text = Page(page_of("news")).text
    assert (
        "14 of 360 rows are in this file: 1 of 58 on which student and teacher part ways; "
        "1 of 19 that somebody else got wrong; 12 of 283 of the rest, drawn by chance."
    ) in text
    assert len(rows_of(page_of("news"))["rows"]) == 14


def test_a_page_without_texts_says_so() -> None:
    assert "Texts were left out (--no-text)." in Page(page_of("extraction")).text
    assert rows_of(page_of("extraction"))["rows"][0]["inputs"] is None
    assert "--no-text" not in Page(page_of("news")).text


def test_rows_can_be_read_where_no_script_runs() -> None:
    said = plain("".join(Page(page_of("news")).within["noscript"]))
    assert "The first 10 rows of 14 rows" in said
    assert "student-label the answer is no JSON: Expecting value" in said
    assert "f2.emocao: Medo" in said


def swollen(times: int) -> Report:
    """Everything there is much of, and all of it long."""
    report: Report = SAMPLES["hostile_report"]()
    long = SAMPLES["HOSTILE"] * 400
    row = report.rows.rows[0].model_copy(update={"inputs": {f"f{n}": long for n in range(9)}})
    systems = [
        one.model_copy(update={"name": f"{one.name}{n}", "description": long})
        for n in range(times)
        for one in report.systems
    ]
    rows = report.rows.model_copy(update={"rows": [row] * 40})
    return report.model_copy(
        update={
            "systems": systems,
            "notes": [long] * 60,
            "answer": long,
            "comparisons": report.comparisons * 900,
            "slices": report.slices * 900,
            "rows": rows,
        }
    )


def test_a_page_stays_under_3_mb_and_markdown_under_a_comment_whatever_the_texts() -> None:
    report = swollen(40)
    assert len(report.model_dump_json()) > 8_000_000
    page = render_html(report)
    assert len(page.encode()) < html.LARGEST == 3_000_000
    assert "report.json has them whole" in page
    assert Page(page).open == []
    text = render_markdown(report)
    assert len(text) < 60_000
    assert markdown.LONGEST < 60_000
    assert "report.html has the whole" in text
    assert text.index("✓ Supported") < 1000


def test_two_pages_of_a_report_are_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    make = (
        "import runpy, sys; from pathlib import Path;"
        "from understudy.distill.reporting.pages import write_report;"
        "write_report(runpy.run_path(sys.argv[1])['news_report'](), Path(sys.argv[2]))"
    )
    samples = str(Path(__file__).with_name("report_samples.py"))
    subprocess.run(
        [sys.executable, "-c", make, samples, str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        check=True,
    )
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page_of("news")
    later = SAMPLES["news_report"]().model_copy(update={"created": "2026-03-02T10:00:00+00:00"})
    page = render_html(later).replace("2026-03-02 10:00 UTC", "2026-03-01 12:30 UTC")
    assert page == page_of("news")


def test_write_report_writes_three_files_and_the_json_is_the_report(tmp_path: Path) -> None:
    report = SAMPLES["extraction_report"]()
    page = write_report(report, tmp_path / "new" / "folder")
    assert page == tmp_path / "new" / "folder" / "report.html"
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
    ]
    assert page.read_text(encoding="utf-8") == page_of("extraction")
    assert page.with_suffix(".md").read_text(encoding="utf-8") == render_markdown(report)
    text = page.with_suffix(".json").read_text(encoding="utf-8")
    assert Report.model_validate_json(text) == report


@pytest.mark.skipif(pydantic.VERSION < "2.12", reason="an older pydantic words it otherwise")
def test_the_documented_schema_is_that_of_the_report() -> None:
    root = Path(__file__).parents[1]
    made = runpy.run_path(str(root / "scripts" / "report_schema.py"))["schema"]()
    assert (root / "docs" / "report.schema.json").read_text(encoding="utf-8") == made


def test_a_report_that_cannot_be_written_leaves_no_half_of_it(tmp_path: Path) -> None:
    (tmp_path / "report.md" / "in the way").mkdir(parents=True)
    (tmp_path / "report.html").write_text("yesterday's", encoding="utf-8")
    (tmp_path / "report.json").write_text('{"format": 2}', encoding="utf-8")
    with pytest.raises(OSError, match=r"report\.md"):
        write_report(SAMPLES["extraction_report"](), tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "yesterday's"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
    ]


def test_half_an_emoji_from_a_model_does_not_lose_the_report(tmp_path: Path) -> None:
    report = SAMPLES["extraction_report"]()
    row = report.rows.rows[0].model_copy(update={"gold": {"f1": "a\ud83d"}})
    rows = report.rows.model_copy(update={"rows": [row]})
    page = write_report(report.model_copy(update={"rows": rows}), tmp_path)
    for suffix in (".html", ".md", ".json"):
        assert "a?" in page.with_suffix(suffix).read_text(encoding="utf-8")


def test_a_markdown_figure_reads_well_as_plain_text() -> None:
    lines = render_markdown(SAMPLES["news_report"]()).splitlines()
    cells = ("student-reason-0", "wild", "not supported", "−13.1 [−18.0 to −8.4]", "−2.0", "120")
    assert f"| {' | '.join(cells)} | – | gold |" in lines


def test_the_terminal_shows_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    report = SAMPLES["extraction_report"]()
    named = report.systems[0].model_copy(update={"name": "[red]one[/red]"})
    print_table(report.model_copy(update={"systems": [named]}))
    printed = capsys.readouterr().out
    assert "[red]one[/red]" in printed
    assert "22.7 [14.6, 30.0]" in printed
    assert "wild (40 rows, teacher)" in printed


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
        bare = reporting.report(tiny_task, store, tmp_path / "bare", texts=False)
    gold = found.systems[0].splits["test"].gold
    assert gold is not None
    assert gold.row_exact.value == 0.5
    written = Report.model_validate_json(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert written.systems == found.systems
    assert "as vendas subiram" in page.read_text(encoding="utf-8")
    for suffix in (".html", ".md", ".json"):
        assert "as vendas subiram" not in bare.with_suffix(suffix).read_text(encoding="utf-8")


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
        (figures.probability, 0.0341, "0.034"),
        (figures.probability, 4e-6, "<0.001"),
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


def test_where_rows_have_groups_the_page_says_how_many_groups_might_decide() -> None:
    report = SAMPLES["news_report"]()
    verdicts = [
        verdict.model_copy(update={"groups_needed": 83 if verdict.rows_needed else None})
        for verdict in report.verdicts
    ]
    short = next(verdict for verdict in verdicts if verdict.rows_needed)
    assert "About 83 groups of rows (about 410 rows) might decide." in how_sure(short)
    grouped = report.model_copy(update={"verdicts": verdicts})
    for shown in (render_html(grouped), render_markdown(grouped)):
        assert "Groups needed" in shown
        assert "83" in shown
    assert "Groups needed" not in render_html(report)


def test_a_file_that_no_report_wrote_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("mine", encoding="utf-8")
    with pytest.raises(LabellingError, match=r"report\.md was not written by a report"):
        write_report(REPORTS["news"](), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]
    (tmp_path / "report.md").unlink()
    assert write_report(REPORTS["news"](), tmp_path) == tmp_path / "report.html"
    write_report(REPORTS["news"](), tmp_path)  # its own are written anew
