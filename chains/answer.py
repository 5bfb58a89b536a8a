"""The one place with `prompt | model | parse`: a task and a model become a chain of Thoughts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.outputs import ChatGeneration
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableSequence

from .replies import json_in, native_reasoning, without_thinking
from .task import Target, Task, TaskError, Thought
from .wording import ONLY_JSON, instructed

Parse = Callable[[Any], tuple[AIMessage, Any]]


def answer_chain(
    task: Task,
    model: BaseChatModel,
    *,
    target: Target | None = None,
    prompt: ChatPromptTemplate | None = None,
) -> Runnable[dict[str, Any], Thought]:
    """The task's inputs in, a Thought out, whichever chat model answers.

    A model that has been trained for this task (`ChatStudent`) is asked in the student's words and
    for its own target; any other model in the teacher's words, reasoning first. `target` and
    `prompt` say otherwise, e.g. for a student that somebody serves behind an OpenAI-compatible URL.

    The answer is held to the schema as the model's profile allows: by JSON schema, else by function
    calling; a model that has neither is told the schema and its text is read. What a model thinks
    on its own account (`<think>`, reasoning blocks) stands in `details["native_reasoning"]`.

    Raises OutputParserException where the answer does not fit the schema; StudentError where a
    student was trained on other words or another schema.
    """
    card = getattr(model, "card", None)
    if card is not None:
        card.check(task)
    target = target or (card.target if card is not None else "reason_label")
    if prompt is None:
        prompt = task.student_prompt if card is not None else task.prompt
    schema = task.json_schema(target)
    asked, parse = _held_to(model, schema)
    if asked is model:
        written = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
        prompt = instructed(prompt, f"{ONLY_JSON}\n{written}")
    chain = prompt | asked | RunnableLambda(_thought_of(task, parse), name="thought")
    return chain.with_types(input_type=dict[str, Any], output_type=Thought)


def text_chain(prompt: ChatPromptTemplate, model: BaseChatModel) -> Runnable[dict[str, Any], str]:
    """What the model writes when it is held to no schema, its native reasoning included.

    Raises OutputParserException where it writes nothing.
    """

    def text_of(message: AIMessage) -> str:
        message, native = native_reasoning(message)
        text = "\n\n".join(part for part in (native, str(message.text).strip()) if part)
        if not text:
            raise OutputParserException("the reply is empty", llm_output="")
        return text

    return prompt | model | RunnableLambda(text_of, name="text")


def _held_to(model: BaseChatModel, schema: dict[str, Any]) -> tuple[Runnable[Any, Any], Parse]:
    """The model bound to the schema and the reader of its output; the bare model if it cannot be.

    LangChain's own `include_raw` maps open threads for every row; one step does the same work.
    """
    profile = model.profile or {}
    if profile.get("structured_output") is False and profile.get("tool_calling") is False:
        return model, _by(_json_text)
    method = "json_schema" if profile.get("structured_output") else "function_calling"
    try:
        structured = model.with_structured_output(schema, method=method)
    except NotImplementedError:
        return model, _by(_json_text)
    match getattr(structured, "steps", None):
        case [asked, BaseOutputParser() as parser] if isinstance(structured, RunnableSequence):
            return asked, _by(_parser(parser))
    both = model.with_structured_output(schema, method=method, include_raw=True)
    return both, _from_both


def _by(parse: Callable[[AIMessage], Any]) -> Parse:
    def parsed(message: AIMessage) -> tuple[AIMessage, Any]:
        """The message as it came, and what it says or the error that stops it."""
        try:
            return message, parse(native_reasoning(message)[0])
        except OutputParserException as error:
            return message, error

    return parsed


def _from_both(result: dict[str, Any]) -> tuple[AIMessage, Any]:
    return result["raw"], result["parsing_error"] or result["parsed"]


def _parser(parser: BaseOutputParser[Any]) -> Callable[[AIMessage], Any]:
    def parse(message: AIMessage) -> Any:
        parsed = parser.parse_result([ChatGeneration(message=message)])
        if parsed is None and message.invalid_tool_calls:
            raise OutputParserException("the arguments of the call are no JSON")
        return parsed

    return parse


def _json_text(message: AIMessage) -> Any:
    return json_in(str(message.text))


def _thought_of(task: Task, parse: Parse) -> Callable[[Any], Thought]:
    def thought_of(reply: Any) -> Thought:
        raw, parsed = parse(reply)
        if parsed is None or isinstance(parsed, Exception):  # no tool call: no error either
            reason = str(parsed).splitlines()[0] if parsed else "the reply holds no answer"
            raise OutputParserException(reason, llm_output=str(raw.content))
        _, native = native_reasoning(raw)
        if isinstance(parsed, dict) and task.reasoning in parsed:
            told = parsed[task.reasoning]
            told, inside = without_thinking(told) if isinstance(told, str) else (told, "")
            parsed = {**parsed, task.reasoning: told}
            native = "\n".join(filter(None, (native, inside)))
        try:
            thought = task.thought(parsed, confidence=raw.response_metadata.get("confidence"))
        except TaskError as mismatch:
            raise OutputParserException(str(mismatch), llm_output=str(raw.content)) from mismatch
        return replace(thought, details={"native_reasoning": native}) if native else thought

    return thought_of
