"""Stores of earlier schemas: brought up to date whole, once, after a copy was made."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from understudy.store import Example, Record, Store, StoreError, example_id, schema
from understudy.store.care import verify
from understudy.store.search import search

DUMPS = sorted((Path(__file__).parent / "stores").glob("*.sql"))
FIRST = Path(__file__).parent / "stores" / "m001.sql"


def file_of(dump: Path, path: Path) -> Path:
    """A store's file as the version of the dump left it: with write-ahead logging."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.executescript(dump.read_text(encoding="utf-8"))
    return path


def old_rows(path: Path, table: str) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"select * from {table} order by rowid")]


def data(cell: str | None) -> Any:
    return None if cell is None else json.loads(cell)


def record_of(row: dict[str, Any], runs: dict[Any, str], examples: dict[Any, str]) -> Record:
    """A record as the store gives it; since m002 a row names its run and example by position."""
    held = {name: value for name, value in row.items() if name not in ("task", "number")}
    held |= {name: data(row[name]) for name in JSON_OF_RECORD if name in row}
    run, example = runs.get(row["run"], row["run"]), examples.get(row["example"], row["example"])
    return Record(**{**held, "run": run, "example": example})


JSON_OF_RECORD = ("answer", "confidence", "votes", "details")


@pytest.fixture
def old(tmp_path):
    return file_of(FIRST, tmp_path / "app.db")


def test_every_released_schema_has_a_dump():
    steps = {step.__name__.split("_")[0] for step in schema.STEPS[:-1]}
    assert {dump.stem for dump in DUMPS} == steps


@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.stem)
def test_an_old_store_is_brought_up_to_date_whole(dump, tmp_path):
    path = file_of(dump, tmp_path / "app.db")
    examples, runs, records = (old_rows(path, name) for name in ("examples", "runs", "records"))
    tasks = list(dict.fromkeys(row["task"] for row in examples))
    run_ids = {row.get("position"): row["id"] for row in runs}
    example_ids = {row["position"]: row["id"] for row in examples}
    with Store(path) as store:
        positions = [row["position"] for row in store.connection.read("select * from examples")]
        assert positions == [row["position"] for row in examples]
        assert [row for task in tasks for row in store.examples(task)] == [
            Example(
                **{k: v for k, v in row.items() if k not in ("position", "inputs", "gold")},
                inputs=data(row["inputs"]),
                gold=data(row["gold"]),
            )
            for row in examples
        ]
        assert {run.id for run in store.runs()} == {row["id"] for row in runs}
        found = store.connection.read(
            "select e.id as example from records r join examples e on e.position = r.example "
            "order by r.number"
        )
        old_records = [record_of(row, run_ids, example_ids) for row in records]
        assert [row["example"] for row in found] == [record.example for record in old_records]
        for run in store.runs():
            kept = {record.example: record for record in store.iter_records(run.id)}
            wanted = [record for record in old_records if record.run == run.id]
            assert kept == {record.example: record for record in wanted}
        assert verify(store) == []


def test_both_a_fresh_store_and_a_migrated_one_have_the_same_tables(old, tmp_path):
    def tables(path: Path) -> dict[str, str]:
        with Store(path) as store:
            rows = store.connection.read("select name, sql from sqlite_master where sql not null")
            return {row["name"]: " ".join(row["sql"].split()) for row in rows}

    assert tables(old) == tables(tmp_path / "fresh.db")


def test_an_old_store_is_copied_before_and_the_log_says_so_once(old, caplog):
    before = {name: old_rows(old, name) for name in ("examples", "runs", "records")}
    with caplog.at_level(logging.WARNING, "understudy.store"):
        Store(old).close()
        Store(old).close()
    copy = old.with_name("app.db.before-m002")
    assert [text for text in caplog.messages if copy.name in text] == caplog.messages
    assert len(caplog.messages) == 1
    assert {name: old_rows(copy, name) for name in before} == before
    assert os.name != "posix" or stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(path.name for path in old.parent.iterdir()) == ["app.db", copy.name]


def test_a_copy_of_an_earlier_file_of_that_name_is_not_overwritten(old):
    earlier = old.with_name("app.db.before-m002")
    earlier.write_text("somebody's only copy")
    Store(old).close()
    assert earlier.read_text() == "somebody's only copy"
    assert len(old_rows(old.with_name("app.db.before-m002.2"), "records")) == 2


def test_what_was_committed_and_still_stands_in_the_log_is_in_the_copy_too(old):
    with contextlib.closing(sqlite3.connect(old)) as writer:
        writer.execute(
            "insert into examples (task, id, split, inputs) values ('news', 'x', 'train', '{}')"
        )
        writer.commit()
        assert old.with_name("app.db-wal").stat().st_size > 0
        Store(old).close()
    copied = old_rows(old.with_name("app.db.before-m002"), "examples")
    assert [row["id"] for row in copied][-1] == "x"


def test_where_no_copy_can_be_made_nothing_is_changed(old, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = old.read_bytes()
    monkeypatch.setattr("understudy.store.connection.copy_database", full)
    with pytest.raises(StoreError, match=r"before-m002: the copy cannot be written: No space"):
        Store(old)
    assert old.read_bytes() == before


def test_a_migration_that_fails_leaves_the_file_as_it_was(old, monkeypatch):
    def broken(db: Any) -> None:
        db.execute("drop table records")
        db.execute("create table broken (")

    broken.__name__ = "m002_people_and_provenance"
    monkeypatch.setattr(schema, "STEPS", (schema.STEPS[0], broken))
    before = {name: old_rows(old, name) for name in ("examples", "runs", "records")}
    with pytest.raises(StoreError):
        Store(old)
    assert {name: old_rows(old, name) for name in before} == before


def test_a_row_that_refers_to_nothing_is_said_and_not_dropped(old):
    with contextlib.closing(sqlite3.connect(old)) as connection:
        connection.execute("delete from examples where position = 1")
        connection.commit()
    with pytest.raises(StoreError, match=r"1 rows refer to rows that are not there, first in rec"):
        Store(old)
    assert len(old_rows(old, "records")) == 2


def test_two_processes_that_open_an_old_store_at_once_migrate_it_once(old):
    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("begin")
        for number in range(20_000):  # a migration long enough for the others to arrive
            inputs = json.dumps({"f1": f"a notícia {number}"})
            connection.execute(
                "insert into examples (task, id, split, inputs) values ('news', ?, 'train', ?)",
                (example_id(json.loads(inputs)), inputs),
            )
        connection.execute("commit")
    code = "import sys; from understudy.store import Store; Store(sys.argv[1]).close()"
    started = [
        subprocess.Popen([sys.executable, "-c", code, old], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert sum("before-m002" in text for text in said) == 1
    assert len(list(old.parent.glob("*.before-*"))) == 1
    with Store(old) as store:
        assert sum(store.splits("news").values()) == 20_003
        assert verify(store) == []


def test_an_old_store_opened_read_only_is_refused_and_stays_as_it_was(old):
    before = old.read_bytes()
    with pytest.raises(StoreError, match="is of an older version; open it once for writing"):
        Store(old, read_only=True)
    assert old.read_bytes() == before


def test_a_sqlite_too_old_for_the_tables_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "s.db")
    assert "SQLite is 3.36.0 and the store needs 3.37 or newer" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_sqlite_without_full_text_is_one_line(tmp_path, monkeypatch):
    def lacking(db: Any) -> None:
        db.execute("create virtual table x using fts5_that_is_not_built_in (a)")

    lacking.__name__ = schema.STEPS[1].__name__
    monkeypatch.setattr(schema, "STEPS", (schema.STEPS[0], lacking))
    with pytest.raises(StoreError, match=r"SQLite [\d.]+ has no full-text search \(FTS5\)"):
        Store(tmp_path / "s.db")


def test_what_people_and_trainings_left_in_a_store_of_m002_is_as_it_was(tmp_path):
    path = file_of(FIRST.with_name("m002.sql"), tmp_path / "app.db")
    names = ("words", "terms", "reviews", "trainings")
    before = {name: old_rows(path, name) for name in names}
    kept = {name: _unordered(path, name) for name in ("flags", "filters", "lessons")}
    assert all(before.values())
    assert all(kept.values())
    with Store(path) as store:
        assert [found.snippet for found in search(store, "preço")] == ["O [preço] do pão subiu."]
    assert {name: old_rows(path, name) for name in names} == before
    assert {name: _unordered(path, name) for name in kept} == kept


def _unordered(path: Path, table: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"select * from {table} order by 1, 2").fetchall()
