"""What `benchmarks.train` needs: rows, our recipe, students taught for the same CPU time."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.train_notebook import ACCUMULATION, BATCH, notebook_model, notebook_trainer
from understudy.chains.answer import answer_chain
from understudy.chains.student import load_student, write_card
from understudy.chains.student.weights import base_folder, base_sha256, load_tokenizer
from understudy.chains.teachers import load_teacher
from understudy.distill.labelling.label import label
from understudy.distill.training.cards import student_card
from understudy.distill.training.hardware import Choice, choose, found, shape_of
from understudy.distill.training.lesson import Lesson
from understudy.distill.training.qlora import build_trainer, load_for_training, quiet
from understudy.distill.training.recipes import Recipe, recipe_of
from understudy.examples.news.generate import NewsRow
from understudy.examples.news.task import task
from understudy.store import Example, Store, example_id

REFERENCE = "understudy.examples.news.task:task"
NOTEBOOK_STEP = BATCH * ACCUMULATION


def labelled(store: Store, rows: Sequence[NewsRow]) -> None:
    """The rows in the store, answered by the embedded teacher."""
    for row in rows:
        inputs = {"f1": row.f1, "f2": row.f2, "f3": row.f3}
        example = Example(
            id=example_id(inputs), task=task.name, split=row.split, inputs=inputs, gold=row.gold
        )
        store.add_examples([example])
    label(task, load_teacher("offline", task=REFERENCE), store)


def ours(base: str, lesson_longest: int) -> tuple[Recipe, Choice]:
    """The recipe that `understudy train` takes for this base, and what it is on this machine."""
    shape = shape_of(base_folder(base))
    recipe = recipe_of(None, parameters=shape.parameters)
    return recipe, choose(found(), recipe, shape=shape, longest=lesson_longest)


def cpu_seconds(act: Callable[[], Any]) -> float:
    """Seconds of all threads of this process."""
    start = time.process_time()
    with quiet():
        act()
    return time.process_time() - start


def learnt(
    lesson: Lesson, arm: str, seconds: float, rates: Mapping[str, float], seed: int, out: Path
) -> float:
    """Teach one arm's student for so many CPU-seconds; returns those it took."""
    import transformers

    per_row = sum(sum(row["completion_mask"]) for row in lesson.encoded) / len(lesson.encoded)
    rows = max(NOTEBOOK_STEP, int(seconds * rates[arm] / per_row))
    transformers.set_seed(seed)
    with quiet():
        if arm == "ours":
            recipe, choice = ours("embedded", lesson.preflight.longest)
            recipe = dataclasses.replace(recipe, epochs=rows / len(lesson.encoded))
            model, tokenizer = load_for_training("embedded", recipe, choice)
            trainer = build_trainer(
                model,
                tokenizer,
                lesson.encoded,
                recipe=recipe,
                choice=choice,
                checkpoints=out / "checkpoints",
                seed=seed,
            )
        else:
            folder = base_folder("embedded")
            tokenizer = load_tokenizer(folder, "embedded")
            dtype = arm.removeprefix("notebook ")
            trainer = notebook_trainer(
                notebook_model(folder, dtype=dtype),
                tokenizer,
                lesson.encoded,
                folder=out / "checkpoints",
                dtype=dtype,
                steps=rows // NOTEBOOK_STEP,
                seed=seed,
            )
        trainer.add_callback(_until(seconds))
    spent = cpu_seconds(trainer.train)
    trainer.model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    facts = {"quantised": True, "base_sha256": base_sha256("embedded")}
    write_card(out, student_card(task, out, base="embedded", target="label", training=facts))
    return spent


def _until(seconds: float) -> Any:
    from transformers import TrainerCallback

    class Until(TrainerCallback):
        """Ends the training at so many CPU-seconds."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.end = time.process_time() + seconds

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if time.process_time() > self.end:
                control.should_training_stop = True

    return Until()


def exact(folder: Path, rows: Sequence[NewsRow]) -> float:
    """The share of rows with all labels right."""
    student = load_student(folder)
    inputs = [{"f1": row.f1, "f2": row.f2, "f3": row.f3} for row in rows]
    thoughts = answer_chain(task, student).batch(inputs)
    student.close()
    right = [
        task.answer_json(thought.answer) == row.gold
        for thought, row in zip(thoughts, rows, strict=True)
    ]
    return sum(right) / len(right)


def accuracies(
    lesson: Lesson,
    held_out: Sequence[NewsRow],
    rates: Mapping[str, float],
    sizes: Mapping[str, Any],
) -> dict[str, list[float]]:
    """Exact accuracy of both recipes after the same CPU time, by seed."""
    faster = max(("notebook bfloat16", "notebook float32"), key=lambda name: rates[name])
    found_exact: dict[str, list[float]] = {faster: [], "ours": []}
    for seed in range(sizes["seeds"]):
        for arm, scores in found_exact.items():
            with tempfile.TemporaryDirectory() as out:
                spent = learnt(lesson, arm, sizes["seconds"], rates, seed, Path(out))
                scores.append(exact(Path(out), held_out))
            print(f"  seed {seed}  {arm:18} {spent:6.1f} CPU-s  exact {scores[-1]:.3f}", flush=True)
    return {"notebook": found_exact[faster], "ours": found_exact["ours"]}
