"""From the words of a command line to who is asked: students, other systems, prompt strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...chains.student.weights import student_folder
from ...chains.task import Task
from ...chains.teachers import load_teacher
from ..defaults import finished_students
from ..labelling.limits import LabellingError
from ..labelling.prices import find_price
from ..labelling.teaching import read_shots, read_tools
from .prompted import REASONED, Prompting, load_system


def named_systems(
    runs: Sequence[str],
    systems: Sequence[str],
    task: str,
    reference: str,
    served: Mapping[str, Any],
) -> tuple[list[Path], dict[str, Any]]:
    """The students' run folders, and the other systems by name.

    Without `runs` the students are those of the task in runs/. `served` says how providers' models
    are reached, as `load_teacher` takes it. Raises TaskError, StudentError.
    """
    others, named = {}, list(runs)
    for system in systems:
        if system == "offline" or ":" in system or system.endswith(".py"):
            others[system] = load_system(system, task=reference, **served)
        else:
            named.append(system)
    students = [student_folder(name) or Path(name) for name in named]
    if not runs:
        known = finished_students(Path("runs"), task)
        students = [*known, *(one for one in students if one not in known)]
    return students, others


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
    file.py:name. Raises LabellingError, TaskError, StoreError.
    """
    if teachers and not strategies:
        raise LabellingError("--teacher is asked by each --strategy; give one, or --system")
    known = {name: value for name, value in given.items() if value not in (None, [])}
    if "shots" in known:
        reasoned = any(name in REASONED for name in strategies)
        known["shots"] = read_shots(task, known["shots"], reasoned=reasoned)
    if "tools" in known:
        known["tools"] = read_tools(known["tools"])
    models = []
    for name in teachers:
        own = {} if name == "offline" else served
        models.append(load_teacher(name, task=reference, **own))
    pairs = zip(models, teachers, strict=True)
    return Prompting(
        strategies=list(strategies),
        models=models,
        given=known,
        prices=[find_price(model, reference=name, table=table) for model, name in pairs],
    )
