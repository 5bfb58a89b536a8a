"""Between the steps of a training: its log, its checkpoints, its best adapter, its end."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from .parallel import agreed, leads
from .preflight import TrainingError
from .run_folder import (
    BEST,
    CHECKPOINTS,
    LOG_FILE,
    VALIDATION_FILE,
    best_of,
    mark_complete,
    read_lines,
)

# (step, steps, loss, tokens per second); the last is None before it can be told.
Progress = Callable[[int, int, float, "float | None"], None]
Measure = Callable[[Path], "float | None"]
logger = logging.getLogger(__name__)
WINDOW = 20  # steps: tokens per second are those of so many


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What a watcher is told.

    `spent` are the `seconds` and `cpu_seconds` of the same training before it was interrupted.
    `measure` takes a folder with an adapter and its tokenizer and returns its agreement with the
    teacher; None keeps the last adapter and measures none.
    """

    folder: Path
    tokenizer: Any
    spent: Mapping[str, float] = field(default_factory=dict)
    progress: Progress | None = None
    measure: Measure | None = None
    patience: int | None = None
    checkpoint_minutes: float = math.inf


class NothingLeft(Exception):
    """The checkpoint that a training goes on from was its last; its weights are loaded."""


class Watcher:
    """A trainer's callback that logs every step as a JSON line and stops at NaN.

    A line's `seconds` are wall time, its `cpu_seconds` those of all threads, its `tokens` those of
    prompts and completions without padding, all three since step 0. Checkpoints are marked whole
    once they are on the disk. After each validation the adapter is measured; the best one is kept.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch, self.stopping = watch, False
        self.wall = self.saved = time.monotonic()
        self.processor = time.process_time()
        self.recent: list[tuple[float, int]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.wall = time.monotonic() - self.watch.spent.get("seconds", 0.0)
        self.processor = time.process_time() - self.watch.spent.get("cpu_seconds", 0.0)
        self.saved = time.monotonic()
        self.recent = [(time.monotonic(), int(state.num_input_tokens_seen))]
        # transformers would take one more step, where an epoch was not gone through.
        over = state.global_step >= state.max_steps
        if state.global_step and agreed(
            over or patience_ended(self.watch.folder, self.watch.patience)
        ):
            raise NothingLeft

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs = kwargs.get("logs") or {}
        if "loss" not in logs:
            return
        loss, tokens = logs["loss"], int(state.num_input_tokens_seen)
        line = {
            "step": state.global_step,
            "total": state.max_steps,
            "loss": loss,
            "seconds": round(time.monotonic() - self.wall, 2),
            "cpu_seconds": round(time.process_time() - self.processor, 2),
            "tokens": tokens,
        }
        if leads():
            _append(self.watch.folder / LOG_FILE, line)
        if not math.isfinite(loss):
            shutil.rmtree(args.output_dir, ignore_errors=True)  # nothing to go on from
            raise TrainingError(
                f"the loss is {loss} at step {state.global_step} of {state.max_steps}; give a "
                f"lower learning rate than {args.learning_rate:g}"
            )
        if self.watch.progress:
            self.watch.progress(state.global_step, state.max_steps, loss, self.rate(tokens))

    def rate(self, tokens: int) -> float | None:
        """Tokens per second over the last steps."""
        now = time.monotonic()
        self.recent = [*self.recent[-WINDOW:], (now, tokens)]
        since, before = self.recent[0]
        return (tokens - before) / (now - since) if now > since else None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        due = time.monotonic() - self.saved > 60 * self.watch.checkpoint_minutes
        due, self.stopping = agreed((due, self.stopping))
        if due or self.stopping:
            control.should_save = True

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        loss = (kwargs.get("metrics") or {}).get("eval_loss")
        if leads():
            model, step = kwargs["model"], state.global_step
            right = self.measured(model, step) if self.watch.measure else None
            line = {"step": step, "loss": loss, "agreement": right}
            _append(self.watch.folder / VALIDATION_FILE, line)
        if agreed(patience_ended(self.watch.folder, self.watch.patience)):
            control.should_training_stop = True

    def measured(self, model: Any, step: int) -> float | None:
        """Agreement of the adapter as it is now; it is kept where none before was as good."""
        assert self.watch.measure is not None
        part = self.watch.folder / CHECKPOINTS / f"part-{step}"
        shutil.rmtree(part, ignore_errors=True)
        save_student(model, self.watch.tokenizer, part)
        right = self.watch.measure(part)
        model.train()
        kept = self.watch.folder / CHECKPOINTS / f"{BEST}-{step}"
        shutil.rmtree(kept, ignore_errors=True)
        if right is not None and better(right, self.watch.folder):
            part.replace(kept)
        else:
            shutil.rmtree(part)
        return right

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.saved = time.monotonic()
        agreed(None)  # each process writes its own random state: all must be there
        if leads():
            self.settle(Path(args.output_dir), state.global_step)
        if self.stopping:
            raise KeyboardInterrupt

    def settle(self, checkpoints: Path, step: int) -> None:
        """The checkpoint is whole; of the best students only the one that counts is kept."""
        mark_complete(checkpoints / f"checkpoint-{step}")
        best = best_of(self.watch.folder)
        for other in checkpoints.glob(f"{BEST}-*"):
            if best is not None and other != best:
                shutil.rmtree(other)  # only now: an earlier checkpoint may have needed it


def make_watcher(watch: Watch) -> Any:
    """A Watcher as transformers takes it; that library is not loaded before."""
    from transformers import TrainerCallback

    return type("Watching", (Watcher, TrainerCallback), {})(watch)


@contextlib.contextmanager
def saving_on_interrupt(watcher: Any) -> Iterator[None]:
    """Ctrl-C ends the training after its step, with a checkpoint; a second one ends it at once."""
    mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not mine or threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        if watcher.stopping:
            raise KeyboardInterrupt
        watcher.stopping = True
        logger.warning("stopping after this step; Ctrl-C again stops without its checkpoint")

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def save_student(model: Any, tokenizer: Any, folder: Path, weights: Any = None) -> None:
    """The adapter (all weights, where all were tuned) and the tokenizer, as they are served.

    `weights` are the model's where it does not hold them itself.
    """
    options: dict[str, Any] = {}
    if hasattr(model, "peft_config"):
        options["save_embedding_layers"] = False
    if weights is not None:
        options["state_dict"] = weights
    model.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)


def better(agreed: float, folder: Path) -> bool:
    """Whether no validation before agreed as much: of equals the earlier one is kept."""
    before = [line["agreement"] for line in read_lines(folder / VALIDATION_FILE)]
    return agreed > max((one for one in before if one is not None), default=-1.0)


def patience_ended(folder: Path, patience: int | None) -> bool:
    """Whether the last `patience` validations brought nothing better, as the run folder tells.

    Better is more agreement; where none is measured, less loss.
    """
    lines = read_lines(folder / VALIDATION_FILE)
    measured = all(line["agreement"] is not None for line in lines)
    goods = [
        line["agreement"] if measured else -(math.inf if line["loss"] is None else line["loss"])
        for line in lines
    ]
    if patience is None or len(goods) <= patience:
        return False
    return max(goods[-patience:]) <= max(goods[:-patience])


def _append(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")
