"""Import and export: rows of somebody's file become Examples, a run becomes JSONL and back."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from .columns import GoldColumns, InputColumns, RefusedRow, checked_input
from .connection import StoreError
from .files import read_objects, read_rows
from .rows import Example, Record, Row, example_id
from .splits import split_of, splits_by_time
from .store import Store

__all__ = ["Import", "examples_from", "export_jsonl", "read_rows", "recorded_rows"]

_NOT_EXPORTED = {"run", "example"}  # the file is the run, the row's id is the example
_RECORDED = sorted(set(Record.model_fields) - _NOT_EXPORTED)


class Import(Row):
    """What a file held: examples, refused rows as (row number from 1, reason), and notes."""

    examples: list[Example]
    refused: list[tuple[int, str]]
    notes: list[str]


def examples_from(
    rows: Iterable[Mapping[str, str]],
    *,
    task: str,
    inputs: Sequence[str],
    gold_paths: Sequence[str],
    columns: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
    labels: Mapping[str, Sequence[Any]] | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    time_column: str | None = None,
    split: str | None = None,
    source: str = "the data",
) -> Import:
    """Rows as a task's Examples, with the gold they bring.

    A row's inputs and answer paths are the columns of that name; `columns` maps other people's
    column names to them. A column `gold` with a JSON object is gold too. A gold cell at a path of
    `labels` must be one of its classes: as written, or with other case and white space, or as an
    alias; anything else is left out and counted in the notes. Other gold cells are read as JSON
    where they are JSON, else as text; an empty one is no gold.

    The split is `split`, or what `split_column` says (in small letters), or else decided here:
    with `time_column` by age, the oldest 70 % train, then 10 % validation, 10 % calibration, and
    the newest test; without it by `split_of` (70/10/10/10 by hash) of the row's group, or of its id
    where it has none. A group is never parted. Times are ISO 8601, UTC unless they say.

    A row with an empty input, one over 20,000 characters, a NUL or broken Unicode is refused and
    the import goes on. Raises StoreError, naming `source`, where an input's column, or one named
    here, is missing.
    """
    wanted = _Placing(split_column, group_column, time_column)
    texts = InputColumns(inputs, columns or {})
    gold = GoldColumns(gold_paths, columns or {}, labels=labels or {}, aliases=aliases or {})
    found: list[_Found] = []
    refused: list[tuple[int, str]] = []
    for number, row in enumerate(rows, start=1):
        if number == 1:
            _check_columns(row, texts, wanted, source=source)
        try:
            found.append(_Found(texts.read(row), gold.read(row), *wanted.read(row)))
        except RefusedRow as refusal:
            refused.append((number, str(refusal)))
    splits = [split] * len(found) if split else _splits(found, by_time=time_column is not None)
    examples = [_example(task, *pair) for pair in zip(found, splits, strict=True)]
    return Import(examples=examples, refused=refused, notes=[*gold.notes(), *_repeats(examples)])


def export_jsonl(store: Store, run_id: str, path: str | Path, *, split: str | None = None) -> int:
    """Write a run (one split of it) to `path`, a JSON object per example; returns how many.

    Each holds the Example's fields (id, task, split, inputs, gold, group) and the Record's
    (reasoning, answer, raw, error, model, attempts, tokens, cost, seconds, confidence, created);
    `recorded_rows` reads it back. The file appears whole or not at all. Raises StoreError.
    """
    pairs = store.pairs(store.run(run_id).id, split=split)
    target = Path(path)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            for example, record in pairs:
                said = record.model_dump(mode="json", exclude=_NOT_EXPORTED)
                row = example.model_dump(mode="json") | said
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        part.replace(target)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return len(pairs)


def recorded_rows(
    path: str | Path, *, task: str, inputs: Sequence[str], split: str | None = None
) -> Iterator[tuple[Example, dict[str, Any]]]:
    """What a model said elsewhere: per row an Example, and the Record fields that the row has.

    A row is what `export_jsonl` writes. Only the inputs (in an object `inputs`, or each under its
    own name) and `answer` (a JSON object, or null for a failure) matter, the rest may be missing.
    Its split is `split`, or the row's own, or `split_of` its group or id.

    Raises StoreError, one line with the file and the row, at the first row that cannot be used.
    """
    for number, row in read_objects(path):
        try:
            example = _recorded_example(row, task, inputs, split)
            fields = _recorded_fields(row)
        except RefusedRow as error:
            raise StoreError(f"{path}, row {number}: {error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise StoreError(f"{path}, row {number}: {reason}") from error
        yield example, fields


class _Found(NamedTuple):
    inputs: dict[str, str]
    gold: dict[str, Any] | None
    split: str | None
    group: str | None
    time: datetime.datetime | None

    @property
    def unit(self) -> str:
        """What must not be parted: the group, or the row alone."""
        return self.group or example_id(self.inputs)


class _Placing(NamedTuple):
    """The columns that decide where a row goes."""

    split: str | None
    group: str | None
    time: str | None

    def read(
        self, row: Mapping[str, str]
    ) -> tuple[str | None, str | None, datetime.datetime | None]:
        split, group = (row.get(name, "").strip() if name else "" for name in self[:2])
        time = _time(row.get(self.time, "")) if self.time else None
        return split.lower() or None, group or None, time


def _check_columns(
    row: Mapping[str, str], texts: InputColumns, wanted: _Placing, *, source: str
) -> None:
    missing = texts.missing(row) + [name for name in wanted if name and name not in row]
    if missing:
        present = ", ".join(list(row)[:30])
        raise StoreError(f"{source} has no column {', '.join(missing)}; it has {present}")


def _splits(found: Sequence[_Found], *, by_time: bool) -> list[str]:
    if not by_time:
        return [row.split or split_of(row.unit) for row in found]
    aged = splits_by_time([(row.unit, row.time) for row in found if row.time])
    return [row.split or split for row, split in zip(found, aged, strict=True)]


def _example(task: str, row: _Found, split: str) -> Example:
    number = example_id(row.inputs)
    return Example(
        id=number, task=task, split=split, inputs=row.inputs, gold=row.gold, group=row.group
    )


def _repeats(examples: Sequence[Example]) -> list[str]:
    repeats = len(examples) - len({example.id for example in examples})
    return [f"{repeats} rows repeat the inputs of an earlier row"] if repeats else []


def _time(text: str) -> datetime.datetime:
    try:
        time = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise RefusedRow(f"{text[:40]!r} is no ISO 8601 time such as 2024-05-31") from None
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)


def _recorded_example(
    row: Mapping[str, Any], task: str, inputs: Sequence[str], split: str | None
) -> Example:
    held = row["inputs"] if isinstance(row.get("inputs"), dict) else row
    texts = {}
    for name in inputs:
        if not isinstance(held.get(name), str):
            raise RefusedRow(f"has no text {name}")
        texts[name] = checked_input(name, held[name])
    number, group = example_id(texts), row.get("group")
    return Example(
        id=number,
        task=task,
        split=split or row.get("split") or split_of(str(group or number)),
        inputs=texts,
        gold=row.get("gold"),
        group=group,
    )


def _recorded_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: row[name] for name in _RECORDED if row.get(name) is not None}
    Record(run="", example="", **{"created": "", **fields})  # refuses what is no Record
    return fields
