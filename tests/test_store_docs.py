"""docs/store.md: it is what the code says, all of it, and every query in it runs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.store import Store
from understudy.store.documentation import columns_of, indexes_of, schema_page
from understudy.store.meanings import COLUMNS, FULL_TEXT, TABLES, VIEWS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "store.md"
SAMPLES = Path(__file__).with_name("store_samples.py")
samples: Any = SimpleNamespace(**runpy.run_path(str(SAMPLES)))
QUERIES = re.findall(r"### ([^\n]+)\n\n[^`]*```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def store():
    with Store(":memory:") as opened:
        samples.fill(opened)
        yield opened


def names(store: Store, kind: str) -> set[str]:
    found = store.connection.read("select name from sqlite_master where type = :kind", kind=kind)
    return {row["name"] for row in found}


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text(encoding="utf-8") == schema_page(), "run python scripts/store_docs.py"


def test_every_table_and_view_is_told_of(store):
    shadows = {f"{name}_{part}" for name in FULL_TEXT for part in _SHADOWS}
    own = {"_sqlite_migrations"}
    assert names(store, "table") - shadows - own == set(TABLES) | set(FULL_TEXT)
    assert names(store, "view") == set(VIEWS)


_SHADOWS = ("data", "idx", "docsize", "config", "content")


@pytest.mark.parametrize("table", list(TABLES))
def test_every_column_of_a_table_has_its_meaning(store, table):
    assert list(COLUMNS[table]) == list(columns_of(store, table))
    text = PAGE.read_text(encoding="utf-8")
    for column, meaning in COLUMNS[table].items():
        assert re.search(rf"^\| `{column}` \| \S.*\| {re.escape(meaning)} \|$", text, re.MULTILINE)


def test_every_index_is_told_of(store):
    text = PAGE.read_text(encoding="utf-8")
    told = {index for table in TABLES for index in indexes_of(store, table)}
    made = {name for name in names(store, "index") if "_sqlite_migrations" not in name}
    assert made <= told
    for index in told:
        assert f"- `{index}`: " in text


def test_a_tables_page_says_what_is_never_null(store):
    assert columns_of(store, "records")["seconds"] == ("REAL", True)
    assert columns_of(store, "records")["cost"] == ("REAL", False)
    assert columns_of(store, "lessons")["record"] == ("INTEGER", True)


def test_the_page_has_the_queries():
    assert len(QUERIES) >= 8


@pytest.mark.parametrize(("title", "sql"), QUERIES, ids=[title for title, _ in QUERIES])
def test_every_query_on_the_page_runs_and_finds_rows(store, title, sql):
    known = {"record": 1, "example": samples.IDS[0]}
    values = {name: known.get(name, "") for name in re.findall(r":(\w+)", sql)}
    assert store.connection.read(sql, **values), title
