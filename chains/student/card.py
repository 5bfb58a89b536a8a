"""The student's card: what a run folder says, as data, about what its adapter has learnt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.json_schema import dereference_refs
from pydantic import BaseModel, ConfigDict, ValidationError

from ..shape import closed_schema
from ..task import Target, Task, fingerprint

CARD_FILE = "understudy.json"
CARD_FORMAT = 1
_LENGTHS = ("maxLength", "minLength", "pattern", "format", "maxItems", "minItems", "uniqueItems")
_RANGES = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_BOUNDS = frozenset((*_LENGTHS, *_RANGES))


class StudentError(Exception):
    """A student, or its folder, that cannot serve: what, which one, what to do."""


class StudentTimeout(StudentError, TimeoutError):
    """A student that had not answered when the time it was given was over."""


class StudentCard(BaseModel):
    """What serving needs beside the weights. Loading it executes nothing.

    `base` is "embedded", a hub id or a folder; `base_sha256` that of its safetensors files.
    `words` and `answers` are the task's `student_words` and `answers` fingerprints at training
    time; `prompt` and `answer_schema` are those words and that schema themselves;
    `reasoning` names the schema's field for it, also where only labels were learnt. `training`
    holds the facts: rows, epochs, seed, learning rate, losses, seconds, versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = CARD_FORMAT
    name: str
    task: str
    target: Target
    base: str
    base_revision: str | None = None
    base_sha256: str
    words: str
    answers: str
    prompt: list[dict[str, str]]
    answer_schema: dict[str, Any]
    reasoning: str | None = None
    training: dict[str, Any] = {}

    def check(self, task: Task) -> None:
        """Raise StudentError unless this student learnt exactly these words and this schema."""
        for what, mine, theirs in (
            ("student prompt", self.words, task.student_words),
            ("answer schema", self.answers, task.answers),
        ):
            if mine != theirs:
                raise StudentError(
                    f"student {self.name} learnt the {what} {mine} of task {self.task}, but task "
                    f"{task.name} has {theirs}; give it the task that it learnt (swap: task=), or "
                    "train it again"
                )

    def read_as(
        self, schema: Mapping[str, Any] | type, *, reasoning: str | None = None
    ) -> dict[str, str]:
        """What is put into this student's answers where somebody asks for `schema`.

        Nothing where it has the shape that was learnt, whatever it is titled; it may leave out
        bounds, as a TypedDict does. A schema with one
        text more than a student of labels writes (the reasoning, as a rule) is served too: without
        that text where it may be left out, else with `reasoning` in its place. Raises StudentError,
        which names both, for any other schema.
        """
        asked = _closed(schema)
        learnt = _shape(self.answer_schema)
        if _takes(_shape(asked), learnt):
            return {}
        for name in _fields(asked) - _fields(self.answer_schema):
            silent = self.target != "reason_label"
            if silent and _takes(_shape(_without(asked, name)), learnt):
                return self._filled(asked, name, reasoning)
        raise StudentError(
            f"student {self.name} learnt to answer task {self.task} as "
            f"{_described(self.answer_schema)}, not as {_described(asked)}; use "
            f"answer_chain(task, student), or ask for the answer_schema in its {CARD_FILE}"
        )

    def _filled(self, asked: dict[str, Any], name: str, reasoning: str | None) -> dict[str, str]:
        if name not in asked.get("required", ()):
            return {}
        if reasoning is None:
            raise StudentError(
                f"student {self.name} learnt labels only, and {asked.get('title', 'this schema')} "
                f"requires {name}; say with reasoning= what to put there (serve --reasoning), or "
                "train reason_label"
            )
        if not _fits(reasoning, asked["properties"][name]):
            raise StudentError(f"reasoning={reasoning!r} is no text that the field {name} takes")
        return {name: reasoning}


def same_shape(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two schemas allow the same answers, whatever they are titled."""
    return bool(_shape(_closed(one)) == _shape(_closed(other)))


def _is_model(schema: Any) -> bool:
    return isinstance(schema, type) and issubclass(schema, BaseModel)


def _closed(schema: Any) -> dict[str, Any]:
    """The JSON schema asked for, as a Task writes its own."""
    model = _is_model(schema)
    asked: Any = schema
    if not isinstance(schema, Mapping):
        asked = schema.model_json_schema() if model else convert_to_json_schema(schema)
    closed: dict[str, Any] = closed_schema(asked)
    return closed


def _shape(schema: dict[str, Any]) -> Any:
    """What a schema allows: references filled in, titles and descriptions left out."""
    return _bare(dereference_refs(schema))


def _takes(asked: Any, learnt: Any, *, names: bool = False) -> bool:
    """Whether two shapes are the same, but for bounds of what was learnt that nobody asks for.

    `names` says that the keys are those of fields.
    """
    if isinstance(asked, dict) and isinstance(learnt, dict):
        kept = {key for key in learnt if names or key in asked or key not in _BOUNDS}
        return asked.keys() == kept and all(
            _takes(asked[key], learnt[key], names=key == "properties" and not names)
            for key in asked
        )
    if isinstance(asked, list) and isinstance(learnt, list) and len(asked) == len(learnt):
        return all(map(_takes, asked, learnt))
    return bool(asked == learnt)


def _bare(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_bare(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _bare(value)
        for key, value in schema.items()
        # A property may be called title too: that one is a schema, not a text.
        if key != "$defs" and not (key in ("title", "description") and isinstance(value, str))
    }


def _fields(schema: dict[str, Any]) -> set[str]:
    return set(schema.get("properties", ()))


def _described(schema: dict[str, Any]) -> str:
    fields = ", ".join(schema.get("properties", ())) or "no fields"
    return f"{schema.get('title', 'a schema')} {fingerprint(_shape(schema))} ({fields})"


def _without(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """The schema without one of its fields."""
    fields = {key: value for key, value in schema["properties"].items() if key != name}
    required = [key for key in schema.get("required", ()) if key != name]
    return {**schema, "properties": fields, "required": required}


def _fits(text: str, field: dict[str, Any]) -> bool:
    """Whether `text` is a string of the length that the field takes."""
    shortest, longest = field.get("minLength", 0), field.get("maxLength", len(text))
    return field.get("type") == "string" and shortest <= len(text) <= longest


def read_card(folder: Path) -> StudentCard:
    """The card in a run folder. Raises StudentError where there is none or it is not one."""
    path = folder / CARD_FILE
    if not path.is_file():
        raise StudentError(f"{folder} is not a student: it has no {CARD_FILE}; train one first")
    try:
        card = StudentCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StudentError(f"{path} is not a student's card: {error.errors()[0]['msg']}") from error
    if card.format > CARD_FORMAT:
        raise StudentError(f"{path} has format {card.format}; this version reads {CARD_FORMAT}")
    return card


def write_card(folder: Path, card: StudentCard) -> None:
    """Write the card into the run folder, whole or not at all."""
    part = folder / f"{CARD_FILE}.part"
    part.write_text(card.model_dump_json(indent=2), encoding="utf-8")
    part.replace(folder / CARD_FILE)
