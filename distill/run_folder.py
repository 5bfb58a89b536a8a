"""A run folder while it is trained: whose it is, where to go on from, and what went wrong."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..chains.student.card import CARD_FILE
from .preflight import TrainingError

SETTINGS_FILE = "training_settings.json"
LOCK_FILE = "training.lock"
LOG_FILE = "training_log.jsonl"
CHECKPOINTS = "checkpoints"
COMPLETE = "complete"  # the mark in a checkpoint that was written to its end
_PART = f"{SETTINGS_FILE}.part"


@contextlib.contextmanager
def claim(folder: Path, settings: Mapping[str, Any]) -> Iterator[bool]:
    """Hold the folder for one training; yields whether it has this very student, finished.

    The card is written last, so a folder without one is unfinished. Raises TrainingError for a
    folder that holds anything else, or that another process is training into: nobody's work is
    written over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if _finished(folder, settings):
        yield True
        return
    with _lock(folder):
        finished = _finished(folder, settings)  # another process may just have ended
        if not finished:
            _make_ready(folder, settings)
        yield finished


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    whole = [c for c in _checkpoints(folder) if (c / COMPLETE).is_file()]
    return max(whole, key=_step, default=None)


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
    except (MemoryError, OSError, RuntimeError, SafetensorError) as error:
        if _out_of_memory(error):
            text = str(error).splitlines()[0][:120] if str(error) else "MemoryError"
            raise TrainingError(
                f"out of memory: {text}; give a smaller batch size or a smaller base"
            ) from error
        if why := _write_failure(error):
            raise _unwritable(folder, why) from error
        raise


def _finished(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether this very student is in the folder; only reads. Raises TrainingError for others."""
    found = _found_settings(folder)
    if found is None or not settings.keys() <= found.keys():
        if any(entry.name not in (LOCK_FILE, _PART) for entry in folder.iterdir()):
            raise TrainingError(
                f"{folder} is not empty and not a run folder; give a new one as out"
            )
        return False
    finished = (folder / CARD_FILE).is_file()
    if finished or last_checkpoint(folder):
        for name, wanted in settings.items():
            if found[name] != wanted:
                raise TrainingError(
                    f"{folder} holds a student with {name} {found[name]}, not {wanted}; give "
                    "another out, or delete that folder"
                )
    return finished


def _found_settings(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _make_ready(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings down and delete what a killed training left half-written."""
    for checkpoint in _checkpoints(folder):
        if not (checkpoint / COMPLETE).is_file():
            shutil.rmtree(checkpoint)
    (folder / _PART).write_text(json.dumps(settings, indent=2), encoding="utf-8")
    (folder / _PART).replace(folder / SETTINGS_FILE)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One process at a time, named in a file by pid and start; a dead one's is taken over."""
    import psutil

    path = folder / LOCK_FILE
    if path.exists() and not _held(path):
        path.unlink(missing_ok=True)
    try:
        stream = path.open("x", encoding="utf-8")
    except FileExistsError as error:
        raise TrainingError(
            f"{folder} is being trained by another process; wait for it or give another out "
            f"(if none is, delete {path})"
        ) from error
    try:
        with stream:
            stream.write(f"{os.getpid()} {psutil.Process().create_time()}")
        yield
    finally:
        path.unlink(missing_ok=True)


def _held(path: Path) -> bool:
    """Whether the process that wrote the lock lives; one without a pid is just being written."""
    import psutil

    try:
        pid, _, started = path.read_text(encoding="utf-8").partition(" ")
        process = psutil.Process(int(pid))
        # A pid is given out again, in a container at once; a start differs by the clock's drift.
        same = bool(abs(process.create_time() - float(started)) < 2)
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except (psutil.AccessDenied, ValueError):
        return True


def _out_of_memory(error: Exception) -> bool:
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # As CUDA, Windows and Linux word it.
    words = ("out of memory", "not enough memory", "can't allocate memory")
    return any(said in str(error) for said in words)


def _write_failure(error: Exception) -> str | None:
    """Why a file could not be written, None where something else went wrong."""
    if isinstance(error, OSError):
        elsewhere = isinstance(error, ConnectionError | TimeoutError) or error.errno is None
        return None if elsewhere else error.strerror or str(error)
    if isinstance(error, RuntimeError):
        torn = "PytorchStreamWriter" in str(error) or "unexpected pos" in str(error)
        return "a checkpoint could not be written whole" if torn else None
    return str(error)  # safetensors' own


def _unwritable(folder: Path, why: str) -> TrainingError:
    return TrainingError(
        f"{folder} cannot be written: {why}; free space or give another folder, then run again: it "
        "goes on from the last checkpoint"
    )


def _checkpoints(folder: Path) -> list[Path]:
    return list((folder / CHECKPOINTS).glob("checkpoint-*"))


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[-1])
