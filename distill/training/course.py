"""One training as it is asked for: lesson, base, recipe, and how this machine carries it out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...chains.student.weights import EMBEDDED, base_folder, base_sha256
from ...chains.task import Target, Task
from ...store.store import Store
from .cards import base_name, base_revision
from .dataset import examples_sha256, rows_sha256
from .hardware import Choice, Hardware, Shape, choose, found, shape_of
from .lesson import Lesson, prepare
from .preflight import TrainingError
from .recipes import Recipe, recipe_of
from .run_folder import LOG_FILE, VALIDATION_FILE, read_lines

# Fields of a recipe that change what it costs, not what is learnt.
_COSTS = {"name", "rows_at_once", "recompute", "checkpoint_minutes", "attention", "precision"}
_COSTS |= {"optimizer"}  # what it came to here is compared, see `chosen`
PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes")


@dataclass(frozen=True, kw_only=True)
class Course:
    """What `train` carries out, checked."""

    task: Task
    lesson: Lesson
    base: str
    target: Target
    seed: int
    recipe: Recipe
    shape: Shape
    choice: Choice

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides what is learnt: the same settings, the same student."""
        recipe = dataclasses.asdict(self.recipe)
        return {
            "task": self.task.name,
            "target": self.target,
            "student_words": self.task.student_words,
            "answers": self.task.answers,
            "base": base_name(self.base),
            "base_revision": base_revision(self.base),
            "base_sha256": base_sha256(self.base),
            "teacher_run": self.lesson.teacher.id,
            "rows": len(self.lesson.taught.rows),
            "rows_sha256": rows_sha256(self.lesson.taught.rows),
            "seed": self.seed,
            **{name: value for name, value in recipe.items() if name not in _COSTS},
            "quantisation": self.choice.quantisation,
            "lesson": dict(self.lesson.settings),
        }

    @property
    def chosen(self) -> dict[str, Any]:
        """How this machine computes it: another machine's would go on otherwise than it began."""
        choice = self.choice
        return {name: getattr(choice, name) for name in ("precision", "optimizer", "device")}

    @property
    def serving(self) -> dict[str, Any]:
        """What the card must say before the training has ended: how the weights are loaded."""
        return {
            "adapter": self.recipe.adapter,
            "quantisation": self.choice.quantisation,
            "quantised": self.choice.quantisation != "none",
            "base_sha256": base_sha256(self.base),
        }


def set_course(
    task: Task,
    store: Store,
    *,
    base: str = EMBEDDED,
    target: Target = "label",
    teacher_run: str | None = None,
    recipe: str | Path | Recipe | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    limit: int | None = None,
    hardware: Hardware | None = None,
    **rows: Any,
) -> Course:
    """The training that these options mean; loads no weights. Raises TrainingError, StudentError.

    `changes` are fields of the recipe; `hardware` None is this machine; `rows` go to `prepare`.
    """
    if not 0 <= seed < 2**32:
        raise TrainingError(f"seed is {seed}: it must be from 0 to 4294967295")
    shape = shape_of(base_folder(base))
    followed = recipe_of(recipe, parameters=shape.parameters, changes=changes)
    lesson = prepare(
        task,
        store,
        base=base,
        target=target,
        teacher_run=teacher_run,
        limit=limit,
        target_modules=followed.adapted,
        **rows,
    )
    choice = choose(hardware or found(), followed, shape=shape, longest=lesson.preflight.longest)
    return Course(
        task=task,
        lesson=lesson,
        base=base,
        target=target,
        seed=seed,
        recipe=followed,
        shape=shape,
        choice=choice,
    )


def facts_of(course: Course, folder: Path, best_step: int | None) -> dict[str, Any]:
    """What the card tells of a training: everything that a reader needs to judge or repeat it."""
    lesson, lines = course.lesson, read_lines(folder / LOG_FILE)
    checks = read_lines(folder / VALIDATION_FILE)
    first, last = lines[0], lines[-1]
    return {
        **course.settings,
        **course.serving,
        **lesson.facts,
        "recipe": course.recipe.name,
        "rows_at_once": course.recipe.at_once,
        "teacher_model": lesson.teacher.model,
        "left_out": dict(lesson.taught.left_out),
        "unseen": {path: list(classes) for path, classes in lesson.preflight.unseen.items()},
        "examples_sha256": examples_sha256(lesson.taught.rows),
        "steps": last["step"],
        "tokens_per_epoch": lesson.preflight.tokens,
        "completion_tokens_per_epoch": lesson.preflight.completion_tokens,
        "longest_row": lesson.preflight.longest,
        "first_loss": first["loss"],
        "last_loss": last["loss"],
        "validation_losses": [check["loss"] for check in checks],
        "validation_agreements": [check["agreement"] for check in checks],
        "best_step": best_step,
        "validation_rows": len(lesson.validation),
        "seconds": last["seconds"],
        "cpu_seconds": last["cpu_seconds"],
        "device": course.choice.name,
        "precision": course.choice.precision,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The libraries that a training's figures depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}
