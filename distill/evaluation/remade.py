"""When everybody was asked and by what, as far as store and run folders still tell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...chains.student.card import StudentCard
from ...chains.task import Task
from ...store.rows import Run, Training
from ...store.statements import RUN_POSITION
from ...store.store import Store
from ..runs import NOTEBOOK
from ..training.recipes import RECIPES
from .entrants import entrants
from .learning import is_on_curve
from .rationales import RATIONALE_OF
from .results import Asked
from .trained import TUNED, trained

# How `train` calls what a Selection calls otherwise, or not at all.
_FLAGS = {"confidence": "min-confidence", "longest": "max-tokens"}
_TOLD = ("recipe", "epochs", "learning_rate", "batch_size", "rows", "seed", "steps")


def asked_of(store: Store, systems: Mapping[str, Run]) -> list[Asked]:
    """Of every system by name: its run, from when to when, and how a student was trained."""
    found = []
    for name, run in systems.items():
        known = trained(store, run)
        facts = known[1].training if known else {}
        (times,) = store.connection.read(
            "select min(created) as first, max(created) as last from records "
            f"where run = {RUN_POSITION}",
            run=run.id,
        )
        found.append(
            Asked(
                system=name,
                run=run.id,
                first=times["first"],
                last=times["last"],
                folder=_short(known[0]) if known else None,
                trained=known[0].created if known else None,
                training={key: facts[key] for key in _TOLD if facts.get(key) is not None},
            )
        )
    return found


def commands_of(task: Task, store: Store, *, reference: str, place: str) -> list[str]:
    """The commands that train the students again and ask everybody again; not the teacher's.

    `reference` is the task's and `place` the store's name. A run folder is told by its last two
    names. What was given to no command line (a chain by its object) is in none of them, nor is a
    student whose run folder is gone.
    """
    chosen, _ = entrants(task, store)
    common = ["--task", reference, "--store", place]
    known = [one for one in (trained(store, entrant.run) for entrant in chosen) if one is not None]
    trainings = [_training(*one) for one in known]
    found = [["train", *common, *options] for options in trainings if options]
    if any(entrant.run.role != "teacher" for entrant in chosen):
        runs = [entrant.run for entrant in chosen]
        asked = _asking(runs, store.runs(task=task.name), known)
        found.append(["evaluate", *common, *asked])
    return [shlex.join(["understudy", *command]) for command in found]


def _training(training: Training, card: StudentCard) -> list[str]:
    """The options of the training: the nearest recipe, and what is not as that has it.

    Empty where a field that the recipe sets was not set: no option says that.
    """
    facts = card.training
    name, changed = _nearest(facts)
    if any(facts[key] is None for key in changed):
        return []
    told = ["--student", card.base, "--target", card.target, "--recipe", name]
    told += [part for key in changed for part in ("--set", f"{key}={facts[key]}")]
    told += ["--seed", str(training.seed)]
    told += ["--limit", str(facts["rows"])] if facts.get("rows") else []
    alpha = (facts.get("lesson") or {}).get("alpha", 1.0)
    told += ["--alpha", f"{alpha:g}"] if alpha != 1 else []
    for key, value in (facts.get("selection") or {}).items():
        if key not in ("seed", "most"):
            flag = f"--{_FLAGS.get(key, key).replace('_', '-')}"
            told += [flag] if value is True else [flag, str(value)]
    return [*told, "--out", _short(training)]


def _nearest(facts: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The recipe's own name where it is one of RECIPES, else of the one that is most like it."""
    changed = {
        name: [key for key in TUNED if key in facts and facts[key] != getattr(recipe, key)]
        for name, recipe in RECIPES.items()
    }
    own = facts.get("recipe")
    name = own if own in changed else min(changed, key=lambda known: len(changed[known]))
    return str(name), changed[str(name)]


def _asking(
    systems: Sequence[Run], runs: Sequence[Run], known: Sequence[tuple[Training, StudentCard]]
) -> list[str]:
    told = [part for training, _ in known for part in ("--run", _short(training))]
    base = next((run for run in systems if (run.role, run.name) == ("base", "base")), None)
    if base is None:
        told.append("--no-base")
    elif not known or base.parameters.get("base") != known[0][1].base:
        told += ["--base", str(base.parameters.get("base"))]
    told += [part for name in _named(systems) for part in ("--system", name)]
    noted = next((run.model for run in systems if run.name == NOTEBOOK), None)
    folders = [_short(training) for training, card in known if card.name == noted]
    told += ["--notebook", folders[0]] if folders else []
    told += ["--support"] if any(RATIONALE_OF in run.parameters for run in runs) else []
    return told + (["--learning-curve"] if any(map(is_on_curve, runs)) else [])


def _named(systems: Sequence[Run]) -> Iterator[str]:
    """The systems whose name is what a command line takes."""
    for run in systems:
        if run.role == "baseline" and (":" in run.name or run.name.endswith(".py")):
            yield run.name


def _short(training: Training) -> str:
    """Where else the run folder lies is nobody's business."""
    return "/".join(Path(training.folder).parts[-2:])
