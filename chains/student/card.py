"""The student's card: what a run folder says, as data, about what its adapter has learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Union

from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.json_schema import dereference_refs
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from ..shape import closed_schema
from ..task import Target, Task, fingerprint

CARD_FILE = "understudy.json"
CARD_FORMAT = 1


class StudentError(Exception):
    """A student, or its folder, that cannot serve: what, which one, what to do."""


class StudentTimeout(StudentError, TimeoutError):
    """A student that had not answered when the time it was given was over."""


class StudentCard(BaseModel):
    """What serving needs beside the weights. Loading it executes nothing.

    `base` is "embedded", a hub id or a folder; `base_sha256` that of its safetensors files.
    `words` and `answers` are the task's `student_words` and `answers` fingerprints at training
    time; `prompt` and `answer_schema` are those words and that schema themselves. `training` holds
    the facts: rows, epochs, seed, learning rate, losses, seconds, versions.
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
                    f"{task.name} has {theirs}; train it again or load the task it was trained on"
                )

    def read_as(self, schema: dict[str, Any] | type) -> dict[str, Any] | type:
        """What this student's answers are read as where somebody asks for `schema`.

        `schema` itself where it has the shape that was learnt, whatever it is titled. A student
        that learnt labels only, asked for its task's own class, gives that class with the reasoning
        None. Raises StudentError, which names both, for any other schema.
        """
        asked = _closed(schema)
        if _shape(asked) == _shape(self.answer_schema):
            return schema
        unlearnt = _fields(asked) - _fields(self.answer_schema)
        own = fingerprint(json.dumps(asked)) == self.answers
        if own and _is_model(schema) and len(unlearnt) == 1:
            return _silent(schema, unlearnt.pop())
        raise StudentError(
            f"student {self.name} learnt to answer task {self.task} as "
            f"{_described(self.answer_schema)}, not as {_described(asked)}; use "
            f"answer_chain(task, student), or ask for the answer_schema in its {CARD_FILE}"
        )


def _is_model(schema: Any) -> bool:
    return isinstance(schema, type) and issubclass(schema, BaseModel)


def _closed(schema: Any) -> dict[str, Any]:
    """The JSON schema asked for, as a Task writes its own."""
    model = _is_model(schema)
    asked = schema.model_json_schema() if model else convert_to_json_schema(schema)
    closed: dict[str, Any] = closed_schema(asked)
    return closed


def _shape(schema: dict[str, Any]) -> Any:
    """What a schema allows: references filled in, titles and descriptions left out."""
    return _bare(dereference_refs(schema))


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


def _silent(model: Any, reasoning: str) -> type[BaseModel]:
    """The user's own class with a reasoning that may be None."""
    optional: Any = (Union[model.model_fields[reasoning].annotation, None], None)  # noqa: UP007
    silent: type[BaseModel] = create_model(model.__name__, __base__=model, **{reasoning: optional})
    return silent


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
