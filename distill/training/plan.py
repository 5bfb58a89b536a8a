"""What a training would take, from a few timed steps: tokens, memory, disk, hours."""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...chains.task import Task
from ...store.store import Store
from ..progress import duration
from .course import Course, set_course
from .fitting import steps_or_advice
from .hardware import found
from .qlora import build_trainer, load_for_training, quiet, steps_of
from .run_folder import failures_told

TIMED = 3  # steps, after one with the longest rows, which shows the memory and warms up
# A forward pass costs about a third of a step's, which goes back as well.
FORWARD = 1 / 3


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What is expected; tokens are those of all epochs without padding, sizes in bytes.

    `step_seconds` is the mean of the timed steps; `seconds` all steps and the validation's loss,
    without loading the base and without the answers that are generated at a validation.
    """

    rows: int
    validation_rows: int
    epochs: float
    steps: int
    batch_size: int
    rows_at_once: int
    longest_row: int
    tokens: int
    completion_tokens: int
    parameters: int
    trained_parameters: int
    memory: int
    memory_of: int
    disk: int
    disk_free: int
    step_seconds: float
    seconds: float
    recipe: str
    hardware: str
    device: str
    generates: bool

    def data(self) -> dict[str, Any]:
        """The plan as JSON data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The plan as a person reads it."""
        share = self.trained_parameters / self.parameters
        short = " (NOT ENOUGH)" if self.disk > self.disk_free else ""
        here = {"cpu": "this CPU", "cuda": "this GPU", "mps": "this Apple GPU"}[self.device]
        generated = ", plus the answers generated at each validation" if self.generates else ""
        return [
            f"recipe {self.recipe}; {self.hardware}",
            f"{self.rows:,} rows ({self.validation_rows:,} for validation), {self.epochs:g} "
            f"epochs, {self.steps:,} steps of {self.batch_size} rows, {self.rows_at_once} at once",
            f"{self.tokens:,} tokens, {self.completion_tokens:,} of them in the loss; the longest "
            f"row has {self.longest_row:,}",
            f"{self.trained_parameters:,} of {self.parameters:,} parameters learn ({share:.1%})",
            f"memory {_size(self.memory)} of {_size(self.memory_of)}, with the longest rows in one "
            "pass",
            f"disk {_size(self.disk)} of {_size(self.disk_free)} free{short}",
            f"{TIMED} steps timed: {self.step_seconds:.3g} s each; about {duration(self.seconds)} "
            f"on {here}{generated}",
        ]


def training_plan(
    task: Task, store: Store, *, out: Path | str = ".", **options: Any
) -> TrainingPlan:
    """Time a few steps of what `train` would do with these `options`; leaves nothing behind.

    `out` says on which disk the run folder is to be. Raises TrainingError and StudentError as
    `train` does, also where the longest rows do not fit into memory: with how many would.
    """
    course = set_course(task, store, **options)
    with tempfile.TemporaryDirectory() as folder, failures_told(Path(folder)), quiet():
        seconds, memory, trained = _timed(course, Path(folder))
    lesson, recipe = course.lesson, course.recipe
    steps = steps_of(len(lesson.encoded), recipe)
    one_step = sum(seconds) / len(seconds)
    checked = recipe.epochs * len(lesson.validation) / recipe.batch_size
    return TrainingPlan(
        rows=len(lesson.encoded),
        validation_rows=len(lesson.validation),
        epochs=recipe.epochs,
        steps=steps,
        batch_size=recipe.batch_size,
        rows_at_once=recipe.at_once,
        longest_row=lesson.preflight.longest,
        tokens=round(lesson.preflight.tokens * recipe.epochs),
        completion_tokens=round(lesson.preflight.completion_tokens * recipe.epochs),
        parameters=course.shape.parameters,
        trained_parameters=trained,
        memory=memory,
        memory_of=found().memory,
        disk=_disk(trained, best=recipe.keep == "best"),
        disk_free=shutil.disk_usage(_existing(Path(out))).free,
        step_seconds=one_step,
        seconds=one_step * (steps + FORWARD * checked),
        recipe=recipe.name,
        hardware=course.choice.line,
        device=course.choice.device,
        generates=recipe.keep == "best" and bool(lesson.validation),
    )


def _timed(course: Course, folder: Path) -> tuple[list[float], int, int]:
    """Seconds of each timed step, peak memory in bytes, how many parameters learn."""
    import transformers

    transformers.set_seed(course.seed)
    model, tokenizer = load_for_training(course.base, course.recipe, course.choice)
    encoded, size = course.lesson.encoded, course.recipe.batch_size
    by_length = sorted(encoded, key=lambda ids: len(ids["input_ids"]))
    drawn = random.Random(course.seed).choices(encoded, k=TIMED * size)
    rows = (by_length * -(-size // len(by_length)))[-size:] + drawn
    stamps: list[float] = []
    trainer = build_trainer(
        model,
        tokenizer,
        rows,
        recipe=course.recipe,
        choice=course.choice,
        checkpoints=folder,
        seed=course.seed,
        watchers=[_clock(stamps.append)],
        steps=1 + TIMED,
    )
    steps_or_advice(trainer, rows, course.recipe.at_once)
    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    seconds = [end - start for start, end in itertools.pairwise(stamps)]
    return seconds, _peak_memory(), trained


def _clock(stamp: Callable[[float], None]) -> Any:
    """A callback that tells when each step has really ended."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            stamp(time.perf_counter())

    return Clock()


def _peak_memory() -> int:
    """Bytes: the GPU's peak, else the most that this process ever held."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    status = Path("/proc/self/status")  # Linux; elsewhere what is held now
    lines = status.read_text(errors="replace").splitlines() if status.is_file() else []
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else int(psutil.Process().memory_info().rss)


def _disk(trained: int, *, best: bool) -> int:
    """Bytes at the most: the student, three checkpoints (one half-written), the best ones.

    A checkpoint holds float32 weights and two moments of each.
    """
    students = 1 + (2 if best else 0)
    return 4 * trained * (students + 3 * 3) + 2**24  # tokenizers and logs: some megabytes


def _existing(path: Path) -> Path:
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
