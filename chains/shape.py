"""The shape of an answer: a schema's leaves, their types and classes, its closed JSON schema."""

from __future__ import annotations

import enum
import types
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def leaf_fields(
    model: type[BaseModel], *, prefix: str = "", skip: Collection[str] = ()
) -> dict[str, FieldInfo]:
    """Every field that is not itself a model, by dotted path in schema order; `skip` at the top."""
    leaves: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        inner = plain_type(info.annotation)
        if name in skip:
            continue
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            leaves.update(leaf_fields(inner, prefix=f"{prefix}{name}."))
        else:
            leaves[f"{prefix}{name}"] = info
    return leaves


def plain_type(annotation: Any) -> Any:
    """The annotation without Optional and Annotated."""
    if get_origin(annotation) is Annotated:
        return plain_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        if len(kinds) == 1:
            return plain_type(kinds[0])
    return annotation


def classes_of(annotation: Any) -> tuple[Any, ...]:
    """The classes of a Literal, enum or bool as JSON values; empty for anything else."""
    kind = plain_type(annotation)
    if get_origin(kind) is Literal:
        return tuple(v.value if isinstance(v, enum.Enum) else v for v in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return tuple(member.value for member in kind)
    return (True, False) if kind is bool else ()


def closed_schema(schema: Any) -> Any:
    """`additionalProperties: false` wherever it is unset, and no titles that repeat a name."""
    if isinstance(schema, list):
        return [closed_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: closed_schema(value) for key, value in schema.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
        for name, shape in closed["properties"].items():
            if isinstance(shape, dict) and shape.get("title") == name.replace("_", " ").title():
                shape.pop("title")
    return closed


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted paths to a nested dict: {"f1.emocao": "Medo"} -> {"f1": {"emocao": "Medo"}}."""
    result: dict[str, Any] = {}
    for path, value in flat.items():
        *heads, last = path.split(".")
        node = result
        for head in heads:
            node = node.setdefault(head, {})
        node[last] = value
    return result
