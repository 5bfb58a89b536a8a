"""Rows out of files, one at a time; a file that cannot be read is one line that says where."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from .connection import StoreError
from .tabular import folder_objects, frame_objects, parquet_objects

FORMATS = ("csv", "json", "parquet", "datasets")
SUFFIXES = {".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
DELIMITERS = ",;\t"
# A CSV whose header begins so was written by `export_run`: its cells are escaped.
EXPORTED = ("id", "task", "split")
_ESCAPED = re.compile(r"'+(?:[=+\-@\t\r]|$)")
_MARK = b"\xef\xbb\xbf"
# A giant cell is its row's fault, not a file nobody can read; a quote that never closes is.
_LONGEST_CELL = 2**26


@dataclass(frozen=True)
class Rows:
    """The rows of a file, folder or frame as column -> text; each iteration reads it anew."""

    source: Any
    format: str | None = None

    def __iter__(self) -> Iterator[dict[str, str]]:
        for number, row in read_objects(self.source, format=self.format):
            try:
                yield {name: _cell(value) for name, value in row.items()}
            except RecursionError:
                _refuse(self.source, f"row {number}", "is nested too deep")


def read_rows(source: Any, *, format: str | None = None) -> Rows:
    """The rows of `source` as column -> text, in order, never all of them in memory at once.

    `source` is a file, a folder that `datasets` saved, or a pandas DataFrame; `format` is one of
    FORMATS, by default the one that the name says: `.json`, `.jsonl`, `.ndjson`, `.parquet`, and
    CSV for any other file.

    CSV is UTF-8 (a byte order mark is ignored) with a header; its delimiter is the one of `,`, `;`
    and tab that cuts the header into most cells; columns without a name, and the index that pandas
    calls "Unnamed: 0", are left out. JSON is one object per line, or one list of objects (read as a
    whole). Of a folder with several splits each row has a column `split`. Values that are no text
    come as JSON text, null as "".

    Iterating raises StoreError, one line with the file and the place.
    """
    return Rows(source, format)


def read_objects(source: Any, *, format: str | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """The same rows with their values as JSON data, and their line (JSONL) or number, from 1.

    An empty cell of a CSV is None. Raises StoreError, one line with the file and the place.
    """
    if hasattr(source, "iloc"):
        return frame_objects(source)
    readers = {
        "csv": _csv_objects,
        "json": _json_objects,
        "parquet": parquet_objects,
        "datasets": folder_objects,
    }
    return readers[format or format_of(source)](source)


def format_of(path: str | Path) -> str:
    """Which of FORMATS a path's name says; a folder is one of `datasets`."""
    if Path(path).is_dir():
        return "datasets"
    return SUFFIXES.get(Path(path).suffix.lower(), "csv")


def escaped(cell: str) -> str:
    """The text as a CSV cell that no spreadsheet takes for a formula; "" is not an empty cell."""
    return "'" + cell if _ESCAPED.match("'" + cell) else cell


def _unescaped(cell: str) -> str:
    return cell[1:] if _ESCAPED.match(cell) else cell


def _text_lines(path: str | Path, ends: str) -> Iterator[str]:
    """The lines with their ends; `ends` is "" for any line end, else the only one."""
    try:
        with open(path, encoding="utf-8-sig", newline=ends) as file:
            yield from file
    except FileNotFoundError as error:
        raise StoreError(f"{path}: there is no such file") from error
    except UnicodeDecodeError:
        _refuse_bytes(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{path}: cannot be read: {reason}") from error


def _refuse_bytes(path: str | Path) -> NoReturn:
    """Say where the first byte stands that is no UTF-8."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.removeprefix(_MARK if number == 1 else b"").decode()
            except UnicodeDecodeError as error:
                start = error.start + (3 if number == 1 and line.startswith(_MARK) else 0)
                where = f"line {number}, byte {start + 1}"
                _refuse(path, where, f"0x{line[start]:02x} is no UTF-8")
    raise StoreError(f"{path}: the file changed while it was read; import it again")


def _first_written(path: str | Path, lines: Iterator[str]) -> tuple[int, str]:
    """How many blank lines there are, and the first that is not."""
    for skipped, line in enumerate(lines):
        if line.strip():
            return skipped, line
    raise StoreError(f"{path}: the file is empty")


def _csv_objects(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(_LONGEST_CELL)
    lines = _text_lines(path, "")
    skipped, first = _first_written(path, lines)
    reader = csv.reader(itertools.chain([first], lines), delimiter=_delimiter(first), strict=True)
    rows = 0
    try:
        header = [name.strip() for name in next(reader)]
        _check_header(path, header)
        clean = _unescaped if tuple(header[:3]) == EXPORTED else str
        for rows, cells in enumerate(filter(None, reader), start=1):
            if len(cells) > len(header):
                reason = (
                    f"has {len(cells)} cells, the header has {len(header)}; "
                    "put quotes around a cell that holds the separator"
                )
                _refuse(path, f"line {reader.line_num + skipped}", reason)
            pairs = itertools.zip_longest(header, cells, fillvalue="")
            yield rows, {n: clean(cell) if cell else None for n, cell in pairs if _is_named(n)}
    except csv.Error as error:
        _refuse(path, f"line {reader.line_num + skipped}", f"is broken CSV: {error}")
    if not rows:
        raise StoreError(f"{path}: there is no row below the header")


def _delimiter(line: str) -> str:
    header = re.split(r"[\r\n]", line, maxsplit=1)[0]
    return max(DELIMITERS, key=lambda sign: len(next(csv.reader([header], delimiter=sign))))


def _check_header(path: str | Path, header: list[str]) -> None:
    named = [name for name in header if _is_named(name)]
    if not named:
        raise StoreError(f"{path}: the first line names no column; put a header there")
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise StoreError(
            f"{path}: the column {twice[:60]!r} stands twice in the header; rename one"
        )


def _is_named(name: str) -> bool:
    return bool(name) and not name.startswith("Unnamed: ")


def _json_objects(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = _text_lines(path, "\n")  # a text may hold other line ends
    skipped, first = _first_written(path, lines)
    if first.lstrip().startswith("["):
        place, items = "item", _listed(path, "\n" * skipped + first + "".join(lines))
    elif _goes_on(path, first):
        place, items = "item", iter([(1, _parsed(path, first + "".join(lines)))])
    else:
        place, items = "line", _each_line(path, itertools.chain([first], lines), skipped)
    for number, item in items:
        if not isinstance(item, dict):
            _refuse(path, f"{place} {number}", "is no JSON object; each row is one {...}")
        yield number, item


def _goes_on(path: str | Path, line: str) -> bool:
    """Whether a .json file is one object over several lines, as a server's reply is saved."""
    return Path(path).suffix.lower() == ".json" and line.strip() == "{"


def _each_line(path: str | Path, lines: Iterator[str], skipped: int) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, start=skipped + 1):
        if line.strip():
            yield number, _parsed(path, line, line_number=number)


def _listed(path: str | Path, text: str) -> Iterator[tuple[int, Any]]:
    items = _parsed(path, text)
    if not items:
        raise StoreError(f"{path}: the list is empty")
    yield from enumerate(items, start=1)


def _parsed(path: str | Path, text: str, *, line_number: int | None = None) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        where, reason = f"line {line_number or error.lineno}", error.msg
    except (ValueError, RecursionError) as error:
        where, reason = f"line {line_number or 1}", str(error)
    return _refuse(path, where, f"is broken JSON: {reason}")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _refuse(path: str | Path, where: str, reason: str) -> NoReturn:
    raise StoreError(f"{path}, {where}: {' '.join(reason.split())}")
