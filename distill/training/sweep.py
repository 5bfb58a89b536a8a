"""A small sweep: one student per combination of a recipe's fields, the best of them kept."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...chains.student.card import CARD_FILE, read_card
from ...chains.student.weights import base_folder
from ...chains.task import Task
from ...store.store import Store
from .blocks import check_adapters
from .cards import MODEL_CARD, remember_training, write_cards
from .course import Course, set_course
from .dataset import lesson_pairs
from .hardware import choose, found
from .lesson import VALIDATION_ROWS
from .preflight import TrainingError
from .recipes import field_named, read_value, recipe_of
from .run_folder import claim, failures_told, tell
from .train import learn
from .watching import Progress

SWEEP_FILE = "sweep.json"
TRIALS = "sweep"


def sweep(
    task: Task,
    store: Store,
    *,
    out: Path | str,
    vary: Mapping[str, Sequence[Any]],
    progress: Callable[[str], Progress] | None = None,
    log_to: Sequence[str] = (),
    announce: Callable[[str], None] | None = None,
    **options: Any,
) -> Path:
    """Train a student with every combination of the values in `vary`; the best becomes `out`.

    The best agrees most with the teacher on the validation rows, which alone decide; of equals the
    one with the lower validation loss. `sweep.json` in the run folder tells of all. `options` are
    those of `train`, without its shortcuts for fields of the recipe; `progress` is called with a
    trial's name. Interrupted and called again, it goes on where it was. Raises TrainingError.
    """
    folder = Path(out)
    base = set_course(task, store, **options)
    if not base.lesson.validation:
        raise TrainingError(
            f"a sweep is decided by validation rows, and task {task.name} has no teacher's answer "
            "to its split validation"
        )
    if announce:
        announce(base.choice.line)
    trials = {_name(changes): _changed(base, changes) for changes in combinations(vary)}
    settings = {name: value for name, value in base.settings.items() if name not in vary}
    settings["sweep"] = {name: list(values) for name, values in vary.items()}
    with failures_told(folder), claim(folder, settings) as finished:
        if not finished:
            for name, course in trials.items():
                shown = progress(name) if progress else None
                place = folder / TRIALS / name
                learn(course, store, place, log_to=log_to, progress=shown, measure_last=True)
            table = [_row(folder / TRIALS / name, course, vary) for name, course in trials.items()]
            best = min(range(len(table)), key=lambda place: _rank(table[place]))
            decided = _decided_by(base, store)
            _keep(folder, list(trials)[best], list(trials.values())[best], table, settings, decided)
    remember_training(store, folder, _kept_settings(folder), base.lesson.taught.rows)
    return folder


def table_lines(folder: Path) -> list[str]:
    """The table of the sweep whose best student is in the folder, one line a trial."""
    told = json.loads((folder / SWEEP_FILE).read_text(encoding="utf-8"))
    measured = ("agreement", "validation_loss", "steps", "seconds")
    lines = [f"decided by {told['decided_by']}:"]
    for trial in told["trials"]:
        changes = {name: value for name, value in trial.items() if name not in measured}
        agreed, loss = trial["agreement"], trial["validation_loss"]
        lines.append(
            f"  {', '.join(f'{name} {value}' for name, value in changes.items())}: "
            f"agreement {'unknown' if agreed is None else f'{100 * agreed:.1f} %'}, "
            f"validation loss {'unknown' if loss is None else f'{loss:.4f}'}, "
            f"{trial['steps']:,} steps{', kept' if _name(changes) == told['kept'] else ''}"
        )
    return lines


def varied(texts: Iterable[str]) -> dict[str, list[Any]]:
    """What `--sweep FIELD=VALUE,VALUE` says. Raises TrainingError."""
    vary: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, values = text.partition("=")
        read = [read_value(value.strip()) for value in values.split(",") if value.strip()]
        if not sign or len(read) < 2:
            raise TrainingError(f"{text!r} is no FIELD=VALUE,VALUE, as learning_rate=1e-3,5e-4")
        vary[field_named(name)] = read
    return vary


def combinations(vary: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every choice of one value for each field."""
    return [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]


def _changed(course: Course, changes: Mapping[str, Any]) -> Course:
    recipe = recipe_of(course.recipe, parameters=course.shape.parameters, changes=changes)
    if recipe.adapted != course.recipe.adapted:
        check_adapters(base_folder(course.base), recipe.adapted)
    longest = course.lesson.preflight.longest
    choice = choose(found(), recipe, shape=course.shape, longest=longest)
    return dataclasses.replace(course, recipe=recipe, choice=choice)


def _name(changes: Mapping[str, Any]) -> str:
    return "_".join(f"{name}-{value}" for name, value in changes.items()).replace("/", "-")


def _row(folder: Path, course: Course, vary: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the sweep's table: what was tried, and what came of it at the adapter kept."""
    facts = read_card(folder).training
    checks = list(zip(facts["validation_agreements"], facts["validation_losses"], strict=True))
    if course.recipe.keep == "best":
        agreed, loss = max(checks, key=lambda check: -1.0 if check[0] is None else check[0])
    else:
        agreed, loss = checks[-1]
    return {
        **{name: getattr(course.recipe, name) for name in vary},
        "agreement": agreed,
        "validation_loss": loss,
        "steps": facts["steps"],
        "seconds": facts["seconds"],
    }


def _rank(row: Mapping[str, Any]) -> tuple[float, float]:
    agreed, loss = row["agreement"], row["validation_loss"]
    return (math.inf if agreed is None else -agreed, math.inf if loss is None else loss)


def _decided_by(course: Course, store: Store) -> str:
    """On how many of the validation rows agreement is measured."""
    pairs, _ = lesson_pairs(store, course.task, course.lesson.teacher.id, split="validation")
    measured = min(VALIDATION_ROWS, len(pairs))
    of = f" of the {len(pairs):,}" if measured < len(pairs) else ""
    return f"agreement on {measured}{of} validation rows"


def _keep(
    folder: Path,
    name: str,
    course: Course,
    table: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    decided_by: str,
) -> None:
    """The best trial's files become the run folder's; its cards are written anew, the last last."""
    trial = folder / TRIALS / name
    facts = read_card(trial).training | {"sweep": list(table)}
    for file in sorted(trial.iterdir()):
        if file.is_dir():
            shutil.copytree(file, folder / file.name, dirs_exist_ok=True)
        elif file.name not in (CARD_FILE, MODEL_CARD, "training.json"):
            shutil.copyfile(file, folder / file.name)
    told = {
        "format": 1,
        "decided_by": decided_by,
        "kept": name,
        "trials": list(table),
    }
    (folder / SWEEP_FILE).write_text(json.dumps(told, indent=2), encoding="utf-8")
    own = json.loads((trial / "training.json").read_text(encoding="utf-8"))
    tell(folder, **own | {"settings": own["settings"] | dict(settings)})
    write_cards(course.task, folder, base=course.base, target=course.target, training=facts)
    shutil.rmtree(folder / TRIALS)


def _kept_settings(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    return dict(settings["settings"])
