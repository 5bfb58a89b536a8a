"""The engines of this process, one for each set of weights, and what a folder says about one."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from .card import CARD_FILE, StudentError, read_card
from .engine import Engine
from .sharing import Base, Seat
from .weights import (
    EMBEDDED,
    base_folder,
    base_key,
    merged_model,
    student_folder,
    untuned_model,
)

_TEMPLATE_FILES = ("chat_template.jinja", "tokenizer.json", "tokenizer_config.json")
_ENGINES: dict[tuple[int, str, str], Engine] = {}
_STUDENTS: dict[tuple[int, str, str], tuple[tuple[str, str], Path]] = {}  # base and folder
_BASES: dict[tuple[str, str], Base] = {}  # those that several students share
_MOST_SEATS = 16  # students beside each other at one base; whoever was asked longest ago leaves
_LOCK = threading.RLock()
_LOG = logging.getLogger(__name__)

Key = tuple[int, str, str]


def engine_key(model: str, sha256: str) -> Key:
    """What tells engines apart. The process is part of it: a thread does not survive a fork."""
    folder = Path(model).expanduser()
    return (os.getpid(), str(folder.resolve()) if folder.is_dir() else model, sha256)


def shared_engine(model: str, sha256: str, *, max_batch: int) -> Engine:
    """The loaded weights of a run folder or a base; loads them if nobody in this process has."""
    key = engine_key(model, sha256)
    ready = _ENGINES.get(key)
    if ready is not None:  # nobody waits for another model that is being loaded
        ready.asked_at = time.monotonic()
        return ready
    with _LOCK:
        if key not in _ENGINES:
            folder = student_folder(model)
            if folder is None:
                _ENGINES[key] = Engine(*untuned_model(model), max_batch=max_batch)
            else:
                _ENGINES[key] = _student_engine(key, folder, max_batch)
        return _ENGINES[key]


def _student_engine(key: Key, folder: Path, max_batch: int) -> Engine:
    """A merged copy, or where another student of its base is loaded, a seat beside it."""
    base = base_key(folder)
    mates = [mate for mate, (known, _) in _STUDENTS.items() if known == base and mate in _ENGINES]
    _STUDENTS[key] = base, folder
    if not mates:
        return Engine(*merged_model(folder), max_batch=max_batch)
    try:
        if base not in _BASES or _BASES[base].empty:
            _BASES[base] = Base(folder, max_batch=max_batch)
        seat = _BASES[base].seat(folder)
        for mate in mates:
            _move(mate, _BASES[base])
        _thin_out(_BASES[base])
        return seat
    except StudentError as error:
        _LOG.warning("%s; its base is loaded once more", error)
        if base in _BASES and _BASES[base].empty:
            _BASES.pop(base).engine.close()
        return Engine(*merged_model(folder), max_batch=max_batch)


def _move(mate: Key, base: Base) -> None:
    """Give a student that was merged into a base of its own a seat at the shared one."""
    merged = _ENGINES[mate]
    if not isinstance(merged, Seat):
        _ENGINES[mate] = base.seat(_STUDENTS[mate][1])
        merged.hand_over(_ENGINES[mate])


def _thin_out(base: Base) -> None:
    """Have the students leave that were asked longest ago, where there are too many with the new
    one. Rows on their way are answered, and who is asked again comes back.
    """
    seats = [key for key, seat in _ENGINES.items() if isinstance(seat, Seat) and seat.base is base]
    seats.sort(key=lambda key: _ENGINES[key].asked_at)
    for key in seats[: max(0, len(seats) + 1 - _MOST_SEATS)]:
        _ENGINES.pop(key).close()
        _STUDENTS.pop(key, None)


def is_loaded(model: str, sha256: str) -> bool:
    """Whether the weights are in this process."""
    return engine_key(model, sha256) in _ENGINES


def close_engine(model: str, sha256: str) -> None:
    """Free the weights, if they are loaded."""
    with _LOCK:
        key = engine_key(model, sha256)
        engine = _ENGINES.pop(key, None)
        _STUDENTS.pop(key, None)
    if engine is not None:
        engine.close()
    with _LOCK:
        for base in [base for base, held in _BASES.items() if held.empty]:
            del _BASES[base]


def another(model: str, name: str) -> str:
    """The folder of the model that is called `name` by somebody who uses `model`.

    A path, or the name of a folder beside this one. Raises StudentError where there is none.
    """
    beside = Path(model).expanduser().parent / name
    for folder in (Path(name).expanduser(), beside):
        if (folder / CARD_FILE).is_file() or (folder / "config.json").is_file():
            return str(folder)
    if name == EMBEDDED:
        return name
    raise StudentError(f"there is no model {name}, nor a run folder {beside}; name one that exists")


def template_sha256(model: str) -> str:
    """SHA-256 over the files that say how a prompt becomes token ids."""
    folder = student_folder(model) or base_folder(model)
    files = [folder / name for name in _TEMPLATE_FILES if (folder / name).is_file()]
    return _sha256(tuple((str(file), file.stat().st_mtime_ns) for file in files))


def context_of(model: str) -> int | None:
    """Tokens that a model on this disk takes, prompt and answer together; None: not known."""
    try:
        folder = Path(model).expanduser()
        base = read_card(folder).base if (folder / CARD_FILE).is_file() else model
        if base != EMBEDDED and not Path(base).expanduser().is_dir():
            return None  # a hub id: nothing is downloaded to tell
        config: Any = json.loads((base_folder(base) / "config.json").read_bytes())
    except (StudentError, ValueError):
        return None
    tokens = (config.get("text_config") or config).get("max_position_embeddings")
    return tokens if isinstance(tokens, int) else None


@functools.lru_cache(maxsize=64)
def _sha256(files: tuple[tuple[str, int], ...]) -> str:
    digest = hashlib.sha256()
    for file, _ in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()


def _after_fork() -> None:
    """A child process has the parent's engines but not their threads, and maybe a held lock."""
    global _LOCK
    _LOCK = threading.RLock()
    _ENGINES.clear()
    _STUDENTS.clear()
    _BASES.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
