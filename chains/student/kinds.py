"""Types of pydantic whose rules its JSON schema does not carry: no grammar can hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

_ANSWERS = {
    "decimal": "float, or str with a pattern",
    "url": "str with a pattern",
    "multi-host-url": "str with a pattern",
    "complex": "two floats",
}
_TIMES = {"date", "datetime"}
_NO_SCHEMAS = {"metadata", "serialization", "cls", "default"}
_ONLY_SOME = ("now_op", "tz_constraint")  # past or future, with or without a time zone


def unheld(model: type[BaseModel]) -> tuple[str, str, str] | None:
    """The first field that a grammar of the JSON schema would let be wrong: path, type, a way out.

    A Decimal's digits, a URL's parts, a date that must be past are checked by pydantic alone.
    """
    return next(_found(model.__pydantic_core_schema__, ()), None)


def _found(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    if isinstance(node, list | tuple):
        for inner in node:
            yield from _found(inner, path)
    if not isinstance(node, Mapping):
        return
    kind = node.get("type")
    if isinstance(kind, str) and kind in _ANSWERS:
        yield ".".join(path), kind, _ANSWERS[kind]
    elif kind in _TIMES and any(node.get(rule) is not None for rule in _ONLY_SOME):
        yield ".".join(path), f"{kind} of some times only", "a plain date or datetime"
    for inner, place in _inside(node, path):
        yield from _found(inner, place)


def _inside(
    node: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[Any, tuple[str, ...]]]:
    for key, inner in node.items():
        if key == "fields" and isinstance(inner, Mapping):
            yield from ((field, (*path, str(name))) for name, field in inner.items())
        elif key not in _NO_SCHEMAS:
            yield inner, path
