"""Rows out of what holds typed columns: Parquet, folders that `datasets` saved, pandas frames."""

from __future__ import annotations

import datetime
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .connection import StoreError

BATCH = 1000  # rows turned into Python values at once
SPLIT = "split"  # the column that says which split of a folder a row came from
Numbered = Iterator[tuple[int, dict[str, Any]]]


def parquet_objects(path: str | Path) -> Numbered:
    """A Parquet file's rows as JSON data, numbered from 1, a batch at a time. Raises StoreError."""
    import pyarrow.parquet

    if not Path(path).is_file():
        raise StoreError(f"{path}: there is no such file")
    with_rows = False
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _check_names(path, file.schema_arrow.names)
            for numbered in _numbered(_tables(file.iter_batches(batch_size=BATCH))):
                with_rows = True
                yield numbered
    except _broken() as error:
        raise _unreadable(path, "Parquet", error) from error
    if not with_rows:
        raise StoreError(f"{path}: there is no row in it")


def folder_objects(path: str | Path) -> Numbered:
    """The rows of a folder that `save_to_disk` wrote, numbered from 1, a batch at a time.

    A row of a DatasetDict without a column `split` gets one that names its split; a ClassLabel is
    its name. Raises StoreError.
    """
    if not is_dataset_dict(path) and not Path(path, "state.json").is_file():
        raise StoreError(f"{path}: cannot be read: it is a folder, and none that datasets saved")
    import datasets

    with_rows = False
    try:
        loaded = datasets.load_from_disk(str(path))
        parts = loaded.items() if isinstance(loaded, dict) else [(None, loaded)]
        for numbered in _numbered(_named_rows(path, parts)):
            with_rows = True
            yield numbered
    except _broken() as error:
        raise _unreadable(path, "datasets folder", error) from error
    if not with_rows:
        raise StoreError(f"{path}: there is no row in it")


def is_dataset_dict(path: str | Path) -> bool:
    """Whether the folder holds a DatasetDict, whose split names are the rows' splits."""
    return Path(path, "dataset_dict.json").is_file()


def frame_objects(frame: Any) -> Numbered:
    """A pandas DataFrame's rows as JSON data, numbered from 1. Raises StoreError."""
    _check_names("the data frame", [str(name) for name in frame.columns])
    if not len(frame):
        raise StoreError("the data frame has no row")

    def chunks() -> Iterator[list[dict[str, Any]]]:
        for start in range(0, len(frame), BATCH):
            chunk = frame.iloc[start : start + BATCH]
            yield chunk.astype(object).where(chunk.notna(), None).to_dict("records")

    yield from _numbered(chunks())


def _numbered(batches: Iterable[Iterable[dict[Any, Any]]]) -> Numbered:
    number = 0
    for batch in batches:
        for row in batch:
            number += 1
            yield number, {str(name): plain(value) for name, value in row.items()}


def _tables(batches: Iterable[Any]) -> Iterator[list[dict[str, Any]]]:
    for batch in batches:
        batch.validate(full=True)  # a damaged file's offsets are not followed
        yield batch.to_pylist()


def _named_rows(
    path: str | Path, parts: Iterable[tuple[str | None, Any]]
) -> Iterator[list[dict[str, Any]]]:
    for name, part in parts:
        _check_names(path, part.column_names)
        classes = {
            column: feature.names
            for column, feature in part.features.items()
            if type(feature).__name__ == "ClassLabel"
        }
        for rows in _tables(part.with_format("arrow").iter(batch_size=BATCH)):
            for row in rows:
                for column, names in classes.items():
                    row[column] = _class_name(names, row[column])
                if name is not None:
                    row.setdefault(SPLIT, name)
            yield rows


def _class_name(names: Sequence[str], number: int | None) -> str | None:
    return names[number] if number is not None and 0 <= number < len(names) else None


def plain(value: Any) -> Any:
    """The value as JSON data: times as ISO 8601, NaN and bytes that are no text as None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return _from_other(value)


def _from_other(value: Any) -> Any:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return plain(value.tolist())
    return str(value)


def _check_names(path: str | Path, names: Sequence[str]) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise StoreError(f"{path}: the column {twice[0][:60]!r} stands twice; rename one")


def _broken() -> tuple[type[BaseException], ...]:
    """What the readers raise for damaged files."""
    import pyarrow

    return (
        pyarrow.ArrowException,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
        RecursionError,
        json.JSONDecodeError,
    )


def _unreadable(path: str | Path, what: str, error: BaseException) -> StoreError:
    reason = " ".join(str(error).split())[:200]
    return StoreError(f"{path}: is no readable {what}: {type(error).__name__}: {reason}")
