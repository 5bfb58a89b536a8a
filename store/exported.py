"""A file of a run's answers, as `export_run` writes it, read back as records or as examples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .columns import RefusedRow, checked_input, checked_json
from .connection import StoreError
from .export import JSON_COLUMNS, RECORDED, input_columns
from .files import read_objects
from .rows import Example, Record, example_id
from .splits import split_of

_SIGNS = {"id", "task", "split", "attempts", "created"}
_KEPT = {"split", "group", "gold"}
_OWN = {*Example.model_fields, *RECORDED} - _KEPT
_PREFIX = "inputs."


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


def is_exported(row: Mapping[str, str] | None) -> bool:
    """Whether the row has the columns that an export writes."""
    return row is not None and set(row) >= _SIGNS


@dataclass(frozen=True)
class ExportedRows:
    """The rows of such a file as examples: inputs by name, gold, split, group, and no answer."""

    rows: Iterable[Mapping[str, str]]

    def __iter__(self) -> Iterator[dict[str, str]]:
        for row in self.rows:
            held = {name: cell for name, cell in row.items() if name not in _OWN}
            for name in [name for name in held if name.startswith(_PREFIX)]:
                held[name.removeprefix(_PREFIX)] = held.pop(name)
            yield held | _inputs(row.get("inputs", ""))


def _inputs(text: str) -> dict[str, str]:
    """The inputs where they are one JSON object, as in JSONL."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    held = found if isinstance(found, dict) else {}
    return {name: value for name, value in held.items() if isinstance(value, str)}


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
