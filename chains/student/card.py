"""The student's card: what a run folder says, as data, about what its adapter has learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..task import Target, Task

CARD_FILE = "understudy.json"
CARD_FORMAT = 1


class StudentError(Exception):
    """A student, or its folder, that cannot serve: what, which one, what to do."""


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
