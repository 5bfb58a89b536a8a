"""Rows as SQLite holds them: the statements that write them, and the way there and back."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter

from .rows import Call, Example, Record, Row

Kind = TypeVar("Kind", bound=Row)
JSON_COLUMNS = {
    "inputs",
    "gold",
    "parameters",
    "versions",
    "answer",
    "confidence",
    "votes",
    "details",
    "detail",
    "labels",
    "calibrator",
}
UNREPORTED = "unreported_calls"  # in a record's details: calls, and usd and tokens at most
SUMMED = (
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


INSERT_EXAMPLE = (
    'insert into examples ("' + '", "'.join(Example.model_fields) + '") '
    f"values ({', '.join('?' for _ in Example.model_fields)}) on conflict (task, id) do nothing"
)
_EXAMPLE_POSITION = "(select position from examples where task = ? and id = ?)"
RUN_POSITION = "(select position from runs where id = :run)"


def _add_record() -> str:
    names = list(Record.model_fields)
    sums = [
        f"{name} = case when {name} is null then excluded.{name} "
        f"else {name} + coalesce(excluded.{name}, 0) end"
        for name in SUMMED
        if name != "cost"
    ]
    # Tokens at a cost that nobody knows: what more of them cost says nothing of the whole.
    sums.append(
        "cost = case when cost is null and input_tokens is not null then null "
        "else coalesce(cost + coalesce(excluded.cost, 0), excluded.cost) end"
    )
    replaced = [
        f"{name} = excluded.{name}"
        for name in names
        if name not in (*SUMMED, "run", "example", "raw", "details")
    ]
    return (
        f"insert into records ({', '.join(names)}) values (?, {_EXAMPLE_POSITION}, "
        f"{', '.join('?' for _ in names[2:])}) "
        f"on conflict (run, example) do update set raw = coalesce(excluded.raw, raw), "
        f"{_details()}, {', '.join(sums + replaced)} where answer is null"
    )


def _details() -> str:
    """The new details, with the calls of both that did not say whether they were billed."""
    at = f"$.{UNREPORTED}"
    sums = ", ".join(
        f"'{name}', (details ->> '{at}.{name}') + coalesce(excluded.details ->> '{at}.{name}', 0)"
        for name in ("calls", "usd", "tokens")
    )
    return (
        f"details = case when details -> '{at}' is null then excluded.details else "
        f"json_set(coalesce(excluded.details, '{{}}'), '{at}', json_object({sums})) end"
    )


ADD_RECORD = _add_record()
# A record with its run's and its example's id in place of their positions.
RECORD = ", ".join(
    {"run": ":run as run", "example": "e.id as example"}.get(name, f"r.{name}")
    for name in Record.model_fields
)
ONE_RECORD = (
    f"select {RECORD} from runs u join examples e on e.task = u.task and e.id = :example "
    "join records r on r.run = u.position and r.example = e.position where u.id = :run"
)
PAIRS = (
    f"from records r join examples e on e.position = r.example where r.run = {RUN_POSITION} "
    "and r.example > :after and (:split is null or e.split = :split) "
    "order by r.example limit :page"
)


_ANY: TypeAdapter[Any] = TypeAdapter(Any)


@functools.cache
def _fields(kind: type[Row]) -> list[tuple[str, bool]]:
    """The fields in order, and whether each is JSON data."""
    return [(name, _is_json(kind, name)) for name in kind.model_fields]


def _is_json(kind: type[Row], name: str) -> bool:
    """A call's confidence is a number, a record's one for each label."""
    return name in JSON_COLUMNS and (kind, name) != (Call, "confidence")


def values_of(row: Row) -> dict[str, Any]:
    """The fields as SQLite takes them: JSON data as text."""
    return {name: _cell(getattr(row, name), is_json) for name, is_json in _fields(type(row))}


def cells_of(row: Row) -> list[Any]:
    """The values of `values_of` without their names, in the order of the fields."""
    held = row.__dict__
    return [_cell(held[name], is_json) for name, is_json in _fields(type(row))]


def record_cells(
    connection: sqlite3.Connection,
    record: Record,
    *,
    runs: dict[str, tuple[int | None, str | None]] | None = None,
) -> list[Any]:
    """What ADD_RECORD takes; `runs` keeps the position and the task of each run between calls."""
    run = runs.get(record.run) if runs else None
    if run is None:
        select = "select position, task from runs where id = ?"
        run = tuple(connection.execute(select, (record.run,)).fetchone() or (None, None))
        if runs is not None:
            runs[record.run] = run
    cells = cells_of(record)
    cells[0:1] = run
    return cells


def _cell(value: Any, is_json: bool) -> Any:
    """A value for SQLite. A number that JSON lacks (NaN, an infinity) is a null in JSON data."""
    return _ANY.dump_json(value).decode() if is_json and value is not None else value


def row_of(kind: type[Kind], row: sqlite3.Row | Mapping[str, Any]) -> Kind:
    """A row of this kind out of a selection with its columns. Raises ValueError."""
    if isinstance(row, sqlite3.Row):  # which looks for each name among all columns
        row = dict(zip(row.keys(), row, strict=True))
    data: dict[str, Any] = {}
    for name, is_json in _fields(kind):
        value = row[name]
        data[name] = json.loads(value) if is_json and value is not None else value
    return kind.model_validate(data)
