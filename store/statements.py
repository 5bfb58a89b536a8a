"""Rows as SQLite holds them: the statements that write them, and the way there and back."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, TypeVar

from .rows import Record, Row

Kind = TypeVar("Kind", bound=Row)
_JSON = {
    "inputs",
    "gold",
    "parameters",
    "versions",
    "answer",
    "confidence",
    "votes",
    "details",
    "detail",
}
_SUMMED = (
    "attempts",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost",
    "seconds",
)


def insert_into(table: str, kind: type[Row], conflict: str) -> str:
    """The statement that inserts a row of this kind, its fields as named values."""
    columns = ", ".join(f'"{name}"' for name in kind.model_fields)
    values = ", ".join(f":{name}" for name in kind.model_fields)
    return f"insert into {table} ({columns}) values ({values}) {conflict}"


RUN_POSITION = "(select position from runs where id = :run)"


def _add_record() -> str:
    names = list(Record.model_fields)
    sums = [
        f"{name} = case when {name} is null then excluded.{name} "
        f"else {name} + coalesce(excluded.{name}, 0) end"
        for name in _SUMMED
    ]
    replaced = [
        f"{name} = excluded.{name}"
        for name in names
        if name not in (*_SUMMED, "run", "example", "raw")
    ]
    told = [name for name in names if name not in ("run", "example")]
    return (
        f"insert into records (run, example, {', '.join(told)}) values ("
        f"{RUN_POSITION}, (select e.position from runs u join examples e on e.task = u.task "
        f"and e.id = :example where u.id = :run), {', '.join(f':{name}' for name in told)}) "
        f"on conflict (run, example) do update set raw = coalesce(excluded.raw, raw), "
        f"{', '.join(sums + replaced)} where answer is null"
    )


ADD_RECORD = _add_record()
# A record with its run's and its example's id in place of their positions.
RECORD = ", ".join(
    {"run": ":run as run", "example": "e.id as example"}.get(name, f"r.{name}")
    for name in Record.model_fields
)
PAIRS = (
    f"from records r join examples e on e.position = r.example where r.run = {RUN_POSITION} "
    "and r.example > :after and (:split is null or e.split = :split) "
    "order by r.example limit :page"
)


def values_of(row: Row) -> dict[str, Any]:
    """The fields as SQLite takes them: JSON data as text."""
    data = row.model_dump(mode="json")
    return {name: _dumped(value) if name in _JSON else value for name, value in data.items()}


def _dumped(value: Any) -> str | None:
    if value is None:
        return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def row_of(kind: type[Kind], row: sqlite3.Row) -> Kind:
    """A row of this kind out of a selection with its columns. Raises ValueError."""
    return kind(
        **{
            name: json.loads(row[name]) if name in _JSON and row[name] is not None else row[name]
            for name in kind.model_fields
        }
    )
