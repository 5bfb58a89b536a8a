"""QLoRA: what a teacher wrote into the store becomes a run folder with a trained adapter."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..chains.student.weights import EMBEDDED, base_folder, base_sha256, load_base
from ..chains.task import Target, Task
from ..store.store import Store
from .cards import base_name, remember_training, terms_fact, write_cards
from .dataset import examples_sha256, rows_sha256
from .lesson import Lesson, prepare
from .preflight import TrainingError
from .qlora import (
    RECIPE,
    Progress,
    Schedule,
    build_trainer,
    default_schedule,
    make_watcher,
    parameter_count,
    quiet,
)
from .run_folder import CHECKPOINTS, LOG_FILE, claim, failures_told, last_checkpoint, rewind_log

__all__ = ["Lesson", "TrainingError", "prepare", "train"]


def train(
    task: Task,
    store: Store,
    *,
    out: Path | str,
    base: str = EMBEDDED,
    target: Target = "label",
    teacher_run: str | None = None,
    epochs: float | None = None,
    learning_rate: float | None = None,
    batch_size: int = 8,
    seed: int = 0,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a student on one teacher run's answers to the split "train"; returns its run folder.

    `teacher_run` None takes the task's newest teacher run that answered anything; `epochs` and
    `learning_rate` None take `default_schedule`; `limit` is in rows. The call interrupted and made
    again goes on from the last epoch's checkpoint; a finished folder is returned as it is.
    `progress(step, steps, loss)` is called after every step.

    Raises TrainingError, and StudentError where the base cannot be loaded.
    """
    folder = Path(out)
    lesson = prepare(task, store, base=base, target=target, teacher_run=teacher_run, limit=limit)
    schedule = _schedule(base, epochs, learning_rate, batch_size=batch_size, seed=seed)
    settings = _settings(task, lesson, schedule, base=base, target=target)
    with failures_told(folder), claim(folder, settings) as finished:
        if not finished:
            state = _learn(folder, lesson, schedule, base=base, progress=progress)
            facts = _facts(settings, lesson, state, folder) | terms_fact(store, lesson.teacher)
            write_cards(task, folder, base=base, target=target, training=facts)
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        remember_training(store, folder, settings, lesson.taught.rows)
    return folder


def _schedule(
    base: str, epochs: float | None, learning_rate: float | None, *, batch_size: int, seed: int
) -> Schedule:
    default_epochs, default_rate = default_schedule(parameter_count(base_folder(base)))
    schedule = Schedule(
        epochs=float(default_epochs if epochs is None else epochs),
        learning_rate=float(default_rate if learning_rate is None else learning_rate),
        batch_size=batch_size,
        seed=seed,
    )
    for name in ("epochs", "learning_rate", "batch_size"):
        if not 0 < getattr(schedule, name) < float("inf"):
            raise TrainingError(f"{name} is {getattr(schedule, name)}: it must be above 0")
    if not 0 <= seed < 2**32:
        raise TrainingError(f"seed is {seed}: it must be from 0 to 4294967295")
    return schedule


def _settings(
    task: Task, lesson: Lesson, schedule: Schedule, *, base: str, target: Target
) -> dict[str, Any]:
    """Everything that decides what is learnt: the same settings, the same student."""
    return {
        "task": task.name,
        "target": target,
        "student_words": task.student_words,
        "answers": task.answers,
        "base_sha256": base_sha256(base),
        "teacher_run": lesson.teacher.id,
        "rows": len(lesson.taught.rows),
        "rows_sha256": rows_sha256(lesson.taught.rows),
        "epochs": schedule.epochs,
        "learning_rate": schedule.learning_rate,
        "batch_size": schedule.batch_size,
        "seed": schedule.seed,
        **RECIPE,
    }


def _learn(
    folder: Path, lesson: Lesson, schedule: Schedule, *, base: str, progress: Progress | None
) -> Any:
    """Train to the end, save adapter and tokenizer, and return the trainer's state."""
    checkpoint = last_checkpoint(folder)
    spent = rewind_log(folder, checkpoint)
    with quiet():
        import transformers

        transformers.set_seed(schedule.seed)
        model, tokenizer = load_base(base)
        trainer = build_trainer(
            model,
            tokenizer,
            lesson.encoded,
            validation=lesson.validation,
            schedule=schedule,
            checkpoints=folder / CHECKPOINTS,
            watcher=make_watcher(folder / LOG_FILE, spent=spent, progress=progress),
        )
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trainer.model.peft_config["default"].base_model_name_or_path = base_name(base)
        trainer.model.save_pretrained(folder, save_embedding_layers=False)
        tokenizer.save_pretrained(folder)
    return trainer.state


def _facts(settings: Mapping[str, Any], lesson: Lesson, state: Any, folder: Path) -> dict[str, Any]:
    """What the card tells of a training: everything that a reader needs to judge or repeat it."""
    lines = (folder / LOG_FILE).read_text(encoding="utf-8").splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    return {
        **settings,
        "quantised": True,
        "teacher_model": lesson.teacher.model,
        "left_out": dict(lesson.taught.left_out),
        "unseen": {path: list(classes) for path, classes in lesson.preflight.unseen.items()},
        "examples_sha256": examples_sha256(lesson.taught.rows),
        "steps": state.global_step,
        "tokens_per_epoch": lesson.preflight.tokens,
        "completion_tokens_per_epoch": lesson.preflight.completion_tokens,
        "longest_row": lesson.preflight.longest,
        "first_loss": first["loss"],
        "last_loss": last["loss"],
        "validation_losses": [h["eval_loss"] for h in state.log_history if "eval_loss" in h],
        "validation_rows": len(lesson.validation),
        "seconds": last["seconds"],
        "cpu_seconds": last["cpu_seconds"],
        "device": _device(),
        **lesson.facts,
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("torch", "transformers", "trl", "peft", "bitsandbytes")
        },
    }


def _device() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
