"""What a training is about to teach: the rows a teacher left, as token ids, checked.

`Lesson.settings` belong to what decides the student, `Lesson.facts` into the card. Where the rows
of `encoded` hold `loss_weights`, the trainer's class is `weighting.weighted(SFTTrainer)`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...chains.student.rendering import completion_ids, prompt_ids
from ...chains.student.weights import EMBEDDED, base_folder, load_tokenizer
from ...chains.task import TARGETS, Target, Task
from ...store.rows import Example, Record, Run
from ...store.store import Store
from ..runs import is_repeat
from .blocks import ALL_LINEAR, check_adapters
from .dataset import EXPLAINED, Encoded, TrainingRows, lesson_rows, rationale_text, tokenised
from .leaks import check_leaks
from .preflight import Preflight, TrainingError, preflight
from .selection import Length, Selection

logger = logging.getLogger(__name__)
VALIDATION_ROWS = 64


@dataclass(frozen=True)
class Lesson:
    """Everything that is taught, checked: `encoded` are the `sequences` of `taught.rows`.

    `settings` are those that decide what is learnt from these rows; `facts` tell how they were
    chosen.
    """

    teacher: Run
    taught: TrainingRows
    encoded: Sequence[Encoded]
    validation: Sequence[Encoded]
    preflight: Preflight
    settings: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def prepare(
    task: Task,
    store: Store,
    *,
    base: str = EMBEDDED,
    target: Target = "label",
    teacher_run: str | None = None,
    limit: int | None = None,
    selection: Selection | None = None,
    alpha: float = 1.0,
    target_modules: str | Sequence[str] = ALL_LINEAR,
    max_length: int | None = None,
) -> Lesson:
    """The rows that `train` would teach, checked, without loading the base's weights.

    `selection` chooses among the rows that can teach. `alpha` is the weight of a rationale beside
    its label's 1, of the targets that learn it for its own sake. `target_modules` is what the
    recipe gives adapters to, `max_length` the tokens at which it cuts, None where it never does.

    Raises TrainingError as `preflight` does, where a taught row stands in a held-out split too or
    a validation row in one that tests, where a kind of block would get no adapter, and where there
    is no teacher's answer to learn from.
    """
    selection = selection or Selection()
    _check_asked(task, target, limit, selection, alpha)
    teacher = _teacher(task, store, teacher_run)
    folder = base_folder(base)
    tokenizer = load_tokenizer(folder, base)
    options: dict[str, Any] = {"target": target, "end_token": tokenizer.eos_token}
    found = lesson_rows(
        task,
        store,
        teacher.id,
        split="train",
        selection=selection,
        length=_length(task, tokenizer) if selection.longest else None,
        **options,
    )
    checks = lesson_rows(task, store, teacher.id, split="validation", **options)
    taught = TrainingRows(found.rows[:limit], found.left_out)
    if not taught.rows:
        raise TrainingError(
            f"no answer of teacher run {teacher.id} can teach {target}: {_counted(found.left_out)}"
        )
    examples = store.examples(task.name)
    check_leaks(examples, (row.example for row in taught.rows))
    chosen_by = (row.example for row in checks.rows[:VALIDATION_ROWS])
    check_leaks(examples, chosen_by, split="validation")
    check_adapters(folder, target_modules)
    weight = alpha if target in EXPLAINED else None
    encoded = tokenised(tokenizer, taught.rows, alpha=weight)
    checked = preflight(
        task,
        tokenizer,
        taught.rows,
        encoded,
        target=target,
        context=_context(folder),
        max_length=max_length,
    )
    validation = [
        ids
        for ids in tokenised(tokenizer, checks.rows[:VALIDATION_ROWS], alpha=weight)
        if checked.context is None or len(ids["input_ids"]) <= checked.context
    ]
    logger.info(
        "teacher run %s (%s): %d rows, left out: %s",
        teacher.id,
        teacher.model,
        len(taught.rows),
        _counted(found.left_out),
    )
    for path, classes in checked.unseen.items():
        logger.warning("no training row shows %s = %s", path, ", ".join(map(str, classes)))
    settings = {} if weight is None else {"alpha": weight}
    return Lesson(
        teacher, taught, encoded, validation, checked, settings, _chosen(taught, selection)
    )


def _chosen(taught: TrainingRows, selection: Selection) -> dict[str, Any]:
    """How the rows were chosen, for the card."""
    rationales = sum(row.rationale is not None for row in taught.rows)
    return {"selection": selection.facts(), "rationales_apart": rationales}


def _length(task: Task, tokenizer: Any) -> Length:
    """A row's tokens: prompt, answer and reasoning, whatever the target."""

    def length(example: Example, record: Record) -> int:
        messages = task.student_prompt.invoke(example.inputs).to_messages()
        answer = task.completion(record.answer or {}, target="label")
        texts = [answer, rationale_text(task, record.reasoning)] if record.reasoning else [answer]
        written = sum(len(completion_ids(tokenizer, text)) for text in texts)
        return len(prompt_ids(tokenizer, messages)) + written

    return length


def _check_asked(
    task: Task, target: Target, limit: int | None, selection: Selection, alpha: float
) -> None:
    if target not in TARGETS:
        raise TrainingError(f"there is no target {target}; take one of {', '.join(TARGETS)}")
    if target != "label" and not task.reasoning:
        raise TrainingError(f"task {task.name} has no reasoning field; train the target label")
    if limit is not None and limit < 1:
        raise TrainingError(f"limit is {limit}: give at least 1 row, or none for all")
    if selection.rationale_share < 1 and target == "reason_label":
        raise TrainingError(
            "a reason_label student writes a reasoning for every row, so all are taught; "
            f"a rationale_share of {selection.rationale_share:g} goes with label_reason or "
            "multitask"
        )
    if not 0 < alpha < float("inf"):
        raise TrainingError(f"alpha is {alpha}: it must be above 0")


def _counted(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{why} ({rows})" for why, rows in left_out.items()) or "none"


def _teacher(task: Task, store: Store, wanted: str | None) -> Run:
    if wanted is not None:
        run = store.run(wanted)
        if run.task != task.name:
            raise TrainingError(
                f"run {wanted} answered task {run.task}, not {task.name}; give another teacher_run"
            )
        return run
    for run in store.runs(task=task.name, role="teacher"):
        if is_repeat(run):
            continue
        if run.answers == task.answers and store.records(run.id, split="train"):
            return run
    raise TrainingError(
        f"task {task.name}: no teacher has answered its split train under this answer schema; "
        "label it first (understudy distill), or name a teacher_run of an older schema"
    )


def _context(folder: Path) -> int | None:
    """How many tokens the base takes, as its config says."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    length = config.get("max_position_embeddings")
    return int(length) if length else None
