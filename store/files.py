"""Rows out of CSV, JSONL and JSON files; a file that cannot be read is one line that says where."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from .connection import StoreError

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
DELIMITERS = ",;\t"
_LONGEST_CELL = 2**31 - 1  # one giant cell is its row's fault, not a file nobody can read


def read_rows(path: str | Path) -> Iterator[dict[str, str]]:
    """The file's rows as column -> text, in order: JSON by its suffix, CSV by any other.

    CSV is UTF-8 (a byte order mark is ignored) with a header; its delimiter is the one of `,`, `;`
    and tab that cuts the header into most cells; columns without a name, and the index that pandas
    calls "Unnamed: 0", are left out. JSON is one object per line, or one list of objects; values
    that are no text come as JSON text, null as "".

    Raises StoreError, one line with the file and the line number.
    """
    if Path(path).suffix.lower() in JSON_SUFFIXES:
        for number, row in read_objects(path):
            try:
                yield {name: _cell(value) for name, value in row.items()}
            except RecursionError:
                _refuse(path, f"row {number}", "is nested too deep")
    else:
        yield from _csv_rows(path)


def read_objects(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with their line, of a JSON list with their place, both from 1.

    Raises StoreError, one line with the file and the place.
    """
    text = _read_text(path)
    if text.lstrip().startswith("["):
        place, items = "item", _listed(path, text)
    else:
        place, items = "line", _lines(path, text)
    for number, item in items:
        if not isinstance(item, dict):
            _refuse(path, f"{place} {number}", "is no JSON object; each row is one {...}")
        yield number, item


def _read_text(path: str | Path) -> str:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise StoreError(f"{path}: there is no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{path}: cannot be read: {reason}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # utf-8-sig counts from behind the byte order mark
        start = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, start) + 1
        byte = start - data.rfind(b"\n", 0, start)
        _refuse(path, f"line {line}, byte {byte}", f"0x{data[start]:02x} is no UTF-8")
    if not text.strip():
        raise StoreError(f"{path}: the file is empty")
    return text


def _csv_rows(path: str | Path) -> Iterator[dict[str, str]]:
    text = _read_text(path)
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        header = [name.strip() for name in next(filter(None, reader), [])]
        _check_header(path, header)
        rows = 0
        for cells in reader:
            if not cells:
                continue
            if len(cells) > len(header):
                reason = f"has {len(cells)} cells, the header has {len(header)}"
                _refuse(path, f"line {reader.line_num}", reason)
            rows += 1
            pairs = itertools.zip_longest(header, cells, fillvalue="")
            yield {name: cell for name, cell in pairs if _is_named(name)}
    except csv.Error as error:
        _refuse(path, f"line {reader.line_num}", f"is broken CSV: {error}")
    if not rows:
        raise StoreError(f"{path}: there is no row below the header")


def _delimiter(text: str) -> str:
    header = re.split(r"[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0]
    return max(DELIMITERS, key=lambda sign: len(next(csv.reader([header], delimiter=sign))))


def _check_header(path: str | Path, header: list[str]) -> None:
    named = [name for name in header if _is_named(name)]
    if not named:
        raise StoreError(f"{path}: the first line names no column; put a header there")
    if twice := [name for name in named if named.count(name) > 1]:
        raise StoreError(f"{path}: the column {twice[0]!r} stands twice in the header; rename one")


def _is_named(name: str) -> bool:
    return bool(name) and not name.startswith("Unnamed: ")


def _lines(path: str | Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):  # a text may hold other line ends
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
