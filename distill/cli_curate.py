"""The command `curate`: rules over the rows of a task, what they found, and which are filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import DEFAULT_STORE, SAMPLE_TASK, StoreOption, TaskOption, open_store, say, stoppable

if TYPE_CHECKING:
    from ..chains.task import Task
    from ..store.store import Store

RulesOption = Annotated[
    list[str] | None, typer.Option("--rule", help="only this rule; may be given several times")
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="rows that this rule flags shall teach no student"),
]
IncludeOption = Annotated[
    list[str] | None, typer.Option("--include", help="rows that this rule flags teach again")
]
ClearOption = Annotated[
    list[str] | None, typer.Option("--clear", help="forget what this rule found")
]


def curate_(
    task: TaskOption = SAMPLE_TASK,
    store: StoreOption = DEFAULT_STORE,
    rule: RulesOption = None,
    exclude: ExcludeOption = None,
    include: IncludeOption = None,
    clear: ClearOption = None,
) -> None:
    """Find duplicates, conflicts, suspected label errors, poor reasonings; nothing is deleted.

    With --exclude, --include or --clear alone no rule looks again.
    """
    from ..chains.loading import load_task
    from .curation import check_rule, curate

    with open_store(store, create=False) as opened, stoppable():
        loaded = load_task(task)
        for name in (*(rule or ()), *(exclude or ()), *(include or ()), *(clear or ())):
            check_rule(name)
        if rule or not (exclude or include or clear):
            curate(loaded, opened, rule)
        _set(opened, loaded.name, exclude or (), include or (), clear or ())
        _print_rules(opened, loaded)
        _say_what_teaches(opened, loaded)


COMMANDS = {"curate": curate_}


def _set(
    store: Store,
    task: str,
    exclude: list[str] | tuple[()],
    include: list[str] | tuple[()],
    clear: list[str] | tuple[()],
) -> None:
    from ..store.flags import clear_flags, set_filter

    for name in clear:
        say(f"{name}: {clear_flags(store, task, name)} findings forgotten")
    for names, active in ((exclude, True), (include, False)):
        for name in names:
            set_filter(store, task, name, active)


def _print_rules(store: Store, task: Task) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..store.flags import filters, flag_counts
    from .curation import RULES

    counts, active = flag_counts(store, task.name), filters(store, task.name)
    table = Table(title=Text(f"what curation found ({task.name})"))
    table.add_column("rule")
    table.add_column("rows", justify="right")
    table.add_column("filter")
    for name in RULES:
        table.add_row(name, str(counts.get(name, 0)), "on" if name in active else "off")
    Console().print(table)


def _say_what_teaches(store: Store, task: Task) -> None:
    from .curation import class_counts
    from .dataset import lesson_pairs
    from .evaluation.systems import teaching_run

    run = teaching_run(store, task).id
    pairs, left_out = lesson_pairs(store, task, run, split="train")
    say(f"{len(pairs)} rows of split train teach, filters leave out {sum(left_out.values())}")
    for path, classes in class_counts(task, pairs).items():
        say(f"{path}: " + ", ".join(f"{name} {rows}" for name, rows in classes.items()))
