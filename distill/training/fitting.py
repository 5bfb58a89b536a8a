"""How many rows fit into memory at once: found by trying, after a training ran out of it."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .dataset import Encoded
from .preflight import TrainingError
from .run_folder import kept, out_of_memory


def steps_or_advice(
    trainer: Any,
    encoded: Sequence[Encoded],
    at_once: int,
    *,
    checkpoint: Path | None = None,
    folder: Path | None = None,
) -> None:
    """Train to the end, from the checkpoint where there is one.

    Raises TrainingError where memory runs out, which says how many rows at once would fit and what
    a training in `folder` goes on from.
    """
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        lacked = error
    else:
        return
    traceback.clear_frames(lacked.__traceback__)  # they hold the tensors that did not fit
    fits = rows_that_fit(trainer, encoded, at_once)
    advice = (
        f"{fits} fit: run again with rows_at_once={fits}, it learns the same"
        if fits
        else "not even one fits: set recompute=true, or take a smaller base"
    )
    so_far = f"; {kept(folder)}" if folder else ""
    raise TrainingError(f"out of memory with {at_once} rows at once; {advice}{so_far}") from lacked


def rows_that_fit(trainer: Any, encoded: Sequence[Encoded], at_once: int) -> int | None:
    """The largest divisor of `at_once` below it with which the longest rows can be learnt.

    One forward and one backward pass are really made with each; nothing is learnt. None where not
    even one row fits.
    """
    by_length = sorted(range(len(encoded)), key=lambda place: len(encoded[place]["input_ids"]))
    for rows in sorted((n for n in range(1, at_once) if at_once % n == 0), reverse=True):
        if _passes(trainer, [trainer.train_dataset[place] for place in by_length[-rows:]]):
            return rows
    return None


def _passes(trainer: Any, rows: Sequence[Any]) -> bool:
    import torch

    trainer.model.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        trainer.model.train()
        trainer.training_step(trainer.model, trainer.data_collator(list(rows)))
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        return False
    finally:
        trainer.model.zero_grad(set_to_none=True)
    return True
