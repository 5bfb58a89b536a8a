"""Import: rows of somebody's file become Examples, or what a model said to them elsewhere."""

from __future__ import annotations

import datetime
import itertools
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from .columns import (
    GoldColumns,
    InputColumns,
    Refusals,
    RefusedRow,
    checked_input,
    checked_json,
    printable,
)
from .connection import StoreError
from .export import JSON_COLUMNS, RECORDED, export_jsonl, input_columns
from .files import read_objects, read_rows
from .rows import Example, Record, example_id
from .splits import split_of, splits_by_time

__all__ = ["Import", "examples_from", "export_jsonl", "read_rows", "recorded_rows"]


class Import:
    """What a file holds, read as `examples` is taken; the rest is known when that has ended."""

    def __init__(self, gold: GoldColumns) -> None:
        self.examples: Iterator[Example] = iter(())
        self.left_out = Refusals()
        self._gold = gold
        self._ids = tuple(array("Q") for _ in range(16))  # 8 bytes a row, in 16 parts

    @property
    def refused(self) -> list[tuple[int, str]]:
        """The first rows that were left out, as (row number from 1, reason)."""
        return self.left_out.first

    @property
    def notes(self) -> list[str]:
        """What else the person should know, a line each."""
        repeats = sum(len(part) - len(set(part)) for part in self._ids)
        said = [f"{repeats} rows repeat the inputs of an earlier row"] if repeats else []
        return [*self._gold.notes(), *said]

    def seen(self, example: Example) -> Example:
        """The example, remembered as one of this file."""
        number = int(example.id, 16)
        self._ids[number >> 60].append(number)
        return example


def examples_from(
    rows: Iterable[Mapping[str, str]],
    *,
    task: str,
    inputs: Sequence[str],
    gold_paths: Sequence[str],
    columns: Mapping[str, str] | None = None,
    chosen: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
    labels: Mapping[str, Sequence[Any]] | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    time_column: str | None = None,
    split: str | None = None,
    source: str = "the data",
) -> Import:
    """Rows as a task's Examples, with the gold they bring; read as they are taken.

    A row's inputs and answer paths are the columns of that name; `columns` maps other people's
    column names to them, and so does `chosen`, whose columns must be there and are the only ones
    that count for what they mean. A column `gold` with a JSON object is gold too. A gold cell at a
    path of `labels` must be one of its classes: as written, or with other case and white space, or
    as an alias; anything else is left out and counted in the notes. Other gold cells are read as
    JSON where they are JSON, else as text; an empty one is no gold.

    The split is `split`, or what `split_column` says (in small letters), or else decided here:
    with `time_column` by age, the oldest 70 % train, then 10 % validation, 10 % calibration, and
    the newest test; without it by `split_of` (70/10/10/10 by hash) of the row's group, or of its id
    where it has none. A group is never parted. Times are ISO 8601, UTC unless they say. By age the
    rows are read twice, and an iterator, which cannot be, is held in memory.

    A row with an empty input, one over 20,000 characters, a NUL or broken Unicode is refused and
    the import goes on. Raises StoreError, naming `source`, where an input's column, or one named
    here, is missing.
    """

    def gold_columns() -> GoldColumns:
        return GoldColumns(
            gold_paths, columns or {}, labels=labels or {}, aliases=aliases or {}, chosen=chosen
        )

    if time_column and iter(rows) is rows:
        rows = list(rows)
    placing = _Placing(split_column, group_column, time_column)
    texts = InputColumns(inputs, columns or {}, chosen)
    first = next(iter(again := iter(rows)), None)
    if first is not None:
        _check_columns(first, texts, placing, chosen or {}, source=source)
        again = itertools.chain([first], again)
    ages = None
    if time_column and not split:
        reader = _Reader(texts, gold_columns(), placing)
        found = reader.read(rows, lambda number, reason: None)
        ages = splits_by_time((row.unit, row.time) for row in found if row.time)
    result = Import(gold := gold_columns())
    result.examples = (
        result.seen(_example(task, row, split or _split(row, ages, source)))
        for row in _Reader(texts, gold, placing).read(again, result.left_out.add)
    )
    return result


def recorded_rows(
    path: str | Path | Any,
    *,
    task: str,
    inputs: Sequence[str],
    split: str | None = None,
    format: str | None = None,
) -> Iterator[tuple[Example, dict[str, Any]]]:
    """What a model said elsewhere: per row an Example, and the Record fields that the row has.

    A row is what `export_run` writes, in any of the formats that `read_rows` reads. Only the inputs
    (in an object `inputs`, or each under its own name) and `answer` (a JSON object, as text where
    the file has no objects, or null for a failure) matter, the rest may be missing. Its split is
    `split`, or the row's own, or `split_of` its group or id.

    Raises StoreError, one line with the file and the row, at the first row that cannot be used.
    """
    for number, row in read_objects(path, format=format):
        try:
            yield recorded_row(row, task=task, inputs=inputs, split=split)
        except RefusedRow as error:
            raise StoreError(f"{path}, row {number}: {error}") from error


def recorded_row(
    row: Mapping[str, Any], *, task: str, inputs: Sequence[str], split: str | None = None
) -> tuple[Example, dict[str, Any]]:
    """One such row. Raises RefusedRow."""
    row = {
        name: _from_json_text(name, value) if name in JSON_COLUMNS else value
        for name, value in row.items()
    }
    try:
        return _recorded_example(row, task, inputs, split), _recorded_fields(row)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RefusedRow(f"{where}: {first['msg']}") from error


class _Found(NamedTuple):
    id: str
    inputs: dict[str, str]
    gold: dict[str, Any] | None
    split: str | None
    group: str | None
    time: datetime.datetime | None

    @property
    def unit(self) -> str:
        """What must not be parted: the group, or the row alone."""
        return self.group or self.id


class _Placing(NamedTuple):
    """The columns that decide where a row goes."""

    split: str | None
    group: str | None
    time: str | None

    def read(
        self, row: Mapping[str, str]
    ) -> tuple[str | None, str | None, datetime.datetime | None]:
        split, group = (row.get(name, "").strip() if name else "" for name in self[:2])
        for name, text in zip(self[:2], (split, group), strict=True):
            if text:
                checked_json(str(name), text)
        time = _time(row.get(self.time, "")) if self.time else None
        return split.lower() or None, group or None, time


@dataclass(frozen=True)
class _Reader:
    texts: InputColumns
    gold: GoldColumns
    placing: _Placing

    def read(
        self, rows: Iterable[Mapping[str, str]], refuse: Callable[[int, str], None]
    ) -> Iterator[_Found]:
        for number, row in enumerate(rows, start=1):
            try:
                texts, gold = self.texts.read(row), self.gold.read(row)
                found = _Found(example_id(texts), texts, gold, *self.placing.read(row))
            except RefusedRow as refusal:
                refuse(number, str(refusal))
            else:
                yield found


def _check_columns(
    row: Mapping[str, str],
    texts: InputColumns,
    placing: _Placing,
    chosen: Mapping[str, str],
    *,
    source: str,
) -> None:
    named = [name for name in (*placing, *chosen) if name and name not in row]
    unnamed = [name for name in texts.missing(row) if name not in chosen.values()]
    missing = list(dict.fromkeys([*unnamed, *named]))
    if not missing:
        return
    present = printable(", ".join(list(row)[:30])[:500])
    hint = ""
    if {"messages", "choices", "run_type"} & set(row):
        hint = "; a provider's file is read by --format openai, completions or langsmith"
    raise StoreError(f"{source} has no column {', '.join(missing)}; it has {present}{hint}")


def _split(row: _Found, ages: Mapping[str, str] | None, source: str) -> str:
    if row.split:
        return row.split
    if ages is None:
        return split_of(row.unit)
    if row.unit not in ages:
        raise StoreError(f"{source} changed while it was read; import it again")
    return ages[row.unit]


def _example(task: str, row: _Found, split: str) -> Example:
    return Example(
        id=row.id, task=task, split=split, inputs=row.inputs, gold=row.gold, group=row.group
    )


def _time(text: str) -> datetime.datetime:
    try:
        time = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise RefusedRow(f"{text[:40]!r} is no ISO 8601 time such as 2024-05-31") from None
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)


def _from_json_text(name: str, value: Any) -> Any:
    """A cell of a file without objects: JSON text in place of the object."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise RefusedRow(f"{name} is broken JSON") from None


def _recorded_example(
    row: Mapping[str, Any], task: str, inputs: Sequence[str], split: str | None
) -> Example:
    held = row["inputs"] if isinstance(row.get("inputs"), dict) else row
    columns = input_columns(inputs)
    texts = {}
    for name in inputs:
        text = held.get(columns[name]) if held is row and columns[name] in row else held.get(name)
        if not isinstance(text, str):
            raise RefusedRow(f"has no text {name}")
        texts[name] = checked_input(name, text)
    number, group = example_id(texts), row.get("group")
    told = {name: row.get(name) for name in ("gold", "group", "gold_by")}
    checked_json("the row", told)
    return Example(
        id=number,
        task=task,
        split=split or row.get("split") or split_of(str(group or number)),
        inputs=texts,
        **told,
    )


def _recorded_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: row[name] for name in RECORDED if row.get(name) is not None}
    record = Record(run="", example="", **{"created": "", **fields})  # refuses what is no Record
    for name in fields:
        checked_json(name, getattr(record, name), nul=True)
    return {name: getattr(record, name) for name in fields}
