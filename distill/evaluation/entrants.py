"""Which runs the report compares, and under which names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...chains.task import Task
from ...store.answers import has_answers
from ...store.provenance import trainings
from ...store.rows import Run, Training
from ...store.store import Store
from ..runs import NOTEBOOK, is_repeat
from .learning import is_on_curve
from .rationales import RATIONALE_OF

ROLES = ("teacher", "student", "baseline", "base")
REFERENCE = "teacher"  # the name of the teacher that the students learnt from


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A run with its unique name; `arm` is the name without the seed of its training."""

    run: Run
    name: str
    arm: str
    seed: int | None


def entrants(task: Task, store: Store) -> tuple[list[Entrant], Run | None]:
    """The newest run of every system that has answered, and the teacher run of reference.

    That is the teacher run that the newest student learnt from, else the baselines, else the newest
    that has answered rows of split train, else the newest. A run that asks rows again, or that
    answers from rationales alone, is no system, nor is a point of a learning curve. A local model
    that failed on every row is one, unless another run of it answered. Order: teachers, students,
    others, majority last.
    """
    every = [run for run in store.runs(task=task.name) if _is_system(task, run)]
    runs = [run for run in every if has_answers(store, run.id)]
    failed = [run for run in every if run not in runs and _failed(store, run)]
    known = [training for training in trainings(store) if training.task == task.name]
    reference = _reference(store, runs, known)
    newest: dict[tuple[object, ...], Run] = {}
    for run in [*([reference] if reference else []), *runs, *failed]:
        newest.setdefault(_system(run), run)
    chosen = sorted(
        newest.values(),
        key=lambda run: (
            run.name == "majority",
            ROLES.index(run.role),
            run is not reference,
            run.name,
            run.model,
            run.strategy,
            run.id,
        ),
    )
    names = _unique([_name(run, reference) for run in chosen], chosen)
    return [
        Entrant(run=run, name=name, arm=arm_of(name, seed), seed=seed)
        for run, name in zip(chosen, names, strict=True)
        for seed in (_seed(run, known),)
    ], reference


def _is_system(task: Task, run: Run) -> bool:
    if is_repeat(run) or run.answers != task.answers:
        return False
    return RATIONALE_OF not in run.parameters and not is_on_curve(run)


def _failed(store: Store, run: Run) -> bool:
    """Whether a local model was asked: that it failed is its own doing, and no provider's."""
    local = run.role in ("student", "base") or run.name == NOTEBOOK
    return local and next(iter(store.iter_records(run.id)), None) is not None


def _system(run: Run) -> tuple[object, ...]:
    """What a newer run replaces: teachers by models and strategy, others by name."""
    if run.role != "teacher" or run.name != REFERENCE:
        return (run.role, run.name)
    more = sorted((k, str(v)) for k, v in run.parameters.items() if k.startswith("model_"))
    return (run.role, run.model, run.strategy, *more)


def _reference(store: Store, runs: Sequence[Run], known: Sequence[Training]) -> Run | None:
    teachers = {run.id: run for run in runs if run.role == "teacher"}
    for run in sorted(runs, key=lambda run: run.role != "student"):  # a stable sort: newest first
        training = _training(run, known)
        learnt_from = run.parameters.get("teacher_run") or (training.run if training else None)
        if learnt_from in teachers:
            return teachers[str(learnt_from)]
    taught = (run for run in teachers.values() if has_answers(store, run.id, split="train"))
    return next(taught, next(iter(teachers.values()), None))


def _training(run: Run, known: Sequence[Training]) -> Training | None:
    """The newest training of this student, who is called as its run folder is."""
    if run.role != "student":
        return None
    seed = run.parameters.get("seed")
    for training in known:
        called = run.name == training.name or run.name.startswith(f"{training.name}-s")
        if called and training.target == run.target and seed in (None, training.seed):
            return training
    return None


def _name(run: Run, reference: Run | None) -> str:
    if run.role != "teacher" or run.name != REFERENCE or reference is None or run is reference:
        return run.name
    words = [REFERENCE]
    if run.model != reference.model:
        words.append(run.model)
    if run.strategy != reference.strategy or len(words) == 1:
        words.append(run.strategy)
    return " ".join(words)


def _unique(names: Sequence[str], runs: Iterable[Run]) -> list[str]:
    """Names that several would have get what tells them apart: the role, else the run's id."""
    times = Counter(names)
    named = [
        f"{name} ({run.role})" if times[name] > 1 and name != REFERENCE else name
        for name, run in zip(names, runs, strict=True)
    ]
    times = Counter(named)
    first: set[str] = set()
    unique = []
    for name, run in zip(named, runs, strict=True):
        again = times[name] > 1 and (name != REFERENCE or name in first)
        first.add(name)
        unique.append(f"{name} {run.id[:6]}" if again else name)
    return unique


def _seed(run: Run, known: Sequence[Training]) -> int | None:
    if run.role == "student" and isinstance(seed := run.parameters.get("seed"), int):
        return seed
    training = _training(run, known)
    return training.seed if training is not None else None


def arm_of(name: str, seed: int | None) -> str:
    """A student's name without its seed: label-s1, label-seed-1 and label_1 are seeds of label."""
    if seed is None:
        return name
    return re.sub(rf"(?<=.)[-_. ](?:seed|s)?[-_. ]?{seed}$", "", name)
