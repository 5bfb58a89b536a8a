"""A run folder while it is trained: whose it is, where to go on from, and what went wrong."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..chains.student.card import CARD_FILE
from .preflight import TrainingError

SETTINGS_FILE = "settings.json"
LOG_FILE = "training_log.jsonl"
CHECKPOINTS = "checkpoints"
COMPLETE = "complete"  # the mark in a checkpoint that was written to its end


def claim(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the folder holds this very student, finished; makes it ready otherwise.

    The card is written last, so a folder without one is unfinished. Raises TrainingError for a
    folder that holds anything else: nobody's work is written over.
    """
    path, part = folder / SETTINGS_FILE, folder / f"{SETTINGS_FILE}.part"
    folder.mkdir(parents=True, exist_ok=True)
    finished = (folder / CARD_FILE).is_file()
    if not path.is_file() and any(entry != part for entry in folder.iterdir()):
        raise TrainingError(f"{folder} is not empty and not a run folder; give a new one as out")
    if finished or last_checkpoint(folder):
        _refuse_another(folder, settings)
    else:
        part.write_text(json.dumps(settings, indent=2), encoding="utf-8")
        part.replace(path)
    return finished


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; those that were not are deleted."""
    whole: dict[int, Path] = {}
    for checkpoint in (folder / CHECKPOINTS).glob("checkpoint-*"):
        if (checkpoint / COMPLETE).is_file():
            whole[_step(checkpoint)] = checkpoint
        else:
            shutil.rmtree(checkpoint)
    return whole[max(whole)] if whole else None


def rewind_log(folder: Path, checkpoint: Path | None) -> dict[str, float]:
    """Drop the log's lines after the checkpoint; returns the seconds spent until there."""
    path = folder / LOG_FILE
    kept: list[str] = []
    if checkpoint and path.is_file():
        kept = path.read_text(encoding="utf-8").splitlines()[: _step(checkpoint)]
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    if not kept:
        return {}
    last = json.loads(kept[-1])
    return {name: last[name] for name in ("seconds", "cpu_seconds")}


@contextlib.contextmanager
def failures_told(folder: Path) -> Iterator[None]:
    """A full disk, a folder that cannot be written and too little memory, each as one line."""
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from error
    except SafetensorError as error:
        raise _unwritable(folder, str(error)) from error
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if "PytorchStreamWriter" in text or "unexpected pos" in text:
            raise _unwritable(folder, "a checkpoint could not be written whole") from error
        if isinstance(error, MemoryError) or "memory" in text:
            raise TrainingError(
                f"out of memory: {text.splitlines()[0][:120] if text else 'MemoryError'}; give a "
                "smaller batch size or a smaller base"
            ) from error
        raise


def _refuse_another(folder: Path, settings: Mapping[str, Any]) -> None:
    try:
        found = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainingError(
            f"{folder / SETTINGS_FILE} is damaged; delete {folder} or give another out"
        ) from error
    for name, wanted in settings.items():
        if found.get(name) != wanted:
            raise TrainingError(
                f"{folder} holds a student with {name} {found.get(name)}, not {wanted}; give "
                "another out, or delete that folder"
            )


def _unwritable(folder: Path, why: str) -> TrainingError:
    return TrainingError(
        f"{folder} cannot be written: {why}; free space or give another folder, then run again: it "
        "goes on from the last checkpoint"
    )


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[-1])
