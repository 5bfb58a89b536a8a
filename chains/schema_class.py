"""A pydantic class out of what else an app's schema may be: TypedDict, JSON schema, pydantic v1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, Field, create_model

from .task import TaskError

_PLAIN: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": None,
}
_BOUNDS = {
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "pattern": "pattern",
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}


def class_of_schema(schema: Any) -> type[BaseModel]:
    """The pydantic v2 class that takes what `schema` takes; a v2 class is itself.

    `schema` is a pydantic class (v2 or v1), a TypedDict, or a JSON schema (also as OpenAI's tool
    form). Raises TaskError, naming the field, for what no such class can say.
    """
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema
    shape = json_schema_of(schema)
    name = re.sub(r"\W", "_", str(shape.get("title") or "Answer"))
    if not isinstance(shape.get("properties"), Mapping):
        raise TaskError(f"schema {name} has no properties; the answer of a task is an object")
    definitions = {**(shape.get("definitions") or {}), **(shape.get("$defs") or {})}
    return _Builder(definitions).object(name, shape, name)


def json_schema_of(schema: Any) -> dict[str, Any]:
    """The JSON schema that an app's schema is, whatever it was written as. Raises TaskError."""
    if isinstance(schema, Mapping):
        function = schema.get("function") if schema.get("type") == "function" else schema
        if isinstance(function, Mapping) and isinstance(function.get("parameters"), Mapping):
            return {"title": function.get("name"), **function["parameters"]}
        return dict(schema)
    try:
        return dict(convert_to_json_schema(schema))
    except Exception as error:
        raise TaskError(
            f"{schema!r} is no schema; give a pydantic class, a TypedDict or a JSON schema"
        ) from error


class _Builder:
    """Annotations out of the parts of one JSON schema; a definition becomes a class once."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions
        self.made: dict[str, Any] = {}
        self.open: set[str] = set()

    def object(self, name: str, shape: Mapping[str, Any], where: str) -> type[BaseModel]:
        """The class of an object with properties."""
        required = set(shape.get("required") or ())
        fields: dict[str, Any] = {}
        for field, part in shape["properties"].items():
            annotation = self.annotation(part, f"{where}.{field}")
            told = {"description": part["description"]} if "description" in part else {}
            if field in required:
                fields[field] = (annotation, Field(**told))
            elif part.get("default") is not None:
                fields[field] = (annotation, Field(default=part["default"], **told))
            else:
                fields[field] = (Union[annotation, None], Field(default=None, **told))  # noqa: UP007
        try:
            return create_model(name, __doc__=shape.get("description"), **fields)
        except (NameError, TypeError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise TaskError(f"schema {where} cannot be a class: {first}; rename it") from error

    def annotation(self, shape: Any, where: str) -> Any:
        """What the values of this part may be."""
        if not isinstance(shape, Mapping):
            raise TaskError(f"the schema of {where} is no object; write its type")
        if "$ref" in shape:
            return self._referred(str(shape["$ref"]), where)
        for word in ("anyOf", "oneOf", "allOf"):
            if word in shape:
                return self._one_of(shape[word], word, where)
        if "enum" in shape or "const" in shape:
            values = tuple(shape["enum"]) if "enum" in shape else (shape["const"],)
            return self._literal(values, where)
        kind = shape.get("type")
        if isinstance(kind, list):
            kinds = [self.annotation({**shape, "type": one}, where) for one in kind]
            return Union[tuple(kinds)]  # noqa: UP007 - built at run time
        return self._typed(kind, shape, where)

    def _typed(self, kind: Any, shape: Mapping[str, Any], where: str) -> Any:
        if kind == "object" and isinstance(shape.get("properties"), Mapping):
            name = str(shape.get("title") or where.rpartition(".")[2].title())
            return self.object(re.sub(r"\W", "_", name), shape, where)
        if kind == "object":
            inner = shape.get("additionalProperties")
            whole = self.annotation(inner, where) if isinstance(inner, Mapping) else Any
            return dict[str, whole]  # type: ignore[valid-type]
        if kind == "array":
            items = shape.get("items")
            annotation: Any = list[self.annotation(items, f"{where}[]") if items else Any]  # type: ignore[misc]
        elif kind in _PLAIN:
            annotation = _PLAIN[kind]
        else:
            raise TaskError(f"the schema of {where} has no type that a task knows; write its type")
        bounds = {ours: shape[word] for word, ours in _BOUNDS.items() if word in shape}
        return Annotated[annotation, Field(**bounds)] if bounds else annotation

    def _literal(self, values: tuple[Any, ...], where: str) -> Any:
        if not values or not all(isinstance(v, str | int | bool | None) for v in values):
            raise TaskError(f"the classes of {where} are no texts or whole numbers; write texts")
        return Literal[values]

    def _one_of(self, parts: Any, word: str, where: str) -> Any:
        if word == "allOf" and len(parts) != 1:
            raise TaskError(f"the schema of {where} is an allOf of several; write it as one")
        return Union[tuple(self.annotation(part, where) for part in parts)]  # noqa: UP007

    def _referred(self, reference: str, where: str) -> Any:
        name = reference.rpartition("/")[2]
        if name in self.open or name not in self.definitions:
            why = "refers to itself" if name in self.open else "is not defined"
            raise TaskError(f"the schema of {where}: {name} {why}; write it out")
        if name not in self.made:
            self.open.add(name)
            self.made[name] = self.annotation({"title": name, **self.definitions[name]}, where)
            self.open.discard(name)
        return self.made[name]
