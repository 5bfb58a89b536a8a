"""What the review page shows of a row, and the answer that its person's changes make of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from ...chains.shape import leaf_fields, plain_type
from ...chains.task import Task, TaskError, value_at
from ...store.reviews import answered_example
from ...store.rows import Example, Record, Review, Run, fingerprint
from ...store.store import Store


@dataclass(frozen=True)
class Shown:
    """A row as a person sees it: the example, who answered what, and the answer proposed as gold.

    The proposal is the newest teacher's answer, else the gold, else the newest student's;
    `proposed_by` says which, None where there is none. Answers to another schema do not count.
    """

    example: Example
    teacher: tuple[Run, Record] | None
    student: tuple[Run, Record] | None
    proposed_by: str | None
    proposal: Mapping[str, Any] | None
    reasoning: str | None

    @property
    def run(self) -> str | None:
        """The run whose answer is proposed."""
        by = {"teacher": self.teacher, "student": self.student}.get(self.proposed_by or "")
        return by[0].id if by else None

    @property
    def seen(self) -> str:
        """Equal where the same is proposed: what a decision on this row refers to."""
        return fingerprint([self.proposed_by, self.run, self.proposal, self.reasoning])


def shown_row(task: Task, store: Store, example: str) -> Shown | None:
    """The example with its answers, read from the store; None where the store has it not."""
    found = answered_example(store, task.name, example)
    if found is None:
        return None
    known, every = found
    answers = [(run, record) for run, record in every if run.answers == task.answers]
    teacher, student = _newest(answers, "teacher"), _newest(answers, "student")
    proposals = {
        "teacher": (teacher[1].answer, teacher[1].reasoning) if teacher else (None, None),
        "gold": (known.gold, None),
        "student": (student[1].answer, student[1].reasoning) if student else (None, None),
    }
    by = next((name for name, (answer, _) in proposals.items() if answer is not None), None)
    answer, reasoning = proposals[by] if by else (None, None)
    return Shown(known, teacher, student, by, answer, reasoning if task.reasoning else None)


def row_data(
    task: Task, row: Shown, *, reasons: Sequence[str] = (), draft: Review | None = None
) -> dict[str, Any]:
    """The row as JSON data for the page; `draft` is a review taken back, which it starts from."""
    return {
        "example": row.example.id,
        "split": row.example.split,
        "reasons": list(reasons),
        "seen": row.seen,
        "inputs": [{"name": name, "text": text} for name, text in row.example.inputs.items()],
        "proposed_by": row.proposed_by,
        "teacher": _who(row.teacher),
        "student": _who(row.student),
        "gold_by": (row.example.gold_by or "the data file") if row.example.gold else None,
        "gold_differs": [
            path
            for path, gold in _golds(task, row).items()
            if not _same(gold, value_at(row.proposal, path))
        ],
        "fields": [_field(task, row, path, draft) for path in task.paths],
        "reasons_asked": bool(task.reasoning),
        "reasoning": row.reasoning or "",
        "draft_reasoning": _drafted_reasoning(row, draft) if task.reasoning else None,
        "student_reasoning": row.student[1].reasoning if row.student else None,
    }


def _drafted_reasoning(row: Shown, draft: Review | None) -> str | None:
    """What a decision taken back had made of the reasoning, None where it had left it alone."""
    if draft is None or draft.answer is None:
        return None
    if draft.reasoning is None and draft.answer != row.proposal:
        return None  # it was for the old answer
    return draft.reasoning or ""


def decided_answer(
    task: Task, row: Shown, changes: Mapping[str, Any], *, reasoning: str | None
) -> dict[str, Any]:
    """The proposal with the changes as JSON data that fits the task's schema.

    `changes` maps an answer path to a class, or to the text that was typed for another field.
    Raises TaskError, one line that starts with the path that does not fit.
    """
    values = {path: value_at(row.proposal, path) for path in task.paths}
    for path, value in changes.items():
        if path not in values:
            raise TaskError(f"{path}: the answer has no such field")
        values[path] = _typed(task, path, value)
    if not changes and row.proposal is not None:
        answer: dict[str, Any] = dict(row.proposal)
    else:
        answer = _assembled(task.schema, values, skip=task.reasoning)
    if reasoning and task.reasoning:
        answer[task.reasoning] = reasoning
    fitting = task.answer_json(task.thought(answer).answer)
    try:
        json.dumps(fitting, allow_nan=False)
    except ValueError:
        raise TaskError("answer: a number is infinite or none; give a finite one") from None
    return fitting


def _newest(answers: list[tuple[Run, Record]], role: str) -> tuple[Run, Record] | None:
    """The newest run of this role that has an answer, else the newest that failed."""
    of_role = [(run, record) for run, record in answers if run.role == role]
    good = [(run, record) for run, record in of_role if record.answer is not None]
    return next(iter(good or of_role), None)


def _who(by: tuple[Run, Record] | None) -> dict[str, Any] | None:
    if by is None:
        return None
    run, record = by
    return {"name": run.name, "model": run.model, "error": record.error}


def _field(task: Task, row: Shown, path: str, draft: Review | None) -> dict[str, Any]:
    """One answer path: its choices with who said each, or its text and what others say."""
    value = value_at(row.proposal, path)
    said = _said(task, row, path)
    field: dict[str, Any] = {"path": path, "text": _written(value), "choices": None, "draft": None}
    drafted = value_at(draft.answer, path) if draft and draft.answer else None
    if path not in task.labels:
        field["says"] = [[who, _written(what)] for who, what in said if not _same(what, value)]
        field["draft"] = _written(drafted) if draft and draft.answer else None
        return field
    classes = [*task.labels[path], *([None] if _nullable(task, path) else [])]
    field["choices"] = [
        {
            "value": one,
            "text": "none" if one is None else _written(one),
            "said_by": [who for who, what in said if _same(what, one)] + _votes(row, path, one),
        }
        for one in classes
    ]
    known = row.proposal is not None
    field["chosen"] = _index(classes, value) if known else None
    field["draft"] = _index(classes, drafted) if draft and draft.answer else None
    field["says"] = [[who, _written(what)] for who, what in said if _index(classes, what) is None]
    return field


def _said(task: Task, row: Shown, path: str) -> list[tuple[str, Any]]:
    golds = _golds(task, row)
    said: list[tuple[str, Any]] = []
    for name, by in (("teacher", row.teacher), ("student", row.student)):
        if by and by[1].answer is not None:
            sure = (by[1].confidence or {}).get(path)
            who = name if sure is None else f"{name} {sure:.0%}"
            said.append((who, value_at(by[1].answer, path)))
    if path in golds:
        said.append(("gold", golds[path]))
    return said


def _golds(task: Task, row: Shown) -> dict[str, Any]:
    """The gold by path; a file may say some paths only."""
    values = {path: value_at(row.example.gold, path) for path in task.paths}
    whole = row.example.gold is not None and row.example.gold_by is not None
    return {path: value for path, value in values.items() if whole or value is not None}


def _votes(row: Shown, path: str, value: Any) -> list[str]:
    votes = (row.teacher[1].votes or {}).get(path, {}) if row.teacher else {}
    count = sum(n for text, n in votes.items() if _same(_parsed(text), value))
    return [f"{count} of {sum(votes.values())} votes"] if count else []


def _index(classes: Sequence[Any], value: Any) -> int | None:
    return next((at for at, one in enumerate(classes) if _same(one, value)), None)


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _typed(task: Task, path: str, value: Any) -> Any:
    """A class as it came; for other fields what the text says: itself for a string, else JSON."""
    if path in task.labels:
        return value
    if not isinstance(value, str):
        raise TaskError(f"{path}: give its new value as text")
    if not value.strip() and _nullable(task, path):
        return None
    if plain_type(_leaf(task, path)) is str:
        return value
    return _parsed(value)


def _parsed(text: str) -> Any:
    """JSON, else the text itself, which the schema then takes (a date) or refuses."""
    try:
        return json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError):
        return text


def _leaf(task: Task, path: str) -> Any:
    skip = {task.reasoning} if task.reasoning else set()
    return leaf_fields(task.schema, skip=skip)[path].annotation


def _nullable(task: Task, path: str) -> bool:
    return _takes_none(_leaf(task, path))


def _takes_none(annotation: Any) -> bool:
    return type(None) in get_args(annotation)


def _assembled(
    model: type[BaseModel], values: Mapping[str, Any], *, prefix: str = "", skip: str | None = None
) -> dict[str, Any]:
    """Values by dotted path as the model nests them; an optional part without values is null."""
    answer: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if name == skip:
            continue
        path, inner = f"{prefix}{name}", plain_type(info.annotation)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            answer[name] = values[path]
            continue
        part = _assembled(inner, values, prefix=f"{path}.")
        held = any(v is not None for p, v in values.items() if p.startswith(f"{path}."))
        answer[name] = part if held or not _takes_none(info.annotation) else None
    return answer
