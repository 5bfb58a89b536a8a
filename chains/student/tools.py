"""The tools of one call: read from any form that LangChain takes, and which may be called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel

from .card import StudentError
from .kinds import unheld

Tool = dict[str, Any]

_ANY = ("any", "required", True)


def openai_tools(tools: Sequence[Any]) -> list[Tool]:
    """Tools in OpenAI's form, from functions, LangChain's tools, classes and JSON schemas.

    Raises StudentError for what is none of them.
    """
    if isinstance(tools, str | Mapping) or not isinstance(tools, Iterable):
        raise StudentError(f"tools {tools!r:.80} is no list of tools; give one")
    return [_openai_tool(tool) for tool in tools]


def whole_schema(schema: Any) -> dict[str, Any]:
    """The JSON schema of a class, or of what LangChain takes for one.

    LangChain fills references in, and a class that refers to itself then allows anything there.
    Raises StudentError for a class with a type whose rules no JSON schema carries.
    """
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        if found := unheld(schema):
            path, kind, way_out = found
            raise StudentError(
                f"{schema.__name__}: the field {path} cannot be enforced: {kind} has rules that no "
                f"JSON schema carries; write {way_out}"
            )
        return schema.model_json_schema()
    try:
        return convert_to_json_schema(schema)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise StudentError(
            f"{schema!r:.80} is no answer schema; give a pydantic class, a TypedDict, or a JSON "
            "schema that is an object with a title"
        ) from error


def tool_name(tool: Tool) -> str:
    """What a tool is called by."""
    return str(tool["function"]["name"])


def parameters(tool: Tool) -> Mapping[str, Any]:
    """The JSON schema of a tool's arguments."""
    given = tool["function"].get("parameters") or {}
    return given if "$ref" in given else {"type": "object", "properties": {}, **given}


def callable_tools(tools: Sequence[Tool], choice: Any) -> tuple[list[Tool], bool]:
    """The tools that `choice` leaves, and whether one of them has to be called.

    `choice` is None or "auto", "none", "any" or "required" or True, a tool's name, or a dict that
    holds one. Raises StudentError for a tool that is not there.
    """
    if choice in (None, False, "auto"):
        return list(tools), False
    if choice == "none":
        return [], False
    if isinstance(choice, str | bool) and choice in _ANY:
        if not tools:
            raise StudentError("tool_choice asks for a call, and there are no tools; give some")
        return list(tools), True
    name = _named(choice)
    chosen = [tool for tool in tools if tool_name(tool) == name]
    if not chosen:
        known = ", ".join(map(tool_name, tools)) or "none"
        raise StudentError(f"tool_choice {name!r} is not among the tools; they are: {known}")
    return chosen, True


def _openai_tool(tool: Any) -> Tool:
    try:
        told = convert_to_openai_tool(tool)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise StudentError(
            f"{tool!r:.80} is no tool; give a function, a class, a LangChain tool, or one in "
            "OpenAI's form"
        ) from error
    schema = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        whole = schema.model_json_schema()
        if "$defs" in whole:
            told["function"]["parameters"] = {
                key: value for key, value in whole.items() if key not in ("title", "description")
            }
    return told


def _named(choice: Any) -> Any:
    if not isinstance(choice, Mapping):
        return choice
    function = choice.get("function")
    return (function if isinstance(function, Mapping) else choice).get("name")
