"""What a JSON schema says about its answers' lengths and labels, before anything is generated."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .card import StudentError

Shape = dict[str, Any]

# Keywords whose shortest instance cannot be told by looking: the grammar is asked at every step.
_OPAQUE = frozenset(
    ("pattern", "format", "multipleOf", "allOf", "not", "if", "prefixItems", "patternProperties")
)
_VALUES = frozenset(("const", "enum", "default", "examples"))

_YEAR = r"(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})"
_LEAP = r"(\d\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
_DAY = (
    r"((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)"
    r"|02-(0[1-9]|1\d|2[0-8]))"
)
_DATE = f"({_YEAR}-{_DAY}|{_LEAP}-02-29)"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"
_TIME = rf"{_CLOCK}:[0-5]\d(\.\d{{1,6}})?(Z|[+-]{_CLOCK})?"
# As pydantic writes and reads them, with or without a zone.
_MOMENTS = {"date": _DATE, "time": _TIME, "date-time": f"{_DATE}T{_TIME}"}

_MOST_SHAPES = 20_000
_NUMBER = 40  # bytes that finish a number within any bounds people set
_ESCAPE = 12  # bytes that finish a character that is half written
_UNBOUNDED_TEXT = 512
_UNBOUNDED_LIST = 16


@contextlib.contextmanager
def read_as_schema() -> Iterator[None]:
    """What is malformed in a schema, and hence met in the middle of it, as StudentError."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        told = " ".join(str(error).split())[:120]
        raise StudentError(f"this answer schema is malformed: {told}") from error


def closed(schema: Mapping[str, Any]) -> Shape:
    """A copy with `additionalProperties: false` wherever an object's properties are named."""
    copy = _with_inner(schema, closed)
    for name in ("$defs", "definitions"):
        if isinstance(copy.get(name), Mapping):
            copy[name] = {key: closed(shape) for key, shape in copy[name].items()}
    if "properties" in copy:
        copy.setdefault("additionalProperties", False)
    return copy


def dated(schema: Any) -> Any:
    """A copy in which dates and times are patterns: the grammar's formats know leap seconds, a
    lower-case t and the 31st of every month, which Python does not.
    """
    if isinstance(schema, list):
        return [dated(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    copy = {key: value if key in _VALUES else dated(value) for key, value in schema.items()}
    pattern = _MOMENTS.get(str(copy.get("format")))
    if pattern is not None and copy.get("type") == "string" and "pattern" not in copy:
        del copy["format"]
        copy["pattern"] = f"^{pattern}$"
    return copy


def canonical(schema: Mapping[str, Any]) -> str:
    """The schema as text. Keys keep their order: it is the order in which answers are written."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def expanded(schema: Mapping[str, Any]) -> Shape:
    """A copy with every `$ref` replaced by what it points at; a recursive one becomes `{}`.

    Raises StudentError where the copy would have no end that anybody can wait for.
    """
    left = _MOST_SHAPES

    def visit(shape: Mapping[str, Any], seen: frozenset[str]) -> Shape:
        nonlocal left
        left -= 1
        if left < 0:
            raise StudentError(
                f"with its references this schema has more than {_MOST_SHAPES} parts; simplify it"
            )
        reference = shape.get("$ref")
        if reference in seen:
            return {}
        if isinstance(reference, str):
            siblings = {key: value for key, value in shape.items() if key != "$ref"}
            return visit({**_target(schema, reference), **siblings}, seen | {reference})
        return _with_inner(shape, lambda inner: visit(inner, seen))

    return visit(schema, frozenset())


def label_paths(schema: Mapping[str, Any]) -> frozenset[str]:
    """The dotted paths of the enum and boolean leaves, those inside lists left out."""
    paths: set[str] = set()

    def visit(shape: Mapping[str, Any], path: str) -> None:
        for part in alternatives(shape):
            if "enum" in part or part.get("type") == "boolean":
                paths.add(path)
            for name, inner in part.get("properties", {}).items():
                visit(inner, f"{path}.{name}" if path else name)

    visit(expanded(schema), "")
    return frozenset(paths - {""})


def longest_way_out(schema: Mapping[str, Any]) -> int | None:
    """Bytes, hence at most tokens, that finish an answer from any state; None if nothing is sure.

    They are those of the longest answer without an avoidable list item or character: whatever is
    open when the writing has to stop is part of one of them.
    """
    return _largest([_way_out(part) for part in alternatives(expanded(schema))])


def room(schema: Mapping[str, Any]) -> int:
    """Tokens for an answer of the largest size that the schema suggests, one character a token."""
    return max(_room(part) for part in alternatives(expanded(schema)))


def _way_out(shape: Shape) -> int | None:
    if _OPAQUE & shape.keys():
        return None
    if "const" in shape or "enum" in shape:
        return _longest_value(shape)
    kind = shape.get("type")
    if kind == "object":
        if shape.get("additionalProperties", True) is not False:
            return None
        inner = {name: longest_way_out(part) for name, part in shape.get("properties", {}).items()}
        sizes = [_size(name) + 2 + size for name, size in inner.items() if size is not None]
        return sum(sizes) + 2 if len(sizes) == len(inner) else None
    if kind == "array":
        item = longest_way_out(shape.get("items", {}))
        return None if item is None else max(shape.get("minItems", 0), 1) * (item + 1) + 2
    if kind == "string":
        return int(shape.get("minLength", 0)) + _ESCAPE + 2
    return {"integer": _NUMBER, "number": _NUMBER, "boolean": 5, "null": 4}.get(str(kind))


def _room(shape: Shape) -> int:
    if "const" in shape or "enum" in shape:
        return _longest_value(shape)
    kind = shape.get("type")
    if kind == "object":
        inner = shape.get("properties", {}).items()
        return sum(_size(name) + 2 + room(part) for name, part in inner) + 2
    if kind == "array":
        count = shape.get("maxItems", max(_UNBOUNDED_LIST, shape.get("minItems", 0)))
        return int(count) * (room(shape.get("items", {})) + 1) + 2
    if kind in ("integer", "number", "boolean", "null"):
        return _NUMBER
    return int(shape.get("maxLength", _UNBOUNDED_TEXT)) + 2


def alternatives(shape: Mapping[str, Any]) -> list[Shape]:
    """The shapes a value may have: those of anyOf, oneOf and lists of types, each on its own."""
    for keyword in ("anyOf", "oneOf"):
        if shape.get(keyword):
            rest = {key: value for key, value in shape.items() if key != keyword}
            return [part for one in shape[keyword] for part in alternatives({**rest, **one})]
    if isinstance(shape.get("type"), list):
        return [{**shape, "type": kind} for kind in shape["type"]]
    return [dict(shape)]


def _with_inner(shape: Mapping[str, Any], change: Callable[[Mapping[str, Any]], Shape]) -> Shape:
    """A copy in which `change` has been at every schema directly inside this one."""
    copy = dict(shape)
    for keyword in ("anyOf", "oneOf", "allOf"):
        if isinstance(copy.get(keyword), list):
            copy[keyword] = [change(one) for one in copy[keyword]]
    if isinstance(copy.get("properties"), Mapping):
        copy["properties"] = {name: change(one) for name, one in copy["properties"].items()}
    if isinstance(copy.get("items"), Mapping):
        copy["items"] = change(copy["items"])
    return copy


def _target(schema: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    node: Any = schema
    for step in reference.removeprefix("#").strip("/").split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        node = node.get(key) if key and isinstance(node, Mapping) else node
    if not isinstance(node, Mapping):
        raise StudentError(f"this answer schema points at {reference}, which it does not define")
    return node


def _largest(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return max(known) if len(known) == len(sizes) else None


def _longest_value(shape: Shape) -> int:
    return max(_size(value) for value in shape.get("enum", [shape.get("const")]))


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
