"""Export: a run's examples and records as CSV, JSONL, Parquet or a folder for `datasets`."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .connection import StoreError
from .copies import database_beside
from .files import EXPORTED, escaped
from .rows import Example, Record, Run
from .store import Store
from .tabular import is_dataset_dict

BATCH = 1000
_NOT_EXPORTED = {"run", "example"}  # the file is the run, the row's id is the example
RECORDED = [name for name in Record.model_fields if name not in _NOT_EXPORTED]
# Kept as JSON text where a file has typed columns: Arrow would merge the keys of all rows.
JSON_COLUMNS = frozenset(["inputs", "gold", "answer", "confidence", "votes", "details"])
_WHOLE = {"attempts", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"}
_NUMBERS = {"cost", "seconds"}
_OWN = {*Example.model_fields, *RECORDED}
Pairs = Iterable[tuple[Example, Record]]


def export_run(
    store: Store,
    run_id: str,
    path: str | Path,
    *,
    format: str,
    split: str | None = None,
    overwrite: bool = False,
) -> int:
    """Write a run (one split of it) to `path`; returns how many rows.

    `format` is `csv`, `jsonl`, `parquet` or `datasets` (a folder; a split each where the names
    allow it). Every row has the Example's fields and the Record's, an input under its own name;
    `recorded_rows` reads all four back as they were. JSONL has nested objects, the others their
    JSON text. In CSV no cell begins as a formula: such a cell has an apostrophe before it. The
    file appears whole or not at all, and is never in memory as a whole.

    Raises StoreError, also where the run has no row there, or there is a file and no `overwrite`.
    """
    run = store.run(run_id)
    pairs = _some_pairs(store, run, split)
    writers: dict[str, Callable[[Path, Pairs], int]] = {
        "csv": _write_csv,
        "jsonl": _write_jsonl,
        "parquet": _write_parquet,
        "datasets": _write_folder,
    }
    with whole(path, overwrite=overwrite) as part:
        return writers[format](part, pairs)


def export_jsonl(store: Store, run_id: str, path: str | Path, *, split: str | None = None) -> int:
    """Write a run (one split of it) to `path`, a JSON object per example; returns how many.

    As `export_run` does, over a file that is there.
    """
    return export_run(store, run_id, path, format="jsonl", split=split, overwrite=True)


def export_frame(store: Store, run_id: str, *, split: str | None = None) -> Any:
    """A run (one split of it) as a pandas DataFrame, with the columns of a Parquet export.

    `read_rows` and `recorded_rows` read it back as it was. Raises StoreError where the run has no
    row there.
    """
    import pandas

    names, pairs = _inputs_of(_some_pairs(store, store.run(run_id), split))
    kinds = dict.fromkeys(_WHOLE, "Int64") | dict.fromkeys(_NUMBERS, "float64")
    frame = pandas.DataFrame(_flat(pairs, names), columns=_columns(names), dtype=object)
    return frame.astype(kinds)


def run_called(store: Store, name: str, *, task: str | None = None) -> Run:
    """The run of this id, or the newest of this name (of the task). Raises StoreError."""
    runs = store.runs(task)
    if found := [run for run in runs if run.id == name]:
        return found[0]
    named = [run for run in runs if run.name == name]
    if len({run.task for run in named}) > 1:
        ids = ", ".join(f"{run.id} ({run.task})" for run in named[:8])
        raise StoreError(f"several tasks have a run {name}; give its id: {ids}")
    if named:
        return named[0]
    known = ", ".join(dict.fromkeys(run.name for run in runs)) or "none"
    raise StoreError(f"{store.path} has no run {name}; its runs: {known[:200]}")


def input_columns(inputs: Iterable[str]) -> dict[str, str]:
    """Input -> its column: its own name, where that is not the name of another column."""
    return {name: f"inputs.{name}" if name in _OWN else name for name in inputs}


@contextlib.contextmanager
def whole(path: str | Path, *, overwrite: bool) -> Iterator[Path]:
    """A path to write to, which takes the name `path` at the end, or is gone where anything failed.

    Raises StoreError where it cannot be written, or `path` is there and may not be replaced; a
    SQLite file, or what SQLite keeps beside one, never may.
    """
    target = Path(path)
    if not target.name:
        raise StoreError(f"{path}: cannot be written: name a file")
    if database := database_beside(target):
        what = "is" if database == target.resolve() else f"belongs to {database.name},"
        raise StoreError(f"{path} {what} a store or another SQLite file; name another file")
    if target.exists() and not overwrite:
        raise StoreError(f"{path} is there already; name another file, or give --overwrite")
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        yield part
        if target.is_dir() and part.is_dir():
            _remove_saved(target)
        part.replace(target)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _some_pairs(store: Store, run: Run, split: str | None) -> Pairs:
    pairs = iter(store.iter_pairs(run.id, split=split))
    first = next(pairs, None)
    if first is None:
        where = f" in the split {split}" if split else ""
        raise StoreError(f"run {run.name} ({run.id}) has no rows{where}; nothing was written")
    return itertools.chain([first], pairs)


def _remove_saved(folder: Path) -> None:
    """Remove a folder that `datasets` saved, and no other."""
    if not is_dataset_dict(folder) and not (folder / "state.json").is_file():
        raise StoreError(f"{folder}: cannot be written: it is a folder, and none of datasets")
    shutil.rmtree(folder)


def _write_jsonl(path: Path, pairs: Pairs) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for example, record in pairs:
            said = record.model_dump(mode="json", exclude=_NOT_EXPORTED)
            row = example.model_dump(mode="json") | said
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _write_csv(path: Path, pairs: Pairs) -> int:
    names, pairs = _inputs_of(pairs)
    columns, count = _columns(names), 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)  # ends lines with \r\n, so that every \r in a cell is quoted
        writer.writerow(columns)
        for row in _flat(pairs, names):
            writer.writerow([_csv_cell(row[column]) for column in columns])
            count += 1
    return count


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    return escaped(value if isinstance(value, str) else repr(value))


def _write_parquet(path: Path, pairs: Pairs) -> int:
    import pyarrow.parquet

    names, pairs = _inputs_of(pairs)
    schema = _arrow_schema(names)
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        return _write_batches(writer, schema, _flat(pairs, names))


def _write_folder(path: Path, pairs: Pairs) -> int:
    import datasets
    import pyarrow

    names, pairs = _inputs_of(pairs)
    schema = _arrow_schema(names)
    raw = path / "raw"
    path.mkdir()
    raw.mkdir()
    count, parts = 0, _Parts(raw, schema)
    try:
        for batch in _batches(_flat(pairs, names)):
            count += len(batch)
            for split in dict.fromkeys(row["split"] for row in batch):
                parts.write(split, [row for row in batch if row["split"] == split])
    finally:
        parts.close()
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        loaded = {name: datasets.Dataset.from_file(str(file)) for name, file in parts.files.items()}
        if all(name.isidentifier() for name in loaded):
            datasets.DatasetDict(loaded).save_to_disk(str(path))
        else:
            datasets.concatenate_datasets(list(loaded.values())).save_to_disk(str(path))
    except pyarrow.ArrowException as error:
        raise OSError(str(error)) from error
    finally:
        if shown:
            datasets.enable_progress_bars()
    shutil.rmtree(raw)
    return count


class _Parts:
    """An Arrow file per split, while they are written."""

    def __init__(self, folder: Path, schema: Any) -> None:
        self.folder, self.schema = folder, schema
        self.files: dict[str, Path] = {}
        self._writers: dict[str, Any] = {}

    def write(self, split: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows behind those that the split has."""
        import pyarrow

        if split not in self.files:
            self.files[split] = self.folder / f"{len(self.files)}.arrow"
            self._writers[split] = pyarrow.ipc.new_stream(self.files[split], self.schema)
        _write_batches(self._writers[split], self.schema, rows)

    def close(self) -> None:
        """Every file is whole."""
        for writer in self._writers.values():
            writer.close()


def _write_batches(writer: Any, schema: Any, rows: Iterable[Mapping[str, Any]]) -> int:
    import pyarrow

    count = 0
    for batch in _batches(rows):
        writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
        count += len(batch)
    return count


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    rows = iter(rows)
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def _arrow_schema(inputs: Sequence[str]) -> Any:
    import pyarrow

    kinds = dict.fromkeys(_WHOLE, pyarrow.int64()) | dict.fromkeys(_NUMBERS, pyarrow.float64())
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in _columns(inputs)])


def _inputs_of(pairs: Pairs) -> tuple[list[str], Pairs]:
    pairs = iter(pairs)
    first = next(pairs)
    return sorted(first[0].inputs), itertools.chain([first], pairs)


def _columns(inputs: Sequence[str]) -> list[str]:
    held = input_columns(inputs)
    return [*EXPORTED, "group", *(held[name] for name in inputs), "gold", "gold_by", *RECORDED]


def _flat(pairs: Pairs, inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows with a text, a number or None per column."""
    held = input_columns(inputs)
    for example, record in pairs:
        if sorted(example.inputs) != list(inputs):
            raise StoreError(
                f"example {example.id} has other inputs than {', '.join(inputs)}; "
                "export it as jsonl"
            )
        row = example.model_dump(mode="json")
        texts = {held[name]: text for name, text in row.pop("inputs").items()}
        row |= record.model_dump(mode="json", exclude=_NOT_EXPORTED)
        for name in JSON_COLUMNS & set(row):
            if row[name] is not None:
                row[name] = json.dumps(row[name], ensure_ascii=False)
        yield row | texts
