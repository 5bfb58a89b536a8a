"""Metadata with which datasette shows a store usefully: titles, meanings, queries to start from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .connection import StoreError
from .meanings import COLUMNS, TABLES, VIEWS

# Each is fixed SQL with named values and finds its rows through an index (cross join: in this
# order, whatever SQLite guesses of the sizes; runs are few). An empty value leaves a condition out.
QUERIES: dict[str, tuple[str, str, str]] = {
    "failed_rows": (
        "Failed rows",
        "The rows of a run (of all, where none is given) without an answer, the newest run first.",
        "select r.number, e.task, e.split, e.id as example, u.id as run, u.model, r.error, "
        "r.attempts, r.cost, r.raw, r.created from runs u "
        "cross join records r on r.run = u.position and r.answer is null "
        "join examples e on e.position = r.example "
        "where (:run = '' or u.id = :run) order by u.position desc, r.example limit 500",
    ),
    "disagreements_of_a_run": (
        "Student and teacher disagree",
        "Rows where a student's run and a teacher of the same answer schema say different things.",
        "select * from disagreements where (:run = '' or run = :run) limit 500",
    ),
    "cost_by_run": (
        "Cost by run",
        "What each run of a task (of all) took: rows, failures, tokens, US dollars, seconds.",
        "select u.id as run, u.name, u.role, u.model, u.started, count(r.number) as rows, "
        "sum(r.number is not null and r.answer is null) as failed, sum(r.attempts) as attempts, "
        "sum(r.input_tokens) as input_tokens, sum(r.output_tokens) as output_tokens, "
        "sum(r.cost) as cost, sum(r.seconds) as seconds "
        "from runs u left join records r on r.run = u.position "
        "where (:task = '' or u.task = :task) group by u.position order by u.position desc",
    ),
    "reviews_of_a_task": (
        "What people said",
        "The reviews that hold, of a task (of all), the newest first.",
        "select c.* from corrections c where (:task = '' or c.task = :task) "
        "order by c.id desc limit 500",
    ),
    "flagged_rows": (
        "What curation found",
        "The examples that a rule (any rule) flagged, the clearest finding of each rule first.",
        "select f.rule, f.score, f.detail, e.task, e.split, e.id as example, e.inputs, e.gold, "
        "exists (select 1 from filters t where t.task = e.task and t.rule = f.rule) as filtered "
        "from flags f join examples e on e.position = f.example "
        "where (:rule = '' or f.rule = :rule) order by f.rule, f.score desc limit 500",
    ),
    "one_example": (
        "One example",
        "What everybody answered to the example of this id.",
        "select l.* from runs u cross join examples e on e.task = u.task and e.id = :example "
        "cross join records r on r.run = u.position and r.example = e.position "
        "cross join labels l on l.number = r.number order by u.position",
    ),
    "taught_by_a_record": (
        "Who learnt from a record",
        "The students that the record of this number taught.",
        "select t.number, t.name, t.folder, t.target, t.base, t.created from lessons l "
        "join trainings t on t.number = l.training where l.record = :record order by t.number",
    ),
    "terms_of_teachers": (
        "Terms of the teachers",
        "The models that taught, with what was noted of their terms.",
        "select u.model, count(*) as runs, t.licence, t.note, t.source, t.noted from runs u "
        "left join terms t on t.model = u.model where u.role = 'teacher' group by u.model",
    ),
}
_TITLE = "Understudy store"  # also tells a file that this module wrote
_SEARCHED = {
    "examples": {"fts_table": "examples_fts", "fts_pk": "position"},
    "records": {"fts_table": "records_fts", "fts_pk": "number"},
    "labels": {"fts_table": "records_fts", "fts_pk": "number"},
}
_SORTED = {
    "runs": {"sort_desc": "position"},
    "reviews": {"sort_desc": "id"},
    "trainings": {"sort_desc": "number"},
}


def metadata(name: str) -> dict[str, Any]:
    """What datasette reads for the database `name`: the store's file name without its ending."""
    tables: dict[str, dict[str, Any]] = {
        table: {
            "description": meaning,
            "columns": COLUMNS.get(table, {}),
            **_SEARCHED.get(table, {}),
            **_SORTED.get(table, {}),
        }
        for table, meaning in (TABLES | VIEWS).items()
    }
    tables["examples"]["label_column"] = "id"  # what a link to the row shows
    tables["runs"]["label_column"] = "name"
    hidden = ("_sqlite_migrations", "example_texts")
    tables |= {table: {**tables.get(table, {}), "hidden": True} for table in hidden}
    queries = {
        query: {"title": title, "description": description, "sql": sql}
        for query, (title, description, sql) in QUERIES.items()
    }
    return {
        "title": _TITLE,
        "description": "Examples, runs, and what was answered, by whom, from which words.",
        "databases": {name: {"tables": tables, "queries": queries}},
    }


def write_metadata(store: Path) -> Path:
    """Write the metadata beside the store, for its owner alone; returns the file's path.

    Raises StoreError where a file is there that this did not write.
    """
    path = store.with_name(f"{store.stem}.metadata.json")
    if os.path.lexists(path) and not _is_ours(path):
        raise StoreError(f"{path} is not one that understudy wrote, and stays; move it away")
    text = json.dumps(metadata(store.stem), indent=2, ensure_ascii=False)
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    part.replace(path)
    return path


def _is_ours(path: Path) -> bool:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(held, dict) and held.get("title") == _TITLE
