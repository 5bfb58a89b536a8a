"""The command train: a student learns what the teacher wrote into the store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..progress import step_bars
from .options import (
    DEFAULT_STORE,
    SAMPLE_TASK,
    JsonOption,
    LimitOption,
    StoreOption,
    TaskOption,
    check_folder,
    fail,
    open_store,
    remark,
    stoppable,
    tell,
)
from .row_options import (
    AgreeingOption,
    AlphaOption,
    BalancedOption,
    ConfidenceOption,
    ConsistentOption,
    LongestOption,
    PerSourceOption,
    PreflightOption,
    ShareOption,
    UnduplicatedOption,
    selection_of,
)

if TYPE_CHECKING:
    from ...chains.task import Task
    from ...store.store import Store

_recipe = partial(typer.Option, rich_help_panel="Recipe")
_run = partial(typer.Option, rich_help_panel="Run")

StudentOption = Annotated[str, typer.Option(help="base model: embedded, a hub id, or a folder")]
TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        help="what the student learns: label (the default), reason_label, label_reason or "
        "multitask; repeat it for a student of each from the same rows"
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(help="the run folder; default runs/TARGET; of several targets, OUT/TARGET"),
]
RecipeOption = Annotated[
    str | None,
    _recipe(
        help="default, tiny, notebook, int8, lora, full, or a TOML file; default: by the base's "
        "size"
    ),
]
SetOption = Annotated[
    list[str] | None,
    _recipe("--set", help="FIELD=VALUE of the recipe, such as rank=32; repeatable"),
]
EpochsOption = Annotated[float | None, _recipe(help="default: the recipe's")]
RateOption = Annotated[float | None, _recipe("--learning-rate", help="default: the recipe's")]
BatchOption = Annotated[int | None, _recipe("--batch-size", min=1, help="rows of one step")]
SeedOption = Annotated[int, _recipe(help="of the rows' order and the first weights")]
SweepOption = Annotated[
    list[str] | None,
    _run(
        "--sweep",
        help="FIELD=VALUE,VALUE of the recipe: train with each, keep what agrees most on the "
        "validation rows; repeatable",
    ),
]
PlanOption = Annotated[bool, _run("--plan", help="time 3 steps, print what it would take, stop")]
LogToOption = Annotated[
    list[str] | None,
    _run("--log-to", help="tensorboard, wandb or trackio; nothing is sent anywhere without it"),
]


def train(
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    student: StudentOption = "embedded",
    target: TargetOption = None,
    out: OutOption = None,
    limit: LimitOption = None,
    agreeing: AgreeingOption = None,
    confidence: ConfidenceOption = 0.0,
    unduplicated: UnduplicatedOption = False,
    consistent: ConsistentOption = False,
    longest: LongestOption = None,
    per_source: PerSourceOption = None,
    balanced: BalancedOption = None,
    rationale_share: ShareOption = 1.0,
    alpha: AlphaOption = 1.0,
    preflight_only: PreflightOption = False,
    recipe: RecipeOption = None,
    set_fields: SetOption = None,
    epochs: EpochsOption = None,
    learning_rate: RateOption = None,
    batch_size: BatchOption = None,
    seed: SeedOption = 0,
    sweep: SweepOption = None,
    plan: PlanOption = False,
    log_to: LogToOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tune a small student on what the teacher wrote into the store; run again, it goes on."""
    from ...chains.loading import load_task
    from ..training.parallel import leads
    from ..training.recipes import changes_of

    targets = _known_targets(target or ["label"])
    check_folder(out)
    if plan and sweep:
        fail("--plan tells of one training; give it without --sweep", status=2)
    given = {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size}
    options: dict[str, Any] = {
        "base": student,
        "recipe": recipe,
        "changes": changes_of(set_fields or []) | given_only(given),
        "seed": seed,
        "limit": limit,
        "alpha": alpha,
        "selection": selection_of(
            seed,
            agreeing=agreeing,
            confidence=confidence,
            unduplicated=unduplicated,
            consistent=consistent,
            longest=longest,
            per_source=per_source,
            balanced=balanced,
            rationale_share=rationale_share,
        ),
    }
    with open_store(store, create=False) as opened, stoppable():
        loaded = load_task(task)
        _check(loaded, opened, options, targets[1:])
        found: list[Any] = []
        for name in targets:
            options |= {"target": name, "out": _folder(out, name, several=len(targets) > 1)}
            if preflight_only:
                found.append(_lesson(loaded, opened, options, as_json))
            elif plan:
                found.append(_plan(loaded, opened, options, as_json))
            else:
                _train(loaded, opened, options, sweep or [], log_to or [])
                if leads():
                    found.append(_student(options["out"], bool(sweep), as_json))
        if as_json and found:
            tell(found[0] if len(targets) == 1 else found, as_json=True)


def _known_targets(names: list[str]) -> list[str]:
    from ...chains.task import TARGETS

    for name in names:
        if name not in TARGETS:
            fail(f"target {name} is unknown; choose {' or '.join(TARGETS)}", status=2)
    return list(dict.fromkeys(names))


def _check(task: Task, store: Store, options: dict[str, Any], targets: list[Any]) -> None:
    """Say what is wrong with these targets before the first one is trained."""
    from ..training.course import set_course

    for target in targets:
        set_course(task, store, **options, target=target)


def _folder(out: Path | None, target: str, *, several: bool) -> Path:
    if out is None:
        return Path("runs") / target
    return out / target if several else out


def given_only(options: dict[str, Any]) -> dict[str, Any]:
    """The options that somebody gave."""
    return {name: value for name, value in options.items() if value is not None}


def _lesson(task: Task, store: Store, options: dict[str, Any], as_json: bool) -> dict[str, Any]:
    """What is about to be learnt, shown to a person or given back."""
    from ..training.course import set_course
    from .display import print_lesson

    options = {name: value for name, value in options.items() if name != "out"}
    lesson = set_course(task, store, **options).lesson
    if not as_json:
        print_lesson(lesson)
    checked = {**vars(lesson.preflight)}
    checked.pop("shown")  # the first row in pieces, which is for eyes
    taught = {"rows": len(lesson.taught.rows), "left_out": lesson.taught.left_out}
    teacher = {"teacher_run": lesson.teacher.id, "teacher": lesson.teacher.model}
    return {"target": options["target"], **teacher, **taught, "preflight": checked}


def _plan(task: Task, store: Store, options: dict[str, Any], as_json: bool) -> dict[str, Any]:
    from ..training.plan import training_plan

    plan = training_plan(task, store, **options)
    _unless(as_json, plan.lines())
    return plan.data()


def _student(folder: Path, swept: bool, as_json: bool) -> dict[str, Any]:
    """A student that is ready: its folder, what its card says, and the trials of a sweep."""
    from ...chains.student.card import read_card
    from ..training.sweep import SWEEP_FILE, table_lines

    _unless(as_json, [*(table_lines(folder) if swept else ()), f"student {folder}"])
    found = {"folder": str(folder), "card": read_card(folder).model_dump(mode="json")}
    if swept:
        found["sweep"] = json.loads((folder / SWEEP_FILE).read_text(encoding="utf-8"))
    return found


def _unless(as_json: bool, lines: Iterable[str]) -> None:
    if not as_json:
        tell(None, lines, as_json=False)


def _train(
    task: Task, store: Store, options: dict[str, Any], sweep: list[str], log_to: list[str]
) -> None:
    from ..training.sweep import sweep as train_all
    from ..training.sweep import varied
    from ..training.train import train as train_one

    options = options | {"log_to": log_to, "announce": remark}
    with step_bars() as bars:
        if sweep:
            train_all(task, store, vary=varied(sweep), progress=bars, **options)
        else:
            train_one(task, store, progress=bars(f"student {options['target']}"), **options)
