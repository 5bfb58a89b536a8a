"""A real datasette over a small store: pages, queries and search answer, hostile text is text."""

from __future__ import annotations

import asyncio
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest

from understudy.store import Store
from understudy.store.datasette import QUERIES, metadata
from understudy.store.meanings import COLUMNS, TABLES, VIEWS

datasette = pytest.importorskip("datasette.app")
SAMPLES = Path(__file__).with_name("store_samples.py")
samples: Any = SimpleNamespace(**runpy.run_path(str(SAMPLES)))
HOSTILE = "' or '1'='1\"; drop table records; -- <script>alert(1)</script>"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = samples.made(tmp_path_factory.mktemp("look") / "app.db")
    return made


@pytest.fixture(scope="module")
def get(path: Path):
    """What datasette answers to a path under /app, without a socket."""
    served = datasette.Datasette([str(path)], metadata=metadata("app"))

    async def ask(where: str) -> Any:
        await served.invoke_startup()
        return await served.client.get(where)

    def call(page: str = "", **values: str) -> Any:
        question = f"?{urlencode(values)}" if values else ""
        return asyncio.run(ask(f"/app{page}{question}"))

    return call


@pytest.fixture(scope="module")
def rows(get):
    def call(page: str, **values: str) -> list[dict[str, Any]]:
        answer = get(f"{page}.json", _shape="array", **values)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    return call


def test_the_first_page_names_tables_views_and_queries(get):
    page = get().text
    for title, _, _ in QUERIES.values():
        assert title in page
    for name in (*TABLES, "labels", "disagreements"):
        assert f'href="/app/{name}"' in page


@pytest.mark.parametrize("name", [*TABLES, *VIEWS])
def test_every_table_and_view_has_a_page_with_its_meaning(get, name):
    page = get(f"/{name}")
    assert page.status_code == 200
    assert (TABLES | VIEWS)[name].split(":")[0].split("'")[0] in page.text


def test_a_tables_page_says_what_its_columns_mean(get):
    page = get("/records").text
    for meaning in COLUMNS["records"].values():
        assert meaning.replace("'", "&#39;") in page


@pytest.mark.parametrize("query", list(QUERIES))
def test_every_query_has_a_page(get, query):
    assert get(f"/{query}").status_code == 200


def test_the_command_that_is_printed_starts_datasette(path):
    from understudy.store.datasette import write_metadata

    written = write_metadata(path)
    options = ["-m", str(written), "--setting", "suggest_facets", "off"]
    command = [sys.executable, "-m", "datasette", "serve", str(path), *options]
    for page, words in (("/app", "Student and teacher disagree"), ("/", "Understudy store")):
        done = subprocess.run(
            [*command, "--get", page], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert words in done.stdout


def test_failed_rows(rows):
    (row,) = rows("/failed_rows")
    assert (row["number"], row["error"], row["raw"]) == (3, "no JSON", "I cannot say")
    assert rows("/failed_rows", run=samples.TEACHER.id) == [row]
    assert rows("/failed_rows", run=samples.STUDENT.id) == []


def test_student_and_teacher_disagree(rows):
    (row,) = rows("/disagreements_of_a_run", run=samples.STUDENT.id)
    assert (row["number"], row["student_answer"], row["teacher_answer"]) == (
        6,
        '{"mood":"sad"}',
        '{"mood":"happy"}',
    )
    assert rows("/disagreements_of_a_run") == [row]
    assert rows("/disagreements_of_a_run", run=samples.TEACHER.id) == []


def test_cost_by_run(rows):
    student, teacher = rows("/cost_by_run", task="moods")
    assert (teacher["rows"], teacher["failed"], teacher["cost"]) == (4, 1, 0.75)
    assert (student["rows"], student["failed"], student["cost"]) == (2, 0, None)
    assert rows("/cost_by_run", task="other") == []


def test_reviews_flags_and_terms(rows):
    (review,) = rows("/reviews_of_a_task")
    assert (review["reviewer"], review["answer"]) == ("Ana", '{"mood":"worried"}')
    (flag,) = rows("/flagged_rows", rule="duplicate")
    assert (flag["example"], flag["filtered"]) == (samples.IDS[1], 1)
    assert rows("/flagged_rows", rule="another") == []
    (terms,) = rows("/terms_of_teachers")
    assert (terms["model"], terms["licence"]) == ("wise-1", "CC0")


def test_one_example_and_who_learnt_from_a_record(rows):
    assert [row["number"] for row in rows("/one_example", example=samples.IDS[0])] == [1, 5]
    (student,) = rows("/taught_by_a_record", record="1")
    assert student["name"] == "small"
    assert rows("/taught_by_a_record", record="3") == []


@pytest.mark.parametrize(
    ("table", "words", "column", "expected"),
    [
        ("examples", "CIDADE", "position", [2]),
        ("records", "praca", "number", [2]),
        ("labels", "pao", "number", [1]),
    ],
)
def test_tables_are_searched_in_full_text(rows, get, table, words, column, expected):
    assert [row[column] for row in rows(f"/{table}", _search=words)] == expected
    assert 'name="_search"' in get(f"/{table}").text


@pytest.mark.parametrize("query", list(QUERIES))
def test_no_value_changes_what_a_query_asks(rows, path, query):
    names = re.findall(r":(\w+)", QUERIES[query][2])
    found = rows(f"/{query}", **dict.fromkeys(names, HOSTILE)) if names else []
    assert found == []
    with Store(path) as store:
        assert len(store.records(samples.TEACHER.id)) == 4


@pytest.mark.parametrize("page", ["/examples", "/records", "/labels", "/examples/4", "/records/4"])
def test_hostile_text_is_shown_as_text(get, page):
    text = get(page).text
    assert "<script>alert(" not in text
    assert "&lt;script&gt;alert(" in text


def test_a_hostile_value_is_shown_as_text(get):
    for query in ("failed_rows", "cost_by_run", "one_example"):
        names = re.findall(r":(\w+)", QUERIES[query][2])
        assert "<script>alert(1)" not in get(f"/{query}", **dict.fromkeys(names, HOSTILE)).text


def test_links_lead_from_a_record_to_its_run_and_example(get):
    page = get("/records").text
    assert 'href="/app/runs/1">teacher</a>' in page
    assert f'href="/app/examples/1">{samples.IDS[0]}</a>' in page


@pytest.mark.parametrize("query", list(QUERIES))
def test_every_query_finds_its_rows_through_an_index(path, query):
    """Only runs, of which there are few, and what a query is about are gone through whole."""
    sql = QUERIES[query][2]
    about = {"flagged_rows": {"f"}, "reviews_of_a_task": {"v"}}
    values = dict.fromkeys(re.findall(r":(\w+)", sql), "")
    with Store(path) as store:
        plan = store.connection.read(f"explain query plan {sql}", **values)
    scanned = {row["detail"].split()[1] for row in plan if row["detail"].startswith("SCAN")}
    assert scanned <= about.get(query, set()) | {"u", "su"}
