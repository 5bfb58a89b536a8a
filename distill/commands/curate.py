"""The command `curate`: rules over the rows of a task, what they found, and which are filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    DEFAULT_STORE,
    SAMPLE_TASK,
    JsonOption,
    StoreOption,
    TaskOption,
    open_for,
    prints_aside,
    remark,
    stoppable,
    tell,
)

if TYPE_CHECKING:
    from ...chains.task import Task
    from ...store.store import Store

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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be replaced, and change nothing")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find duplicates, conflicts, suspected label errors, poor reasonings; nothing is deleted.

    With --exclude, --include or --clear alone no rule looks again.
    """
    from ...chains.loading import load_task
    from ..reviewing.curation import RULES, check_rule, curate

    looks = bool(rule) or not (exclude or include or clear)
    with open_for(store, dry_run=dry_run) as opened, stoppable():
        with prints_aside(as_json):
            loaded = load_task(task)
        for name in (*(rule or ()), *(exclude or ()), *(include or ()), *(clear or ())):
            check_rule(name)
        if dry_run:
            looking = list(rule or RULES) if looks else []
            changes = _changes(opened, loaded.name, looking, exclude, include, clear)
            lines = [*map(_change_told, changes), "nothing was changed"]
            tell(
                {"task": loaded.name, "changes": changes, "written": False}, lines, as_json=as_json
            )
            return
        if looks:
            curate(loaded, opened, rule)
        _set(opened, loaded.name, exclude or (), include or (), clear or ())
        found = _found(opened, loaded)
    if not as_json:
        _print_rules(found)
    tell(found, _told(found), as_json=as_json)


COMMANDS = {"curate": curate_}


def _set(
    store: Store,
    task: str,
    exclude: list[str] | tuple[()],
    include: list[str] | tuple[()],
    clear: list[str] | tuple[()],
) -> None:
    from ...store.flags import clear_flags, set_filter

    for name in clear:
        remark(f"{name}: {clear_flags(store, task, name)} findings forgotten")
    for names, active in ((exclude, True), (include, False)):
        for name in names:
            set_filter(store, task, name, active)


_WOULD = {
    "look again": "{rows:,} earlier findings would be replaced by what it finds now",
    "exclude": "the {rows:,} rows that it flags would teach no student",
    "include": "the {rows:,} rows that it flags would teach again",
    "clear": "{rows:,} findings would be forgotten",
}


def _changes(
    store: Store,
    task: str,
    looking: list[str],
    exclude: list[str] | None,
    include: list[str] | None,
    clear: list[str] | None,
) -> list[dict[str, Any]]:
    """What each rule would do, in the order in which it would be done: `would`, and its rows."""
    from ...store.flags import filters, flag_counts

    counts, active = flag_counts(store, task), set(filters(store, task))
    asked = {"look again": looking, "clear": clear, "exclude": exclude, "include": include}
    changes = []
    for would, names in asked.items():
        for name in names or ():
            rows = counts.get(name, 0)
            changes.append({"rule": name, "would": would, "rows": rows, "filter": name in active})
            if would == "clear":
                counts[name] = 0  # which is what comes next finds
            elif would == "exclude":
                active.add(name)
    return changes


def _change_told(change: dict[str, Any]) -> str:
    """One line for a person."""
    now = " (it is a filter already)" if change["filter"] and change["would"] == "exclude" else ""
    now = " (it is no filter)" if not change["filter"] and change["would"] == "include" else now
    return f"{change['rule']}: {_WOULD[change['would']].format(**change)}{now}"


def _found(store: Store, task: Task) -> dict[str, Any]:
    """Rows by rule, which rules are filters, and what teaches when they have had their say."""
    from ...store.flags import filters, flag_counts
    from ..evaluation.systems import teaching_run
    from ..reviewing.curation import RULES, class_counts
    from ..training.dataset import lesson_pairs

    counts, active = flag_counts(store, task.name), filters(store, task.name)
    run = teaching_run(store, task).id
    pairs, left_out = lesson_pairs(store, task, run, split="train")
    return {
        "task": task.name,
        "rules": {name: {"rows": counts.get(name, 0), "filter": name in active} for name in RULES},
        "teacher_run": run,
        "rows": len(pairs),
        "left_out": dict(left_out),
        "classes": {path: dict(classes) for path, classes in class_counts(task, pairs).items()},
    }


def _print_rules(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"what curation found ({found['task']})"))
    table.add_column("rule")
    table.add_column("rows", justify="right")
    table.add_column("filter")
    for name, rule in found["rules"].items():
        table.add_row(name, str(rule["rows"]), "on" if rule["filter"] else "off")
    Console().print(table)


def _told(found: dict[str, Any]) -> Iterator[str]:
    left_out = sum(found["left_out"].values())
    yield f"{found['rows']} rows of split train teach, filters leave out {left_out}"
    for path, classes in found["classes"].items():
        yield f"{path}: " + ", ".join(f"{name} {rows}" for name, rows in classes.items())
