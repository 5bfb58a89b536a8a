"""A talk with a model as a row of a task: which inputs it was about, and what was answered."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..chains.task import Task, prompt_words
from ..store.columns import RefusedRow, checked_input, checked_json
from ..store.messages import Message
from ..store.providers import Said
from ..store.rows import Example, example_id
from ..store.splits import split_of
from .redaction import without_keys

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)
_WRAPPERS = ("output", "answer", "result", "response")  # names that chains give their one output
_ROLES = {"human": "user", "ai": "assistant"}


def recorded_in(
    task: Task, said: Said, *, split: str | None = None
) -> tuple[Example, dict[str, Any]]:
    """The example that a talk is about, and its Record fields as `record_labels` takes them.

    The inputs are those that were recorded by name; else the message was rendered from the task's
    prompt or the student's, which is undone where there is one way to; else the last user message
    is the task's only input. The answer is a recorded object, else the reply's JSON, else the
    arguments of a tool call, else the text where the answer is one field. Raises RefusedRow.
    """
    texts = _inputs(task, said)
    inputs = {name: checked_input(name, texts[name]) for name in task.inputs}
    number = example_id(inputs)
    output: dict[str, Any] = dict(said.fields)
    if said.reply is not None and said.reply.reasoning:
        output["native_reasoning"] = said.reply.reasoning
    if (answer := _answer(task, said)) is not None:
        output["answer"] = answer
        output.pop("error", None)
    elif not output.get("error"):
        output["error"] = "the reply is no JSON object"
    if output.get("error"):
        output["error"] = without_keys(output["error"])[:300]
    checked_json("the row", output, nul=True)
    where = split or split_of(number)
    return Example(id=number, task=task.name, split=where, inputs=inputs), output


def unrendered(template: str, text: str) -> dict[str, str] | None:
    """The values that an f-string template was filled with to give `text`.

    None where it gives no such text, or could in more than one way.
    """
    literals, names = [""], []
    for literal, name, _, _ in string.Formatter().parse(template):
        literals[-1] += literal
        if name is not None:
            names.append(name)
            literals.append("")
    first = _between(literals, text)
    # Cut from the other end, separators are found elsewhere where there is more than one way.
    last = _between([part[::-1] for part in reversed(literals)], text[::-1])
    if first is None or last is None or first != [part[::-1] for part in reversed(last)]:
        return None
    values: dict[str, str] = {}
    for name, value in zip(names, first, strict=True):
        if values.setdefault(name, value) != value:
            return None
    return values


def _between(literals: Sequence[str], text: str) -> list[str] | None:
    """What stands between the literals, each found as early as it can be."""
    first, *inner = literals
    if not text.startswith(first):
        return None
    text = text.removeprefix(first)
    if not inner:
        return None if text else []
    last = inner.pop()
    if not text.endswith(last):
        return None
    text = text.removesuffix(last)
    values = []
    for literal in inner:
        if not literal:
            return None  # two values side by side
        value, found, text = text.partition(literal)
        if not found:
            return None
        values.append(value)
    return [*values, text]


def _inputs(task: Task, said: Said) -> Mapping[str, str]:
    for held in (said.inputs, *said.inputs.values()):
        if isinstance(held, dict) and all(isinstance(held.get(n), str) for n in task.inputs):
            return held
    asked = [message for message in said.messages if message.role != "assistant"]
    prompts = (prompt_words(prompt) for prompt in (task.prompt, task.student_prompt))
    for fit in sorted((_fit(prompt, asked) for prompt in prompts), key=lambda fit: fit[:2]):
        if set(task.inputs) <= set(fit.values):
            return fit.values
    words = [message.text for message in asked if message.role == "user"]
    words += [v for v in said.inputs.values() if isinstance(v, str)] if not words else []
    if len(task.inputs) == 1 and words:
        return {task.inputs[0]: words[-1]}
    names = ", ".join(task.inputs)
    raise RefusedRow(f"its messages were not made by the task's prompt; {names} cannot be told")


class _Fit(NamedTuple):
    """How a prompt fits a talk: the fewer messages are missing and the more words are the same,
    the better."""

    missing: int
    other_words: int
    values: dict[str, str]


def _fit(prompt: Sequence[Mapping[str, str]], asked: Sequence[Message]) -> _Fit:
    """The values of the templates, each undone from the message of its role and place."""
    found: dict[str, str] = {}
    missing = same = 0
    for template, text in _aligned(prompt, asked):
        values = None if text is None else unrendered(template, text)
        if values is None:
            missing += 1
        elif any(found.get(name, value) != value for name, value in values.items()):
            return _Fit(len(prompt), 0, {})
        else:
            found |= values
            same += len(text or "") - sum(map(len, values.values()))
    return _Fit(missing, -same, found)


def _aligned(
    prompt: Sequence[Mapping[str, str]], asked: Sequence[Message]
) -> Iterator[tuple[str, str | None]]:
    """Each template with the message of its role, from the last ones on."""
    for role in ("user", "system"):
        templates = [m["text"] for m in prompt if _ROLES.get(m["role"], m["role"]) == role]
        texts: list[str | None] = [message.text for message in asked if message.role == role]
        texts = [*[None] * len(templates), *texts]
        yield from zip(reversed(templates), reversed(texts), strict=False)


def _answer(task: Task, said: Said) -> dict[str, Any] | None:
    """The answer with its reasoning field, as JSON data."""
    candidates: list[Any] = [said.outputs, *(said.outputs.get(name) for name in _WRAPPERS)]
    if said.reply is not None:
        candidates.append(said.reply.text)
        candidates += [arguments for _, arguments in reversed(said.reply.calls)]
    for candidate in candidates:
        data = _object(candidate)
        if data is not None and set(data) & set(task.schema.model_fields):
            return data
    text = said.reply.text.strip() if said.reply is not None else ""
    if len(task.paths) == 1 and "." not in task.paths[0] and text and _object(text) is None:
        return {task.paths[0]: text}
    return None


def _object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        fenced = _FENCE.fullmatch(value)
        try:
            value = json.loads(fenced[1] if fenced else value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None
