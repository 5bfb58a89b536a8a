"""Import: the rows of somebody's file become Examples."""

from __future__ import annotations

import datetime
import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .columns import (
    GoldColumns,
    InputColumns,
    Refusals,
    RefusedRow,
    checked_json,
    printable,
)
from .connection import StoreError
from .export import export_jsonl
from .exported import ExportedRows, is_exported, recorded_rows
from .files import read_rows
from .rows import Example, example_id
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

    Of a file that `export_run` wrote the answers are no gold, and split and group are kept unless
    one of these options says otherwise.

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
    first = next(again := iter(rows), None)
    if first is not None and is_exported(first):
        rows = ExportedRows(rows if iter(rows) is not rows else itertools.chain([first], again))
        placing = placing if any(placing) else _Placing("split", "group", None)
        first = next(again := iter(rows), None)
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
    hint = "" if named else "; say which of its columns is which (--column THEIRS=OURS)"
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
