"""The Task: every word said to a model, the answer's schema, and how two answers compare."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias, Union

from langchain_core.messages import BaseMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo

from .comparison import COMPARATORS, default_comparator
from .shape import classes_of, closed_schema, leaf_fields, plain_type

# What a student learns. Only reason_label writes the reasoning when it serves: label_reason learns
# it after the label's end, multitask as a second task (distilling step by step, arXiv 2305.02301).
Target: TypeAlias = Literal["label", "reason_label", "label_reason", "multitask"]
TARGETS: tuple[Target, ...] = ("label", "reason_label", "label_reason", "multitask")


class TaskError(Exception):
    """A task, or data that does not fit it: what, which one, what to do."""


class NoMoreCalls(Exception):
    """A model that takes no more calls, from any row: a strategy passes it on, whatever it does
    about a call that failed."""


@dataclass(frozen=True)
class Thought:
    """What a chain answers: the reasoning (None where none was asked for) and the answer.

    `answer` is an instance of the task's schema. `confidence` maps an answer path such as
    `f1.emocao` to the probability the student gave the value it chose, or to its share of the votes
    where several answers were counted; None for other models. `votes` counts, per answer path, what
    the answers said, as JSON text. `details` is JSON data on how the answer came about.
    """

    reasoning: str | None
    answer: BaseModel
    confidence: Mapping[str, float] | None = None
    votes: Mapping[str, Mapping[str, int]] | None = None
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """One definition of what is asked: schema, the teacher's prompt, the student's prompt.

    `reasoning` names the schema's string field that holds the rationale. `comparators` maps an
    answer path to a name in `comparison.COMPARATORS` where the default for its type is not wanted.
    `aliases` maps a label as other people write it to the schema's, `columns` a column of
    somebody's file to an input or answer path; `cue` is a pattern whose first group is the evidence
    that a reasoning cites from the input; `splits` says in a sentence what a held-out split is, for
    the report.
    """

    name: str
    schema: type[BaseModel]
    prompt: ChatPromptTemplate
    student_prompt: ChatPromptTemplate = None  # type: ignore[assignment] # see __post_init__
    reasoning: str | None = None
    comparators: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    cue: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.student_prompt is None:
            object.__setattr__(self, "student_prompt", _plain_student_prompt(self))
        _check_prompts(self)
        if self.reasoning is not None and self.reasoning not in self.schema.model_fields:
            raise TaskError(
                f"task {self.name}: the schema {self.schema.__name__} has no field "
                f"{self.reasoning!r}; name its reasoning field in Task(reasoning=...)"
            )
        for path, info in leaf_fields(self.schema).items():
            if info.alias or info.validation_alias or info.serialization_alias:
                raise TaskError(
                    f"task {self.name}: the field {path} has an alias; name the field as it is "
                    "written in the answer"
                )
        for path, name in self.comparators.items():
            if path not in self.paths or name not in COMPARATORS:
                raise TaskError(
                    f"task {self.name}: comparator {name!r} for {path!r} is unknown; "
                    f"paths: {', '.join(self.paths)}; comparators: {', '.join(COMPARATORS)}"
                )

    @classmethod
    def from_chain(cls, chain: Any, **options: Any) -> Task:
        """The task that an app's `prompt | model | parser` asks; see `from_chain.app_chain`."""
        from .from_chain import task_from_chain

        return task_from_chain(chain, **options)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The variables of the teacher's prompt, sorted: the columns that a data file must have."""
        return tuple(sorted(self.prompt.input_variables))

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Every leaf of the answer as a dotted path, in schema order, without the reasoning."""
        return tuple(self._leaves)

    @cached_property
    def labels(self) -> Mapping[str, tuple[Any, ...]]:
        """The categorical paths and their classes, as the JSON values they are written as."""
        classes = {path: classes_of(info.annotation) for path, info in self._leaves.items()}
        return {path: values for path, values in classes.items() if values}

    @cached_property
    def parts(self) -> Mapping[str, tuple[str, ...]]:
        """The paths under each top-level object of the answer; loose fields are one part, ''."""
        parts: dict[str, tuple[str, ...]] = {}
        for path in self.paths:
            head = path.split(".")[0] if "." in path else ""
            parts[head] = (*parts.get(head, ()), path)
        return parts

    def comparator(self, path: str) -> Callable[[Any, Any], float]:
        """How the values at `path` compare: (expected, given) -> 0.0 to 1.0."""
        name = self.comparators.get(path) or default_comparator(
            plain_type(self._leaves[path].annotation)
        )
        return COMPARATORS[name]

    def json_schema(self, target: Target) -> dict[str, Any]:
        """The JSON schema of what `target` serves: closed; a reasoning for reason_label alone."""
        schema: dict[str, Any] = closed_schema(self.schema.model_json_schema())
        if target != "reason_label" and self.reasoning:
            schema["properties"].pop(self.reasoning)
            schema["required"] = [n for n in schema.get("required", []) if n != self.reasoning]
        return schema

    def thought(
        self, data: Mapping[str, Any], *, confidence: Mapping[str, float] | None = None
    ) -> Thought:
        """Validate JSON data into a Thought; the reasoning may be absent.

        Raises TaskError with one line that names the first thing that does not fit.
        """
        try:
            reasons = isinstance(data, Mapping) and self.reasoning in data
            model = self.answer_model(reasons)
            # As JSON: a strict schema then takes a date or a class as it is written there.
            answer = model.model_validate_json(json.dumps(data))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"]) or "answer"
            what = " ".join(first["msg"].split())
            raise TaskError(f"{where}: {what} (got {str(first.get('input'))[:80]!r})") from error
        reasoning = getattr(answer, self.reasoning) if self.reasoning else None
        return Thought(reasoning=reasoning, answer=answer, confidence=confidence)

    def answer_json(self, answer: BaseModel) -> dict[str, Any]:
        """The answer as JSON data without the reasoning field: what is stored and compared."""
        return answer.model_dump(mode="json", exclude={self.reasoning} if self.reasoning else None)

    def completion(
        self, answer: Mapping[str, Any], *, reasoning: str | None = None, target: Target
    ) -> str:
        """The exact text a student is trained to answer with when it serves: compact JSON.

        Raises TaskError when the answer does not fit the schema or `reason_label` has no reasoning.
        """
        data = dict(answer)
        if target == "reason_label" and self.reasoning:
            if not reasoning:
                raise TaskError("this answer has no reasoning, and reason_label teaches it")
            data[self.reasoning] = reasoning
        dumped = self.thought(data).answer.model_dump(mode="json")
        if target != "reason_label" and self.reasoning:
            dumped.pop(self.reasoning)
        return compact_json(dumped)

    @cached_property
    def teacher_words(self) -> str:
        """Fingerprint of what the teacher is told: what was bought."""
        return fingerprint(_words(self.prompt))

    @cached_property
    def student_words(self) -> str:
        """Fingerprint of what the student is told: what an adapter serves."""
        return fingerprint(_words(self.student_prompt))

    @cached_property
    def answers(self) -> str:
        """Fingerprint of the schema: what the answers mean, in the order they are written."""
        return fingerprint(json.dumps(self.json_schema("reason_label")))

    @cached_property
    def _leaves(self) -> dict[str, FieldInfo]:
        skip = {self.reasoning} if self.reasoning else set()
        return leaf_fields(self.schema, skip=skip)

    def answer_model(self, reasons: bool) -> type[BaseModel]:
        """The schema's class; without `reasons` one of its own kind whose reasoning may lack."""
        if reasons or not self.reasoning:
            return self.schema
        return self._silent_schema

    @cached_property
    def _silent_schema(self) -> type[BaseModel]:
        """The schema with an optional reasoning: still an instance of the user's own class."""
        assert self.reasoning is not None
        annotation = self.schema.model_fields[self.reasoning].annotation
        name = self.schema.__name__
        optional: Any = (Union[annotation, None], None)  # noqa: UP007 - built at run time
        return create_model(name, __base__=self.schema, **{self.reasoning: optional})


def value_at(answer: Mapping[str, Any] | None, path: str) -> Any:
    """The value at a dotted path of a JSON answer, None where it is not there."""
    value: Any = answer
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def compact_json(data: Any) -> str:
    """The JSON that a student writes. DEL is escaped: llguidance's grammars want it so."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("\x7f", "\\u007f")


def fingerprint(data: Any) -> str:
    """16 hex digits of SHA-256 over canonical JSON: equal data, equal fingerprint."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain_student_prompt(task: Task) -> ChatPromptTemplate:
    fields = "\n".join(f"{name}: {{{name}}}" for name in sorted(task.prompt.input_variables))
    return ChatPromptTemplate.from_messages([("human", f"Task {task.name}.\n{fields}")])


def _check_prompts(task: Task) -> None:
    extra = set(task.student_prompt.input_variables) - set(task.prompt.input_variables)
    if extra:
        raise TaskError(
            f"task {task.name}: the student's prompt asks for {', '.join(sorted(extra))}, "
            "which the teacher's prompt does not have"
        )
    for prompt in (task.prompt, task.student_prompt):
        if filled := ", ".join(sorted(prompt.partial_variables)):
            raise TaskError(
                f"task {task.name}: a prompt fills in {filled} by itself; "
                "write the words into the template"
            )
        for message in _words(prompt):
            if message["format"] != "f-string":
                raise TaskError(
                    f"task {task.name}: a {message['format']} template; "
                    "only f-string templates are data, write {name}"
                )


def _words(prompt: ChatPromptTemplate) -> list[dict[str, str]]:
    """The prompt as data: role, template text and template format of every message."""
    words = []
    for message in prompt.messages:
        template = getattr(message, "prompt", None)
        if template is not None and hasattr(template, "template"):
            role = getattr(message, "role", None) or _role_of(message)
            words.append(
                {"role": role, "text": template.template, "format": template.template_format}
            )
        elif isinstance(message, BaseMessage) and isinstance(message.content, str):
            text = message.content.replace("{", "{{").replace("}", "}}")  # as a template says it
            role = getattr(message, "role", None) or message.type
            words.append({"role": role, "text": text, "format": "f-string"})
        else:
            raise TaskError(f"a {type(message).__name__} in a prompt; use text messages only")
    return words


def _role_of(template: Any) -> str:
    return type(template).__name__.removesuffix("MessagePromptTemplate").lower()


def prompt_words(prompt: ChatPromptTemplate) -> list[dict[str, str]]:
    """The prompt as plain data (role, text), as it is kept beside an adapter."""
    return [{"role": m["role"], "text": m["text"]} for m in _words(prompt)]
