"""A run folder while it is trained: whose it is, where to go on from, and what went wrong."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...chains.student.card import CARD_FILE
from .preflight import TrainingError

logger = logging.getLogger(__name__)
TRAINING_FILE = "training.json"
FORMAT = 1
LOCK_FILE = "training.lock"
LOG_FILE = "training_log.jsonl"
VALIDATION_FILE = "validation_log.jsonl"
CHECKPOINTS = "checkpoints"
COMPLETE = "complete"  # the mark in a checkpoint that was written to its end
BEST = "best"  # beside the checkpoints: best-STEP, the student that agreed most until then
_PART = f"{TRAINING_FILE}.part"


@contextlib.contextmanager
def claim(
    folder: Path, settings: Mapping[str, Any], chosen: Mapping[str, Any] | None = None
) -> Iterator[bool]:
    """Hold the folder for one training; yields whether it has this very student, finished.

    `settings` decide what is learnt, `chosen` how this machine computes it: a training that is not
    finished goes on as it began. The card is written last, so a folder without one is unfinished.
    Raises TrainingError for a folder that holds anything else, or that another process is training
    into: nobody's work is written over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = {"format": FORMAT, "settings": dict(settings), "chosen": dict(chosen or {})}
    if _finished(folder, document):
        yield True
        return
    with _lock(folder):
        finished = _finished(folder, document)  # another process may just have ended
        if not finished:
            _make_ready(folder, document)
        yield finished


def tell(folder: Path, **facts: Any) -> None:
    """Add to what training.json tells, whole or not at all."""
    document = (_document(folder) or {}) | facts
    (folder / _PART).write_text(json.dumps(document, indent=2), encoding="utf-8")
    (folder / _PART).replace(folder / TRAINING_FILE)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    whole = [c for c in _checkpoints(folder) if (c / COMPLETE).is_file()]
    return max(whole, key=_step, default=None)


def sound_checkpoint(folder: Path) -> Path | None:
    """The same, but one whose files have changed since is deleted and the one before it taken."""
    while (checkpoint := last_checkpoint(folder)) and not _sound(checkpoint):
        logger.warning("%s is damaged; the training goes on without it", checkpoint)
        shutil.rmtree(checkpoint)
    return checkpoint


def mark_complete(checkpoint: Path) -> None:
    """Only what is on the disk, and not just on its way there, counts as whole."""
    for file in checkpoint.rglob("*"):
        if file.is_file():
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())
    (checkpoint / COMPLETE).write_text(json.dumps(_checksums(checkpoint)), encoding="utf-8")


def _sound(checkpoint: Path) -> bool:
    try:
        told = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))
        return bool(told == _checksums(checkpoint))
    except (OSError, ValueError):
        return False


def _checksums(checkpoint: Path) -> dict[str, int]:
    """CRC-32 of every file: against a disk's faults, not against people."""
    sums = {}
    for file in sorted(checkpoint.rglob("*")):
        if file.is_file() and file.name != COMPLETE:
            value = 0
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    value = zlib.crc32(block, value)
            sums[file.relative_to(checkpoint).as_posix()] = value
    return sums


def rewind(folder: Path, checkpoint: Path | None) -> dict[str, float]:
    """Forget what came after the checkpoint; returns the seconds spent until there."""
    step = _step(checkpoint) if checkpoint else 0
    for name in (LOG_FILE, VALIDATION_FILE):
        kept = [line for line in read_lines(folder / name) if line["step"] <= step]
        if kept or name == LOG_FILE:
            part = folder / f"{name}.part"
            text = "".join(f"{json.dumps(line)}\n" for line in kept)
            part.write_text(text, encoding="utf-8")
            part.replace(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    for student in _bests(folder):
        if _step(student) > step:
            shutil.rmtree(student)
    lines = read_lines(folder / LOG_FILE)
    return {name: lines[-1][name] for name in ("seconds", "cpu_seconds")} if lines else {}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file; none where there is no file."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def best_of(folder: Path) -> Path | None:
    """The student in training that agreed most with the teacher so far, where any is kept."""
    return max(_bests(folder), key=_step, default=None)


@contextlib.contextmanager
def failures_told(folder: Path) -> Iterator[None]:
    """A full disk, a folder that cannot be written and too little memory, each as one line."""
    from safetensors import SafetensorError

    try:
        yield
    except (MemoryError, OSError, RuntimeError, SafetensorError) as error:
        if out_of_memory(error):
            text = str(error).splitlines()[0][:120] if str(error) else "MemoryError"
            raise TrainingError(
                f"out of memory: {text}; take fewer rows_at_once or a smaller base; {kept(folder)}"
            ) from error
        if why := _write_failure(error):
            raise _unwritable(folder, why) from error
        raise


def kept(folder: Path) -> str:
    """What a training that ended here goes on from."""
    checkpoint = last_checkpoint(folder)
    if checkpoint is None:
        return "no checkpoint had been written: run again, it begins anew"
    return f"the last good checkpoint is {checkpoint.name}: run again, it goes on from there"


def _finished(folder: Path, document: Mapping[str, Any]) -> bool:
    """Whether this very student is in the folder; only reads. Raises TrainingError for others."""
    found = _document(folder)
    if found is None or not document["settings"].keys() <= found["settings"].keys():
        if any(entry.name not in (LOCK_FILE, _PART) for entry in folder.iterdir()):
            raise TrainingError(
                f"{folder} is not empty and not a run folder; name another folder (--out)"
            )
        return False
    told = (folder / CARD_FILE).is_file()
    finished = told and any(folder.glob("*.safetensors"))  # else somebody took its weights away
    if told or last_checkpoint(folder):
        _check_same(folder, found["settings"], document["settings"])
    if not finished and last_checkpoint(folder):
        _check_same(folder, found.get("chosen", {}), document["chosen"])
    return finished


def _check_same(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        if found.get(name) != value:
            raise TrainingError(
                f"{folder} holds a student with {name} {found.get(name)}, not {value}; give "
                "another out, or delete that folder"
            )


def _document(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / TRAINING_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        return None
    if found.get("format") != FORMAT:
        raise TrainingError(
            f"{folder} has a {TRAINING_FILE} of format {found.get('format')}, and this version "
            f"reads {FORMAT}; give a new folder as out"
        )
    return found


def _make_ready(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the settings down and delete what a killed training left half-written."""
    (folder / CARD_FILE).unlink(missing_ok=True)  # written last: it says that all is there
    for checkpoint in _checkpoints(folder):
        if not (checkpoint / COMPLETE).is_file():
            shutil.rmtree(checkpoint)
    for part in (folder / CHECKPOINTS).glob("part-*"):
        shutil.rmtree(part)
    tell(folder, **document)


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


def out_of_memory(error: Exception) -> bool:
    """Whether this is a lack of memory, on a GPU or not."""
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
        f"{folder} cannot be written: {why}; free space or give another folder; {kept(folder)}"
    )


def _checkpoints(folder: Path) -> list[Path]:
    return list((folder / CHECKPOINTS).glob("checkpoint-*"))


def _bests(folder: Path) -> list[Path]:
    return list((folder / CHECKPOINTS).glob(f"{BEST}-*"))


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[-1])
