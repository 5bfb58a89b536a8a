"""What one call asks of a student, read from the options that LangChain and OpenAI know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .card import StudentCard, StudentError, same_shape
from .tools import Tool, callable_tools, openai_tools, parameters, tool_name, whole_schema
from .turns import turn_schema

OPTIONS = frozenset(
    (
        "logprobs",
        "max_tokens",
        "model",
        "parallel_tool_calls",
        "reasoning",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "timeout",
        "tool_choice",
        "tools",
    )
)


# Options that do not change how an answer is held.
UNHELD = frozenset(("max_tokens", "model", "seed", "stop", "temperature", "timeout"))


@dataclass(frozen=True)
class Asked:
    """How the answer is held and how its text becomes a message.

    `form` says what the text is: "text" the content; "turn" a turn as JSON; "call" the arguments of
    a call of `tool`. `tools` are told in the prompt, `fill` is put into the answer's JSON, `labels`
    is the schema whose labels have a confidence. `logprobs` asks for those of the written tokens.
    `own` says that a student of turns is asked as its task asks it: the messages are its prompt.
    """

    grammar: Mapping[str, Any] | None = None
    form: Literal["text", "turn", "call"] = "text"
    tools: tuple[Tool, ...] = ()
    tool: str = ""
    fill: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Any] | None = None
    logprobs: bool = False
    own: bool = False


def asked_of(card: StudentCard | None, options: Mapping[str, Any], *, turns: bool) -> Asked:
    """`held_as`, and whether log probabilities are asked for."""
    asked = held_as(card, options, turns=turns)
    return replace(asked, logprobs=True) if options.get("logprobs") else asked


def held_as(card: StudentCard | None, options: Mapping[str, Any], *, turns: bool) -> Asked:
    """What these options ask of the student with this card, None being a bare base.

    A bare base and a student of `turns` take any schema and any tools. Another student takes its
    own schema, as a response format or as the arguments of a tool, and is held to it where nothing
    is asked. Raises StudentError for anything else.
    """
    unknown = options.keys() - OPTIONS
    if unknown:
        raise StudentError(
            f"a student does not take {', '.join(sorted(unknown))}; it knows "
            f"{', '.join(sorted(OPTIONS))}"
        )
    if not isinstance(options.get("reasoning", ""), str):
        raise StudentError(f"reasoning={options['reasoning']!r} is no text; give one")
    told = openai_tools(options.get("tools") or ())
    allowed, forced = callable_tools(told, options.get("tool_choice"))
    schema = response_schema(options.get("response_format"))
    if card is not None and not turns:
        return _of_task(card, options, allowed, schema)
    if allowed:
        parallel = options.get("parallel_tool_calls")
        turn = turn_schema(
            allowed,
            forced=forced,
            parallel=turns if parallel is None else bool(parallel),
            answer=schema,
        )
        return Asked(grammar=turn, form="turn", tools=tuple(told))
    if schema is not None:
        own = turns and card is not None and same_shape(schema, card.answer_schema)
        return Asked(grammar=schema, labels=schema, own=own)
    if turns and not _is_text(options):
        return Asked(grammar=turn_schema((), forced=False, parallel=False), form="turn")
    return Asked()


def response_schema(form: Any) -> Mapping[str, Any] | None:
    """The JSON schema in an OpenAI-style response format, or of a class given as one."""
    if form is None:
        return None
    if isinstance(form, type):
        return whole_schema(form)
    kind = form.get("type") if isinstance(form, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    try:
        schema = form["json_schema"]["schema"]
    except (KeyError, TypeError) as error:
        raise StudentError(
            "response_format holds no schema; give {'type': 'json_schema', 'json_schema': "
            "{'name': ..., 'schema': ...}}"
        ) from error
    if not isinstance(schema, Mapping):
        raise StudentError("the schema in response_format is no JSON object; give one")
    return schema


def _of_task(
    card: StudentCard,
    options: Mapping[str, Any],
    tools: Sequence[Tool],
    schema: Mapping[str, Any] | None,
) -> Asked:
    """What a student of one task is asked: the answer it learnt, in one of its forms."""
    learnt, reasoning = card.answer_schema, options.get("reasoning")
    if schema is not None and tools:
        raise StudentError(
            f"student {card.name} learnt task {card.task} and no tools; leave out "
            f"{', '.join(map(tool_name, tools))} or the response format"
        )
    if tools:
        fills = [_argument_fill(card, tool, reasoning) for tool in tools]
        if len(tools) > 1:
            raise StudentError(
                f"student {card.name} answers with one tool; choose one of "
                f"{', '.join(map(tool_name, tools))} by tool_choice"
            )
        name = tool_name(tools[0])
        return Asked(grammar=learnt, form="call", tool=name, fill=fills[0], labels=learnt)
    if _is_text(options):
        return Asked()
    any_object = _kind(options) == "json_object"
    fill = {} if any_object or schema is None else card.read_as(schema, reasoning=reasoning)
    silent = card.reasoning is not None and card.target != "reason_label"
    if schema is None and silent and reasoning is not None:
        fill = {str(card.reasoning): reasoning}
    return Asked(grammar=learnt, fill=fill, labels=learnt)


def _argument_fill(card: StudentCard, tool: Tool, reasoning: str | None) -> dict[str, str]:
    try:
        return card.read_as(parameters(tool), reasoning=reasoning)
    except StudentError as error:
        raise StudentError(f"tool {tool_name(tool)}: {error}") from error


def _is_text(options: Mapping[str, Any]) -> bool:
    return bool(_kind(options) == "text")


def _kind(options: Mapping[str, Any]) -> Any:
    form = options.get("response_format")
    return form.get("type") if isinstance(form, Mapping) else None
