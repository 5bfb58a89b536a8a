"""with_structured_output: schemas checked before anything is asked, messages read as instances."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.utils.pydantic import is_basemodel_subclass

from .asked import response_schema
from .card import StudentError
from .grammar import json_grammar
from .schema import canonical, closed, expanded, read_as_schema
from .tools import openai_tools, parameters, tool_name, whole_schema

TRACED = "ls_structured_output_format"  # an option that LangChain takes out before a call
METHODS = ("json_schema", "function_calling", "json_mode")

Parse = Callable[[AIMessage], Any]


def check_enforceable(schema: Mapping[str, Any], what: str) -> None:
    """Raise StudentError, which names the field and the keyword, where no grammar can hold it."""
    from llguidance import LLMatcher

    def problem(shape: Mapping[str, Any]) -> str:
        definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
        try:
            with read_as_schema():
                grammar = json_grammar(closed({**definitions, **shape}))
        except StudentError as error:
            return str(error)
        _, told = LLMatcher.validate_grammar_with_warnings(grammar)
        return "\n".join(told).strip()

    def blame(shape: Mapping[str, Any], path: str) -> str:
        """The path of the innermost field that cannot be held on its own."""
        for name, inner in shape.get("properties", {}).items():
            if isinstance(inner, Mapping) and problem(inner):
                return blame(inner, f"{path}.{name}" if path else name)
        return path

    with read_as_schema():
        canonical(schema).encode()
    if reason := problem(schema):
        field = ""
        with contextlib.suppress(StudentError), read_as_schema():
            field = blame(expanded(schema), "")
        where = f"the field {field}" if field else "the schema"
        raise StudentError(
            f"{what}: {where} cannot be enforced: {_told(reason)}; write it in another way"
        )


def check_options(options: Mapping[str, Any]) -> None:
    """`check_enforceable` of the tools and of the response format that a model is bound to."""
    for tool in openai_tools(options.get("tools") or ()):
        check_enforceable(parameters(tool), f"tool {tool_name(tool)}")
    schema = response_schema(options.get("response_format"))
    if schema is not None:
        check_enforceable(schema, schema.get("title", "this schema"))


def structured_options(schema: Any, *, method: str, strict: bool | None) -> dict[str, Any]:
    """The options with which a model answers in a schema, and what tracers are told of it."""
    options: dict[str, Any] = {
        TRACED: {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    }
    if method == "function_calling":
        tools = openai_tools([schema])
        return {**options, "tools": tools, "tool_choice": tool_name(tools[0])}
    shape = whole_schema(schema)
    form = {"name": shape.get("title", "answer"), "schema": shape}
    return {**options, "response_format": {"type": "json_schema", "json_schema": form}}


def parser(schema: Any) -> Parse:
    """Reads a message as an instance of a pydantic class (v2 or v1), else as JSON data.

    The data are the arguments of the first call where there is one, else the content. Raises
    OutputParserException; a message without either is no answer.
    """

    def parse(message: AIMessage) -> Any:
        try:
            text = _json_of(message)
            if isinstance(schema, type) and is_basemodel_subclass(schema):
                read = getattr(schema, "model_validate_json", None) or schema.parse_raw  # type: ignore[attr-defined]
                return read(text)
            return json.loads(text)
        except ValueError as error:  # a validation error of either pydantic is one too
            raise OutputParserException(str(error), llm_output=message.text) from error

    return parse


def both(parse: Parse) -> Callable[[AIMessage], dict[str, Any]]:
    """`include_raw`: the message, what it says, and the error that stood in the way."""

    def read(message: AIMessage) -> dict[str, Any]:
        try:
            return {"raw": message, "parsed": parse(message), "parsing_error": None}
        except OutputParserException as error:
            return {"raw": message, "parsed": None, "parsing_error": error}

    return read


def _json_of(message: AIMessage) -> str:
    if message.tool_calls:
        return json.dumps(message.tool_calls[0]["args"], ensure_ascii=False)
    if message.invalid_tool_calls:
        return str(message.invalid_tool_calls[0]["args"])
    return str(message.text)


def _told(reason: str) -> str:
    lines = [line.strip() for line in reason.splitlines()]
    return next((line for line in lines if line.startswith("error:")), lines[0])
