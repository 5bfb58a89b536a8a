"""A Task out of an app's own chain, and the app's answers as the task's and back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.prompts import (
    BasePromptTemplate,
    ChatPromptTemplate,
    FewShotChatMessagePromptTemplate,
    HumanMessagePromptTemplate,
    StringPromptTemplate,
)
from langchain_core.prompts.prompt import PromptTemplate
from pydantic import BaseModel

from .conversation import MESSAGES, conversation_text, messages_of
from .parts import ChainParts, take_apart
from .schema_class import class_of_schema
from .shape import plain_type
from .task import Task, TaskError, Thought
from .wording import literal

AUTO = "auto"
# How people call the field in which a model reasons before it answers.
_REASONING = re.compile(
    r"(chain_of_)?(thoughts?|reasoning|reasons?|rationale|explanation|justification|analysis"
    r"|raciocinio|justificativa|explicacao)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class AppChain:
    """An app's chain as a task: `rendered` says that its input is the whole conversation."""

    task: Task
    parts: ChainParts
    rendered: bool

    def inputs(self, asked: Any) -> dict[str, str]:
        """The task's inputs in what the app gave its chain. Raises TaskError where it has none."""
        prompt = self.parts.prompt
        if self.rendered:
            said = asked if prompt is None else prompt.invoke(asked)
            return {MESSAGES: conversation_text(messages_of(said))}
        names = self.task.inputs
        if not isinstance(asked, Mapping):
            if len(names) != 1:
                raise TaskError(f"the chain was given a {type(asked).__name__}, no dict")
            return {names[0]: str(asked)}
        if missing := [name for name in names if name not in asked]:
            raise TaskError(f"the chain was given no {missing[0]}")
        return {name: str(asked[name]) for name in names}

    def thought(self, output: Any) -> Thought:
        """What the app's chain answered, as the task's Thought. Raises TaskError for no answer."""
        if isinstance(output, Thought):
            return output
        if isinstance(output, Mapping) and {"raw", "parsed"} <= output.keys():
            if output["parsed"] is None:
                raise TaskError(f"no answer: {output.get('parsing_error') or 'nothing was read'}")
            output = output["parsed"]
        if isinstance(output, self.task.schema):
            kept = output.model_copy(deep=True)  # the app may go on to change its own
            reasoning = getattr(kept, self.task.reasoning) if self.task.reasoning else None
            return Thought(reasoning=reasoning, answer=kept)
        return self.task.thought(_data(output))

    def output(self, thought: Thought, *, reasoning: str | None, said: AIMessage | None) -> Any:
        """The Thought as the app's own type; `reasoning` is put where it requires one.

        `said` is the message that is handed on where the app asks for the raw reply. Raises
        TaskError where the app's class does not take the answer.
        """
        parsed = self._parsed(thought, reasoning)
        if not self.parts.raw:
            return parsed
        text = thought.answer.model_dump_json(exclude_unset=True)
        return {"raw": said or AIMessage(text), "parsed": parsed, "parsing_error": None}

    def _parsed(self, thought: Thought, reasoning: str | None) -> Any:
        schema, field = self.parts.schema, self.task.reasoning
        silent = field is not None and getattr(thought.answer, field, None) is None
        if not self.parts.data and isinstance(thought.answer, schema) and not silent:
            return thought.answer
        data = thought.answer.model_dump(mode="json", exclude_unset=True)
        if silent and field is not None:
            data.pop(field, None)
            if reasoning is not None and self.requires_reasoning:
                data = {field: reasoning, **data}
        if self.parts.data:
            return data
        if issubclass(schema, BaseModel):
            return self._as_class(schema, data)
        return schema.parse_obj(data)

    @staticmethod
    def _as_class(schema: type[BaseModel], data: Mapping[str, Any]) -> BaseModel:
        try:
            return schema.model_validate_json(json.dumps(data))
        except ValueError as error:
            first = str(error).splitlines()
            raise TaskError(f"{schema.__name__}: {' '.join(first[1:3])[:200]}") from error

    @property
    def requires_reasoning(self) -> bool:
        """Whether the app's answer is none without a reasoning."""
        field = self.task.reasoning
        return field is not None and self.task.schema.model_fields[field].is_required()


def task_from_chain(chain: Any, **options: Any) -> Task:
    """The task that an app's chain asks, and a chain that `swap` gave; see `app_chain`."""
    own = getattr(chain, "task", None)
    if isinstance(own, Task) and not options:
        return own
    return app_chain(chain, **options).task


def app_chain(
    chain: Any,
    *,
    name: str | None = None,
    schema: Any = None,
    reasoning: str | None = AUTO,
    rendered: bool = False,
    task: Task | None = None,
    **facts: Any,
) -> AppChain:
    """What an app's chain asks, read out of the chain.

    `chain` is `prompt | model.with_structured_output(S)`, `prompt | model | PydanticOutputParser`,
    or a structured model alone (see `parts.take_apart`). The task is called `name`, or as its
    schema. A prompt of plain f-string messages gives its variables as the task's inputs; texts that
    it fills in by itself and fixed few-shots become words of it. Where it holds what is no plain
    text (a history, an example selector, a function, another template language), or `rendered`
    says so, or there is no prompt, the input is the rendered conversation, `messages`, and a
    student is trained on exactly that.

    `reasoning` names the field that holds the rationale; "auto" takes the only top-level text whose
    name says so (reasoning, rationale, explanation, ...). `task` is taken as it is where its inputs
    and schema are the chain's; `facts` are further fields of Task. Raises TaskError, naming the
    part, for what it cannot see through, and for images.
    """
    parts = take_apart(chain, schema=schema if task is None else task.schema)
    plain = None if rendered or parts.prompt is None else _plain(parts.prompt)
    answer = class_of_schema(parts.schema)
    if task is not None:
        _check(task, plain, answer)
        return AppChain(task, parts, plain is None)
    if plain is None:
        plain_prompt = ChatPromptTemplate.from_messages([("human", f"{{{MESSAGES}}}")])
        facts.setdefault("student_prompt", plain_prompt)
    made = Task(
        name=name or _snake(answer.__name__),
        schema=answer,
        prompt=plain or plain_prompt,
        reasoning=_reasoning_field(answer) if reasoning == AUTO else reasoning,
        **facts,
    )
    return AppChain(made, parts, plain is None)


def _data(output: Any) -> Any:
    if isinstance(output, BaseModel):
        return output.model_dump(mode="json")
    if isinstance(output, Mapping):
        return dict(output)
    if hasattr(output, "json") and hasattr(output, "parse_obj"):  # pydantic v1
        return json.loads(output.json())
    raise TaskError(f"the chain answered a {type(output).__name__}, no instance of its schema")


def _check(task: Task, plain: ChatPromptTemplate | None, answer: type[BaseModel]) -> None:
    if set(answer.model_fields) - {task.reasoning} != set(task.schema.model_fields) - {
        task.reasoning
    }:
        raise TaskError(
            f"task {task.name} answers with {', '.join(task.schema.model_fields)}, the chain with "
            f"{', '.join(answer.model_fields)}; give the task of this chain"
        )
    found = {MESSAGES} if plain is None else set(plain.input_variables)
    if set(task.inputs) != found:
        raise TaskError(
            f"task {task.name} asks for {', '.join(task.inputs)}, the chain for "
            f"{', '.join(sorted(found))}; give the task of this chain"
        )


def _plain(prompt: BasePromptTemplate[Any]) -> ChatPromptTemplate | None:
    """The prompt as f-string messages that are data; None where it is more than that.

    Raises TaskError for parts that are no text.
    """
    if isinstance(prompt, StringPromptTemplate):
        prompt = ChatPromptTemplate.from_messages([HumanMessagePromptTemplate(prompt=prompt)])
    if not isinstance(prompt, ChatPromptTemplate):
        return None
    filled = prompt.partial_variables
    messages: list[Any] = []
    for message in prompt.messages:
        found = _plain_message(message, filled)
        if found is None:
            return None
        messages += found
    made = ChatPromptTemplate.from_messages(messages)
    return made if made.input_variables else None


def _plain_message(message: Any, filled: Mapping[str, Any]) -> list[Any] | None:
    if isinstance(message, ChatPromptTemplate):
        inner = _plain(message.partial(**filled) if filled else message)
        return None if inner is None else list(inner.messages)
    if isinstance(message, FewShotChatMessagePromptTemplate):
        fixed = message.examples is not None and not message.input_variables
        return list(message.format_messages()) if fixed else None
    if isinstance(message, BaseMessage):
        conversation_text([message])  # refuses images
        return [message]
    template = getattr(message, "prompt", None)
    if isinstance(template, list):
        _refuse_images(template)
        return None
    return _plain_template(message, template, filled)


def _plain_template(message: Any, template: Any, filled: Mapping[str, Any]) -> list[Any] | None:
    if not isinstance(template, PromptTemplate) or template.template_format != "f-string":
        return None
    text = _filled(template.template, {**filled, **template.partial_variables})
    if text is None:
        return None
    return [message.model_copy(update={"prompt": PromptTemplate.from_template(text)})]


def _refuse_images(templates: list[Any]) -> None:
    """A message of several parts: texts are rendered, an image is no text."""
    for template in templates:
        if not isinstance(template, PromptTemplate):
            raise TaskError(
                f"the prompt holds a {type(template).__name__}; a student reads text only, so "
                "this chain has no task"
            )


def _filled(text: str, values: Mapping[str, Any]) -> str | None:
    """The template with what it fills in by itself written out; None for functions and formats."""
    parts = []
    for said, name, spec, conversion in Formatter().parse(text):
        parts.append(literal(said))
        if name is None:
            continue
        if spec or conversion or (name in values and not isinstance(values[name], str)):
            return None
        parts.append(literal(values[name]) if name in values else f"{{{name}}}")
    return "".join(parts)


def _reasoning_field(schema: type[BaseModel]) -> str | None:
    found = [
        name
        for name, info in schema.model_fields.items()
        if plain_type(info.annotation) is str and _REASONING.fullmatch(name)
    ]
    return found[0] if len(found) == 1 else None


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
