"""Schemas made fit for a grammar, to the letter: what would only seem enforced is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .card import StudentError

# Formats that any text has: they say what it means.
_MEANINGS = frozenset(("password", "path", "file-path", "directory-path", "binary"))
_LOOKS_AROUND = re.compile(r"\(\?(?:=|!|<=|<!)")
# The grammar's own has no bounds, and Python's timedelta does.
_SECONDS = r"\d{1,5}(?:\.\d{1,6})?S"
_CLOCK = rf"(?:\d{{1,4}}H(?:\d{{1,4}}M)?(?:{_SECONDS})?|\d{{1,4}}M(?:{_SECONDS})?|{_SECONDS})"
_DURATION = rf"^-?P(?:\d{{1,6}}D(?:T{_CLOCK})?|T{_CLOCK})$"
_IGNORED = ("contentMediaType", "contentSchema", "contentEncoding")
_VALUES = frozenset(("enum", "const", "default", "examples"))  # what stands here is no schema
_MOST_SHAPES = 20_000
_DEEPEST = 200


def enforceable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without the formats that every text has, and without alternatives whose patterns look
    around, where there are others. Raises StudentError for a keyword that no grammar holds, and for
    schemas beyond any sensible size or depth.
    """
    check_size(schema)
    copy: dict[str, Any] = _visited(schema)
    return copy


def check_size(schema: Any) -> None:
    """Raise StudentError for a schema that is deeper or has more parts than anybody means."""
    level, parts = [schema], 0
    for _ in range(_DEEPEST):
        parts += len(level)
        if parts > _MOST_SHAPES:
            raise StudentError(f"this schema has more than {_MOST_SHAPES} parts; simplify it")
        level = [inner for part in level for inner in _inner(part)]
        if not level:
            return
    raise StudentError(f"this schema is nested more than {_DEEPEST} deep; simplify it")


def _inner(part: Any) -> list[Any]:
    if isinstance(part, Mapping):
        return list(part.values())
    return list(part) if isinstance(part, list) else []


def _visited(node: Any) -> Any:
    if isinstance(node, list):
        return [_visited(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    copy: dict[str, Any] = {}
    for key, value in node.items():
        if key in ("anyOf", "oneOf") and isinstance(value, list):
            copy[key] = _visited(_plain_ways(value))
        elif key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            copy[key] = {name: _visited(shape) for name, shape in value.items()}
        else:
            copy[key] = value if key in _VALUES else _visited(value)
    if node.get("type") == "string":
        _check_text(copy)
    return copy


def _plain_ways(ways: list[Any]) -> list[Any]:
    plain = [way for way in ways if not _looks_around(way)]
    return plain or ways


def _looks_around(shape: Any) -> bool:
    pattern = shape.get("pattern") if isinstance(shape, Mapping) else None
    return isinstance(pattern, str) and bool(_LOOKS_AROUND.search(pattern))


def _check_text(shape: dict[str, Any]) -> None:
    if shape.get("format") in _MEANINGS:
        del shape["format"]
    if shape.get("format") == "duration" and "pattern" not in shape:
        del shape["format"]
        shape["pattern"] = _DURATION
    if _looks_around(shape):
        raise StudentError(f"the pattern {shape['pattern']} looks around, which no grammar holds")
    for keyword in _IGNORED:
        if keyword in shape:
            raise StudentError(f"{keyword} {shape[keyword]} cannot be enforced; leave it out")
