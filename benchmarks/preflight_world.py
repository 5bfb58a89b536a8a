"""Sound rows of a small task, and the ways into the checks: what benchmarks.preflight spoils."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field

from understudy.chains.student.weights import load_tokenizer
from understudy.chains.task import Target, Task
from understudy.distill.recorded import record_labels
from understudy.distill.training.dataset import TrainingRow, tokenised, training_rows
from understudy.distill.training.lesson import prepare
from understudy.distill.training.preflight import preflight
from understudy.store import Example, Record, Store, example_id

from .preflight_tokenizers import trained_tokenizer, write_base

MOODS = ("Alegria", "Aflição", "Neutro")
PLANTED = 5  # the row with the fault
ROWS = 12


class Note(BaseModel):
    """How a note sounds."""

    reason: str = Field(max_length=200)
    mood: Literal["Alegria", "Aflição", "Neutro"]
    urgent: bool


class Bounded(BaseModel):
    """A note whose reason the schema bounds for the grammar alone."""

    reason: str = Field(json_schema_extra={"maxLength": 30})
    mood: Literal["Alegria", "Aflição", "Neutro"]
    urgent: bool


def task_of(schema: type[BaseModel] = Note) -> Task:
    """The task of the notes; its student's prompt has a system message."""
    said = [("system", "Diga como soa o recado."), ("human", "Recado: {note}")]
    prompt = ChatPromptTemplate.from_messages(said)
    return Task(
        name="notes", schema=schema, reasoning="reason", prompt=prompt, student_prompt=prompt
    )


def pairs_of(**changes: Any) -> list[tuple[Example, dict[str, Any]]]:
    """The notes with what was recorded of them; `changes` are the planted row's."""
    pairs = []
    for i in range(ROWS):
        mood = MOODS[i % 3]
        told = {"mood": mood, "urgent": i % 2 == 0}
        row = {"note": f"O recado {i} é de {mood}, não é?", "reason": f"há {mood}", "answer": told}
        row |= changes if i == PLANTED else {}
        inputs = {"note": row["note"]}
        example = Example(
            id=example_id(inputs),
            task="notes",
            split="train",
            inputs=inputs,
            group=row.get("group"),
        )
        pairs.append((example, {"answer": row["answer"], "reasoning": row["reason"]}))
    return pairs


class World:
    """Bases made once, and the two ways into the checks."""

    def __init__(self, folder: Path) -> None:
        texts = [f"{e.inputs['note']} {o['reasoning']} {o['answer']}" for e, o in pairs_of()] * 4
        self.texts = [*texts, '{"reason":"há","mood":"Neutro","urgent":true}'] * 2
        self.folder = folder
        self.plain = self.base("plain", self.tokenizer("byte-level BPE"))

    def tokenizer(self, kind: str) -> Any:
        return trained_tokenizer(kind, self.texts, size=700)

    def base(self, name: str, tokenizer: Any, **shape: Any) -> str:
        folder = self.folder / name
        return str(folder if folder.is_dir() else write_base(folder, tokenizer, **shape))

    def with_template(self, name: str, template: str) -> str:
        """The plain base with another chat template."""
        tokenizer = copy.deepcopy(load_tokenizer(Path(self.plain), "plain"))
        tokenizer.chat_template = template
        return self.base(name, tokenizer)

    def prepared(
        self,
        *,
        base: str | None = None,
        target: Target = "label_reason",
        schema: type[BaseModel] = Note,
        row: Mapping[str, Any] | None = None,
        beside: Example | None = None,
        **options: Any,
    ) -> None:
        """`prepare` over the notes, as a training would."""
        task = task_of(schema)
        with Store(":memory:") as store:
            record_labels(task, store, pairs_of(**dict(row or {})), model="wise")
            if beside is not None:
                store.add_examples([beside])
            prepare(task, store, base=base or self.plain, target=target, **options)

    def encoded(
        self,
        change: Callable[[list[dict[str, Any]], Any], None],
        *,
        target: Target = "label_reason",
        row: Mapping[str, Any] | None = None,
        rows: Callable[[list[TrainingRow]], list[TrainingRow]] = lambda rows: rows,
    ) -> None:
        """`preflight` over rows whose ids `change` has spoilt."""
        task = task_of()
        tokenizer = load_tokenizer(Path(self.plain), "plain")
        pairs = [
            (example, Record(run="r", example=example.id, created="now", **told))
            for example, told in pairs_of(**dict(row or {}))
        ]
        taught = rows(list(training_rows(task, pairs, target=target).rows))
        ids = tokenised(tokenizer, taught)
        change(ids, tokenizer)
        preflight(task, tokenizer, taught, ids, target=target, context=4096)
