"""From the words of a command line to who is asked: students, other systems, prompt strategies."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from ...chains.student.card import CARD_FILE, StudentError, read_card
from ...chains.student.weights import student_folder
from ...chains.task import Task
from ...chains.teachers import load_teacher
from ..labelling.limits import LabellingError
from ..labelling.prices import Price, find_price
from ..labelling.teaching import read_shots, read_tools
from .failing import Failed, trying
from .prompted import REASONED, Named, Prompting


def named_systems(
    runs: Sequence[str],
    systems: Sequence[str],
    task: str,
    reference: str,
    served: Mapping[str, Any],
) -> tuple[list[Path], dict[str, Named]]:
    """The students' run folders, and the other systems by name; nothing is loaded yet.

    Without `runs` the students are those of the task in runs/. `served` says how providers' models
    are reached, as `load_teacher` takes it.
    """
    others, named = {}, list(runs)
    for system in systems:
        if system == "offline" or ":" in system or system.endswith(".py"):
            others[system] = Named(reference=system, task=reference, served=served)
        else:
            named.append(system)
    students = [_folder(name) for name in named]
    if not runs:
        known = _own_students(task)
        students = [*known, *(one for one in students if one not in known)]
    return students, others


def _folder(name: str) -> Path:
    """Where the student of this name is; what is none fails when asked."""
    with contextlib.suppress(StudentError):
        return student_folder(name) or Path(name)
    return Path(name)


def _own_students(task: str) -> list[Path]:
    """The task's students in runs/; a card that cannot be read is one, and fails when asked."""
    found = []
    for place in sorted(Path("runs").glob(f"*/{CARD_FILE}")):
        try:
            own = read_card(place.parent).task == task
        except StudentError:
            own = True
        found += [place.parent] if own else []
    return found


def base_grown_from(students: Sequence[Path]) -> str | None:
    """The base that the first of the students grew from whose card can be read."""
    for student in students:
        with contextlib.suppress(StudentError):
            return read_card(student).base
    return None


def prompting_of(
    task: Task,
    reference: str,
    strategies: Sequence[str],
    teachers: Sequence[str],
    *,
    given: Mapping[str, Any],
    served: Mapping[str, Any],
    table: Path | None,
) -> Prompting:
    """The strategies with their options, and the teachers that are asked by them.

    `given` holds options under their names in `chains.strategies`, `shots` as a file and `tools` as
    file.py:name. A teacher that cannot be loaded is in the Prompting's `failed`. Raises
    LabellingError, TaskError, StoreError.
    """
    if teachers and not strategies:
        raise LabellingError("--teacher is asked by each --strategy; give one, or --system")
    known = {name: value for name, value in given.items() if value not in (None, [])}
    if "shots" in known:
        reasoned = any(name in REASONED for name in strategies)
        known["shots"] = read_shots(task, known["shots"], reasoned=reasoned)
    if "tools" in known:
        known["tools"] = read_tools(known["tools"])
    models: list[BaseChatModel] = []
    prices: list[Price | None] = []
    failed: list[Failed] = []
    for name in teachers:
        with trying(f"teacher {name}", failed):
            model = load_teacher(name, task=reference, **({} if name == "offline" else served))
            prices.append(find_price(model, reference=name, table=table))
            models.append(model)
    return Prompting(
        strategies=list(strategies), models=models, given=known, prices=prices, failed=failed
    )
