"""The one place with `prompt | model | parse`: a task and a model become a chain of Thoughts."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Generator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser
from langchain_core.outputs import ChatGeneration
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableSequence

from .replies import completed_reply, json_in, native_reasoning, stopped_by, without_thinking
from .task import Target, Task, TaskError, Thought
from .teachers import output_cap
from .wording import ONLY_JSON, corrected, instructed

SCHEMA_RETRIES = 2
Parse = Callable[[Any], tuple[AIMessage, Any]]
Form = Literal["json_schema", "function_calling", "text"]
# Yields what to ask, is sent the model's output or error, returns the Thought.
_Talk = Generator[list[BaseMessage], Any, Thought]


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

    The answer is held to the schema as the model's profile allows (`held_by`): by JSON schema, else
    by function calling; a model that has neither is told the schema and its text is read. What a
    model thinks on its own account (`<think>`, reasoning blocks) stands in
    `details["native_reasoning"]`.

    A teacher's reply that does not fit goes back to it with the first thing that does not fit, up
    to `config["configurable"]["schema_retries"]` times (2 where nothing is said). A reply that was
    refused or cut off at the output cap does not: the same again would be paid for the same end. A
    student is held by its grammar and is asked once.

    Raises OutputParserException where the answer still does not fit the schema, or where it was
    refused or cut off; StudentError where a student was trained on other words or another schema.
    """
    card = getattr(model, "card", None)
    if card is not None:
        card.check(task)
    target = target or (card.target if card is not None else "reason_label")
    if prompt is None:
        prompt = task.student_prompt if card is not None else task.prompt
    schema = task.json_schema(target)
    held = _held(model, schema)
    if held.form == "text":
        written = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
        prompt = instructed(prompt, f"{ONLY_JSON}\n{written}")
    read = _reader(task, model, held.parse)
    chain: Runnable[Any, Thought]
    if card is not None:  # steps of a sequence, so that a student sees a batch as one
        chain = prompt | held.asked | RunnableLambda(read, name="thought")
    else:
        chain = _asking(prompt, held.asked, read)
    return chain.with_types(input_type=dict[str, Any], output_type=Thought)


def held_by(model: BaseChatModel) -> Form:
    """How `answer_chain` holds the model to a schema: the best that its profile and class allow.

    "text" is a model with neither JSON schema nor tools: it is told the schema, its text is read.
    """
    return _held(model, {"title": "Answer", "type": "object", "properties": {}}).form


def text_chain(prompt: ChatPromptTemplate, model: BaseChatModel) -> Runnable[dict[str, Any], str]:
    """What the model writes when it is held to no schema, its native reasoning included.

    Raises OutputParserException where it writes nothing, is refused, or is cut off: an analysis
    without its end would let another model guess.
    """

    def text_of(message: AIMessage) -> str:
        if why := stopped_by(message, output_cap(model)):
            raise _misfit(why, str(message.text), again=False)
        message, native = native_reasoning(message)
        text = "\n\n".join(part for part in (native, str(message.text).strip()) if part)
        if not text:
            raise _misfit("the reply is empty", "", again=False)
        return text

    return prompt | model | RunnableLambda(text_of, name="text")


class _Held(NamedTuple):
    """A model bound to a schema (as it is, in the form "text") and the reader of its output."""

    form: Form
    asked: Runnable[Any, Any]
    parse: Parse


def _held(model: BaseChatModel, schema: dict[str, Any]) -> _Held:
    """LangChain's own `include_raw` maps open threads for every row; one step does the same."""
    profile = model.profile or {}
    if profile.get("structured_output") is False and profile.get("tool_calling") is False:
        return _Held("text", model, _by(_json_text))
    method: Form = "json_schema" if profile.get("structured_output") else "function_calling"
    try:
        structured = model.with_structured_output(schema, method=method)
    except NotImplementedError:
        return _Held("text", model, _by(_json_text))
    match getattr(structured, "steps", None):
        case [asked, BaseOutputParser() as parser] if isinstance(structured, RunnableSequence):
            return _Held(method, asked, _by(_parser(parser)))
    both = model.with_structured_output(schema, method=method, include_raw=True)
    return _Held(method, both, _from_both)


def _asking(
    prompt: ChatPromptTemplate, asked: Runnable[Any, Any], read: Callable[[Any], Thought]
) -> Runnable[dict[str, Any], Thought]:
    """Prompt, model and reader as one step: a run less to track for each of them in every row."""

    def ask(inputs: dict[str, Any], config: RunnableConfig) -> Thought:
        talk = _talk(prompt, inputs, read, config)
        messages = next(talk)
        while True:
            try:
                reply = asked.invoke(messages, config)
            except Exception as error:  # noqa: BLE001 - the talk raises what holds no reply
                reply = error
            try:
                messages = talk.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    return RunnableLambda(ask, afunc=_asking_async(prompt, asked, read), name="answer")


def _asking_async(
    prompt: ChatPromptTemplate, asked: Runnable[Any, Any], read: Callable[[Any], Thought]
) -> Callable[[dict[str, Any], RunnableConfig], Awaitable[Thought]]:
    async def ask(inputs: dict[str, Any], config: RunnableConfig) -> Thought:
        talk = _talk(prompt, inputs, read, config)
        messages = next(talk)
        while True:
            try:
                reply = await asked.ainvoke(messages, config)
            except Exception as error:  # noqa: BLE001 - the talk raises what holds no reply
                reply = error
            try:
                messages = talk.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    return ask


def _talk(
    prompt: ChatPromptTemplate,
    inputs: dict[str, Any],
    read: Callable[[Any], Thought],
    config: RunnableConfig,
) -> _Talk:
    messages = _said(prompt, inputs)
    retries = (config.get("configurable") or {}).get("schema_retries")
    left = SCHEMA_RETRIES if retries is None else int(retries)
    while True:
        reply = yield messages
        if isinstance(reply, Exception):
            reply = _completed(reply)
        try:
            return read(reply)
        except OutputParserException as misfit:
            if left < 1 or not misfit.send_to_llm:
                raise
            left -= 1
            raw = reply["raw"] if isinstance(reply, dict) else reply
            messages = [*messages, *corrected(raw, str(misfit.observation))]


def _said(prompt: ChatPromptTemplate, inputs: dict[str, Any]) -> list[BaseMessage]:
    try:
        return prompt.format_messages(**inputs)
    except (KeyError, TypeError):
        return prompt.invoke(inputs).to_messages()  # says which input is missing


def _completed(error: Exception) -> AIMessage:
    """The reply inside an error that an SDK raises after the provider has answered, and billed."""
    reply = completed_reply(error)
    if reply is None:
        raise error
    return reply


def _by(parse: Callable[[AIMessage], Any]) -> Parse:
    def parsed(message: AIMessage) -> tuple[AIMessage, Any]:
        """The message as it came, and what it says or the error that stops it."""
        try:
            return message, parse(native_reasoning(message)[0])
        except OutputParserException as error:
            return message, error

    return parsed


def _from_both(result: Any) -> tuple[AIMessage, Any]:
    if isinstance(result, AIMessage):  # out of an error, see _completed
        return result, None
    return result["raw"], result["parsing_error"] or result["parsed"]


def _parser(parser: BaseOutputParser[Any]) -> Callable[[AIMessage], Any]:
    if isinstance(parser, JsonOutputParser):  # which closes a text that was cut off
        return _json_text

    def parse(message: AIMessage) -> Any:
        parsed = parser.parse_result([ChatGeneration(message=message)])
        if parsed is None and message.invalid_tool_calls:
            raise OutputParserException("the arguments of the call are no JSON")
        return parsed

    return parse


def _json_text(message: AIMessage) -> Any:
    found = json_in(str(message.text))
    if found is None:
        raise OutputParserException("the reply holds no answer: no whole JSON object is in it")
    return found


def _reader(task: Task, model: BaseChatModel, parse: Parse) -> Callable[[Any], Thought]:
    """What turns a model's output into a Thought, or raises OutputParserException.

    Its `send_to_llm` says whether asking again can help.
    """

    def read(reply: Any) -> Thought:
        raw, parsed = parse(reply)
        text = str(raw.content)
        try:
            if parsed is None or isinstance(parsed, Exception):  # no tool call: no error either
                said = str(parsed).strip().splitlines() if parsed else []
                raise TaskError(said[0][:300] if said else "the reply holds no answer")
            return _thought(task, raw, parsed)
        except TaskError as misfit:
            why = stopped_by(raw, output_cap(model))
            raise _misfit(why or str(misfit), text, again=why is None) from misfit

    return read


def _misfit(reason: str, text: str, *, again: bool) -> OutputParserException:
    """A reply that is no answer; `again` says whether the model may be asked again."""
    misfit = OutputParserException(reason, observation=reason, llm_output=text, send_to_llm=again)
    misfit.args = (reason,)  # without LangChain's address for troubleshooting
    return misfit


def _thought(task: Task, raw: AIMessage, parsed: Any) -> Thought:
    _, native = native_reasoning(raw)
    if isinstance(parsed, dict) and task.reasoning in parsed:
        told = parsed[task.reasoning]
        told, inside = without_thinking(told) if isinstance(told, str) else (told, "")
        parsed = {**parsed, task.reasoning: told}
        native = "\n".join(filter(None, (native, inside)))
    thought = task.thought(parsed, confidence=raw.response_metadata.get("confidence"))
    return replace(thought, details={"native_reasoning": native}) if native else thought
