"""One turn of a conversation with tools, as JSON: what is said and which tools are called.

A bare base is told this form; a student distilled with `turn_task` has learnt it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field

from ..task import Task
from .card import StudentCard, same_shape
from .rendering import template_message
from .schema import Shape, closed
from .tools import Tool, parameters, tool_name

_MOST_CALLS = 16
_TOLD = (
    'You can call tools. Reply with JSON: {"text": what you say, "calls": [{"name": a tool, '
    '"arguments": its arguments}]}. "calls" is empty where no tool is needed. The tools:'
)


class Call(BaseModel):
    """A tool and what it is called with."""

    name: str
    arguments: dict[str, Any]


class Turn(BaseModel):
    """What an assistant says next, and the tools that it calls."""

    text: str
    calls: list[Call] = Field(max_length=_MOST_CALLS)


def turn_task(name: str = "turns") -> Task:
    """A task whose students are chat models with tools: one answer is one turn of an assistant.

    Its only input, `conversation`, is the text that `conversation` gives. Such a student takes any
    tools and any schema; what it does with those that no teacher showed it is another matter.
    """
    return Task(
        name=name,
        schema=Turn,
        prompt=ChatPromptTemplate.from_messages(
            [
                (
                    "system",
                    "You see a conversation, one JSON object a line: first the tools there are, "
                    "then the messages. Write the assistant's next turn: what it says, and the "
                    "tools it calls, if any.",
                ),
                ("human", "{conversation}"),
            ]
        ),
        student_prompt=ChatPromptTemplate.from_messages([("human", "{conversation}")]),
    )


def learnt_turns(card: StudentCard | None) -> bool:
    """Whether a student's answers are whole turns of a conversation."""
    return card is not None and same_shape(card.answer_schema, Turn.model_json_schema())


def conversation(messages: Sequence[BaseMessage], tools: Sequence[Tool] = ()) -> str:
    """The conversation as a student of turns reads it: one JSON object a line, the tools first."""
    told = [tool["function"] for tool in tools]
    said = [template_message(message) for message in messages]
    return "\n".join(_compact(line) for line in (*told, *said))


def turn_messages(
    card: StudentCard | None, messages: Sequence[BaseMessage], tools: Sequence[Tool]
) -> list[BaseMessage]:
    """The messages with which a bare base, or a student of turns, is asked for a turn."""
    if card is not None:
        words = [(said["role"], said["text"]) for said in card.prompt]
        prompt = ChatPromptTemplate.from_messages(words)
        return prompt.format_messages(conversation=conversation(messages, tools))
    if not tools:
        return list(messages)
    told = "\n".join((_TOLD, *(_compact(tool["function"]) for tool in tools)))
    return [SystemMessage(told), *messages]


def turn_schema(
    tools: Sequence[Tool],
    *,
    forced: bool,
    parallel: bool,
    answer: Mapping[str, Any] | None = None,
) -> Shape:
    """The schema of a turn that calls these tools only, one at least where it is `forced`.

    With `answer` a turn without calls is an object of that schema, under the key "answer".
    """
    definitions: dict[str, Any] = {}
    turns: list[Shape] = []
    if tools:
        calls = [_call(tool, f"{place}.", definitions) for place, tool in enumerate(tools)]
        most = _MOST_CALLS if parallel else 1
        listed = {"type": "array", "items": {"anyOf": calls}, "minItems": 1, "maxItems": most}
        text = {"const": ""} if forced or answer is not None else {"type": "string"}
        turns.append(_object(text=text, calls=listed))
    if answer is not None and not forced:
        turns.append(_object(answer=_moved(answer, "answer.", definitions)))
    elif not forced:
        silent = {"type": "array", "items": {"type": "null"}, "maxItems": 0}
        turns.append(_object(text={"type": "string", "minLength": 1}, calls=silent))
    return {"anyOf": turns, "$defs": definitions} if definitions else {"anyOf": turns}


def _call(tool: Tool, mark: str, definitions: dict[str, Any]) -> Shape:
    arguments = _moved(parameters(tool), mark, definitions)
    return _object(name={"const": tool_name(tool)}, arguments=arguments)


def _object(**properties: Any) -> Shape:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _moved(schema: Mapping[str, Any], mark: str, definitions: dict[str, Any]) -> Shape:
    """The schema for a place inside another; what it defines goes to `definitions`, marked."""

    def visit(node: Any) -> Any:
        if isinstance(node, list):
            return [visit(item) for item in node]
        if not isinstance(node, Mapping):
            return node
        moved = {key: visit(value) for key, value in node.items()}
        if isinstance(node.get("$ref"), str):
            moved["$ref"] = f"#/$defs/{mark}{node['$ref'].rpartition('/')[2]}"
        return moved

    whole = closed(schema)
    for keyword in ("$defs", "definitions"):
        for name, inner in whole.pop(keyword, {}).items():
            definitions[mark + name] = visit(inner)
    moved: Shape = visit(whole)
    return moved


def _compact(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
