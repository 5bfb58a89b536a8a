"""What a teacher wrote into the store becomes a run folder with a trained student."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...chains.student.weights import EMBEDDED
from ...chains.task import Target, Task
from ...store.store import Store
from .agreement import Pairs, agreement
from .cards import base_name, remember_training, terms_fact, write_cards
from .course import Course, facts_of, set_course, versions
from .curves import write_curves
from .dataset import lesson_pairs
from .fitting import steps_or_advice
from .lesson import VALIDATION_ROWS, Lesson, prepare
from .parallel import agreed, claimed, gathered, join, leads, sharding_asked, strategy
from .preflight import TrainingError
from .qlora import build_trainer, check_trackers, load_for_training, quiet, tracked
from .recipes import Recipe
from .run_folder import (
    CHECKPOINTS,
    best_of,
    failures_told,
    rewind,
    sound_checkpoint,
    tell,
)
from .watching import (
    NothingLeft,
    Progress,
    Watch,
    make_watcher,
    save_student,
    saving_on_interrupt,
)

__all__ = ["Lesson", "TrainingError", "prepare", "train"]


def train(
    task: Task,
    store: Store,
    *,
    out: Path | str,
    base: str = EMBEDDED,
    target: Target = "label",
    teacher_run: str | None = None,
    recipe: str | Path | Recipe | None = None,
    epochs: float | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    limit: int | None = None,
    changes: Mapping[str, Any] | None = None,
    log_to: Sequence[str] = (),
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
    **options: Any,
) -> Path:
    """Train a student on one teacher run's answers to the split "train"; returns its run folder.

    `teacher_run` None takes the task's newest teacher run that answered anything. `recipe` is a
    preset's name, a TOML file or a Recipe; None takes "tiny" for bases under 20 million parameters,
    else "default"; `epochs`, `learning_rate`, `batch_size` and other fields in `changes` change it.
    `limit` is in rows; `options` choose rows, as `prepare` takes them. The call interrupted and
    made again goes on from the last checkpoint; a finished folder is returned as it is. `log_to`
    names trackers of TRACKERS that are told every step; `announce` is told in one line how this
    hardware is used, and `progress(step, steps, loss, tokens_per_second)` is called after each
    step.

    Raises TrainingError, and StudentError where the base cannot be loaded.
    """
    check_trackers(log_to)
    course = set_course(
        task,
        store,
        base=base,
        target=target,
        teacher_run=teacher_run,
        recipe=recipe,
        changes={
            **(changes or {}),
            **_given(epochs=epochs, learning_rate=learning_rate, batch_size=batch_size),
        },
        seed=seed,
        limit=limit,
        **options,
    )
    if announce and leads():
        announce(course.choice.line)
    folder = Path(out)
    learn(course, store, folder, log_to=log_to, progress=progress, announce=announce)
    if leads():
        remember_training(store, folder, course.settings, course.lesson.taught.rows)
    return folder


def learn(
    course: Course,
    store: Store,
    folder: Path,
    *,
    log_to: Sequence[str] = (),
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
    measure_last: bool = False,
) -> None:
    """Carry the course out into `folder`, which the store does not hear of.

    Under `accelerate launch` every process calls this; only the leading one writes and speaks.

    `measure_last` measures the agreement on the validation rows also where the recipe keeps the
    last adapter.
    """
    join(course.choice.device)
    with failures_told(folder), claimed(folder, course.settings, course.chosen) as finished:
        if finished:
            return
        if leads():
            tell(folder, chosen=course.chosen | {"said": course.choice.line}, versions=versions())
        pairs = _validation_pairs(course, store)
        # Where the model is sharded no process has an adapter to measure until the end.
        measures = bool(pairs) and not sharding_asked()
        measures = measures and (course.recipe.keep == "best" or measure_last)
        watch = Watch(
            folder=folder,
            tokenizer=None,
            progress=progress if leads() else None,
            measure=_measure(course, pairs) if measures else None,
            patience=course.recipe.patience,
            checkpoint_minutes=course.recipe.checkpoint_minutes,
        )
        best_step = _train(course, watch, log_to, announce)
        if not leads():
            return
        facts = facts_of(course, folder, best_step) | terms_fact(store, course.lesson.teacher)
        tell(folder, result={name: facts[name] for name in facts if name not in course.settings})
        write_curves(folder)
        write_cards(course.task, folder, base=course.base, target=course.target, training=facts)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def _given(**fields: float | None) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _validation_pairs(course: Course, store: Store) -> Pairs:
    teacher = course.lesson.teacher.id
    pairs, _ = lesson_pairs(store, course.task, teacher, split="validation")
    return pairs[:VALIDATION_ROWS]


def _measure(course: Course, pairs: Pairs) -> Any:
    return functools.partial(
        _agreement_in,
        task=course.task,
        pairs=pairs,
        base=course.base,
        target=course.target,
        training=course.serving,
    )


def _agreement_in(folder: Path, *, task: Task, pairs: Pairs, **about: Any) -> float | None:
    return agreement(task, folder, pairs, **about)


def _train(
    course: Course,
    watch: Watch,
    log_to: Sequence[str],
    announce: Callable[[str], None] | None = None,
) -> int | None:
    """Train to the end, save the student, and return the step whose adapter was kept as best."""
    folder, lesson = watch.folder, course.lesson
    checkpoint = agreed(sound_checkpoint(folder) if leads() else None)
    spent = rewind(folder, checkpoint) if leads() else {}
    with quiet(), tracked(folder, log_to):
        import transformers

        transformers.set_seed(course.seed)
        model, tokenizer = load_for_training(course.base, course.recipe, course.choice)
        watcher = make_watcher(dataclasses.replace(watch, tokenizer=tokenizer, spent=spent))
        trainer = build_trainer(
            model,
            tokenizer,
            lesson.encoded,
            recipe=course.recipe,
            choice=course.choice,
            checkpoints=folder / CHECKPOINTS,
            validation=lesson.validation,
            seed=course.seed,
            watchers=[watcher],
            log_to=log_to,
        )
        _say_strategy(strategy(trainer, len(lesson.encoded)), folder, announce)
        if hasattr(trainer.model, "peft_config"):
            adapter = trainer.model.peft_config["default"]
            adapter.base_model_name_or_path = base_name(course.base)
        with saving_on_interrupt(watcher), contextlib.suppress(NothingLeft):
            steps_or_advice(
                trainer,
                lesson.encoded,
                course.recipe.at_once,
                checkpoint=checkpoint,
                folder=folder,
            )
        weights = gathered(trainer)
        return _keep(trainer.model, tokenizer, course, folder, weights) if leads() else None


def _say_strategy(shared: str | None, folder: Path, announce: Callable[[str], None] | None) -> None:
    if leads():
        tell(folder, strategy=shared)
        if announce and shared:
            announce(shared)


def _keep(
    model: Any, tokenizer: Any, course: Course, folder: Path, weights: Any = None
) -> int | None:
    """Put the student into its folder: the best one of the validations, else the last."""
    best = best_of(folder) if course.recipe.keep == "best" else None
    if best is None:
        save_student(model, tokenizer, folder, weights)
        return None
    from ...chains.student.card import CARD_FILE

    for file in sorted(best.iterdir()):
        if file.name not in (CARD_FILE, "README.md"):
            shutil.copyfile(file, folder / file.name)
    return int(best.name.split("-")[-1])
