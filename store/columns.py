"""What a row's cells mean to a task: which are inputs, which gold, and which labels they say."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST_INPUT = 20_000  # characters; no prompt of a small student can hold more
REFUSED_KEPT = 20  # refused rows that an import remembers; it counts the others
MOST_DROPPED = 1000  # values that are no label, which an import remembers by name
DEEPEST = 50  # levels of nesting that gold or a recorded answer may have


class RefusedRow(Exception):
    """This row cannot be used, for the reason given; the others can."""


class Refusals:
    """The rows left out: the `first` of them as (row number from 1, reason), and how many."""

    def __init__(self) -> None:
        self.first: list[tuple[int, str]] = []
        self.count = 0

    def add(self, number: int, reason: str) -> None:
        """Leave this row out."""
        self.count += 1
        if len(self.first) < REFUSED_KEPT:
            self.first.append((number, reason))


def printable(text: str) -> str:
    """Text from a file as a terminal may have it: one line, no control or direction marks."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def checked_input(name: str, text: str) -> str:
    """The text of an input, unchanged. Raises RefusedRow where it is none, or too long."""
    if not text.strip():
        raise RefusedRow(f"{name} is empty")
    if len(text) > LONGEST_INPUT:
        raise RefusedRow(f"{name} has {len(text)} characters, the most is {LONGEST_INPUT}")
    return _checked(name, text)


class InputColumns:
    """Where a task's inputs stand in a row: where `chosen` says, else under their own names or as
    `columns` says."""

    def __init__(
        self,
        names: Sequence[str],
        columns: Mapping[str, str],
        chosen: Mapping[str, str] | None = None,
    ) -> None:
        self.sources = _sources(names, columns, chosen or {})

    def missing(self, row: Mapping[str, str]) -> list[str]:
        """The inputs that no column of this row holds."""
        return [name for name, held in self.sources.items() if not any(c in row for c in held)]

    def read(self, row: Mapping[str, str]) -> dict[str, str]:
        """The row's inputs. Raises RefusedRow where one is empty, too long or no text."""
        return {
            name: checked_input(name, _first(row, columns))
            for name, columns in self.sources.items()
        }


class GoldColumns:
    """Where a task's gold stands in a row, and what its cells mean; it counts what it dropped.

    `labels` maps an answer path to its classes; `aliases` another writing of a class to the class.
    """

    def __init__(
        self,
        paths: Sequence[str],
        columns: Mapping[str, str],
        *,
        labels: Mapping[str, Sequence[Any]],
        aliases: Mapping[str, str],
        chosen: Mapping[str, str] | None = None,
    ) -> None:
        self.sources = _sources(paths, columns, chosen or {})
        self.labels = {path: _writings(classes, aliases) for path, classes in labels.items()}
        self.dropped: dict[str, Counter[str]] = {}

    def read(self, row: Mapping[str, str]) -> dict[str, Any] | None:
        """The row's gold as nested JSON data, None where it has none. Raises RefusedRow."""
        gold: dict[str, Any] = {}
        whole = _json_object(row.get("gold", ""))
        for path, columns in self.sources.items():
            cell = _first(row, columns).strip()
            if cell:
                self._put(gold, path, cell if path in self.labels else _from_text(cell))
            elif (value := _at(whole, path)) is not _ABSENT:
                self._put(gold, path, value)
        return gold or None

    def notes(self) -> list[str]:
        """One line per path that had values which are none of its classes."""
        return [
            f"{path}: {values.total()} gold values are none of its labels and were left out, "
            f"most often {values.most_common(1)[0][0]!r}"
            for path, values in self.dropped.items()
        ]

    def _drop(self, path: str, text: str) -> None:
        """Count a value that is no label; of ever new ones only the first are known by name."""
        dropped = self.dropped.setdefault(path, Counter())
        dropped[text if text in dropped or len(dropped) < MOST_DROPPED else "..."] += 1

    def _put(self, gold: dict[str, Any], path: str, value: Any) -> None:
        checked_json(path, value)
        if path in self.labels and value is not None:
            writings, text = self.labels[path], _written(value)
            value = writings.get(text, writings.get(_folded(text), _ABSENT))
            if value is _ABSENT:
                self._drop(path, text[:60])
                return
        *heads, last = path.split(".")
        node = gold
        for head in heads:
            node = node.setdefault(head, {})
        node[last] = value


_ABSENT: Any = object()
_JSON_BEGINS = tuple('{["-0123456789tfn')


def _sources(
    names: Sequence[str], columns: Mapping[str, str], chosen: Mapping[str, str]
) -> dict[str, list[str]]:
    """Per path the columns that may hold it: the chosen ones, else its own name, then others."""

    def meaning(name: str, mapping: Mapping[str, str]) -> list[str]:
        return [column for column, meant in mapping.items() if meant == name]

    return {name: meaning(name, chosen) or [name, *meaning(name, columns)] for name in names}


def _first(row: Mapping[str, str], columns: Sequence[str]) -> str:
    cells = (row.get(column, "") for column in columns)
    return next((cell for cell in cells if cell.strip()), "")


def _writings(classes: Sequence[Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    """Every text that says a class; a class's own name wins over another's, exact over folded."""
    exact = {_written(value): value for value in classes}
    others = {_folded(text): exact[meant] for text, meant in aliases.items() if meant in exact}
    return others | {_folded(text): value for text, value in exact.items()} | exact


def class_of(value: Any, classes: Sequence[Any], aliases: Mapping[str, str]) -> Any:
    """The class that `value` is another writing of; `value` itself where it is none."""
    writings, text = _writings(classes, aliases), _written(value)
    return writings.get(text, writings.get(_folded(text), value))


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _checked(name: str, text: str) -> str:
    if "\0" in text:
        raise RefusedRow(f"{name} holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RefusedRow(f"{name} holds half a character (a lone surrogate)") from None
    return text


def checked_json(name: str, value: Any, *, nul: bool = False) -> Any:
    """JSON data that a store can hold, unchanged; `nul` says whether its texts may hold a NUL.

    Raises RefusedRow.
    """
    left = [] if isinstance(value, str) else [(value, 1)]
    while left:
        item, depth = left.pop()
        if depth > DEEPEST:
            raise RefusedRow(f"{name} is nested deeper than {DEEPEST} levels")
        if isinstance(item, float) and not math.isfinite(item):
            raise RefusedRow(f"{name} holds a number that is too large")
        if isinstance(item, dict):
            left += [(inner, depth + 1) for inner in item.values()]
        elif isinstance(item, list):
            left += [(inner, depth + 1) for inner in item]
    text = _written(value)
    _checked(name, text.replace("\0", "") if nul else text)
    return value


def _from_text(text: str) -> Any:
    """JSON where the cell is JSON (a number, a list), else the text itself."""
    if text.lstrip()[:1] not in _JSON_BEGINS:
        return text
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text


def _no_number(name: str) -> None:
    raise ValueError(name)


def _json_object(text: str) -> Any:
    return _from_text(text) if text.lstrip().startswith("{") else {}


def _at(whole: Any, path: str) -> Any:
    """The value at a dotted path, a null too; _ABSENT where it is not there."""
    for key in path.split("."):
        if not isinstance(whole, dict) or key not in whole:
            return _ABSENT
        whole = whole[key]
    return whole
