"""What curation rules found in a task's examples, and which of the rules are filters."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable

from .connection import StoreError
from .rows import Flag
from .statements import RUN_POSITION, row_of, values_of
from .store import Store

_OF_TASK = "exists (select 1 from examples where position = example and task = :task)"
_OF_RULE = {True: "", False: "and f.rule = :rule"}  # two statements: the second has an index


def set_flags(store: Store, task: str, rule: str, flags: Iterable[Flag]) -> int:
    """Put these findings in the place of all that `rule` found in the task; returns how many.

    All or none. Raises StoreError where the store does not have a finding's example or run.
    """
    count = 0
    with store.connection.writing() as connection:
        connection.execute(
            f"delete from flags where rule = :rule and {_OF_TASK}", {"rule": rule, "task": task}
        )
        known: set[str | None] = {None}
        for flag in flags:
            if flag.run not in known:
                known.add(store.run(flag.run or "").id)
            values = {**values_of(flag), "rule": rule, "task": task, "created": _now()}
            added = connection.execute(
                "insert into flags (rule, example, run, score, detail, created) "
                f"select :rule, position, {RUN_POSITION}, :score, :detail, :created "
                "from examples where task = :task and id = :example",
                values,
            )
            if not added.rowcount:
                raise StoreError(
                    f"{store.path}: rule {rule} flags example {flag.example}, which task {task} "
                    "does not have; add it first"
                )
            count += 1
    return count


def flags(store: Store, task: str, rule: str | None = None) -> list[Flag]:
    """The findings of the task (of one rule): by rule, the highest score first."""
    rows = store.connection.read(
        "select e.id as example, f.rule, u.id as run, f.score, f.detail from flags f "
        "join examples e on e.position = f.example left join runs u on u.position = f.run "
        f"where e.task = :task {_OF_RULE[rule is None]} "
        "order by f.rule, f.score desc, f.example",
        task=task,
        rule=rule,
    )
    with store.connection.told():
        return [row_of(Flag, row) for row in rows]


def flag_counts(store: Store, task: str) -> dict[str, int]:
    """How many of the task's examples each rule has found something in."""
    # cross: from the few findings to their examples, not from the many examples
    rows = store.connection.read(
        "select f.rule, count(*) as n from flags f cross join examples e on e.position = f.example "
        "where e.task = :task group by f.rule order by f.rule",
        task=task,
    )
    return {row["rule"]: row["n"] for row in rows}


def clear_flags(store: Store, task: str, rule: str) -> int:
    """Forget what `rule` found in the task; returns how many findings there were."""
    with store.connection.writing() as connection:
        return connection.execute(
            f"delete from flags where rule = :rule and {_OF_TASK}", {"rule": rule, "task": task}
        ).rowcount


def set_filter(store: Store, task: str, rule: str, active: bool) -> None:
    """Let the rows that `rule` flags teach no student of this task, or let them teach again."""
    statement = (
        "insert into filters (task, rule, since) values (:task, :rule, :since) "
        "on conflict (task, rule) do nothing"
        if active
        else "delete from filters where task = :task and rule = :rule"
    )
    with store.connection.writing() as connection:
        connection.execute(statement, {"task": task, "rule": rule, "since": _now()})


def filters(store: Store, task: str) -> list[str]:
    """The rules that are filters of this task, by name."""
    rows = store.connection.read(
        "select rule from filters where task = :task order by rule", task=task
    )
    return [row["rule"] for row in rows]


def filtered(
    store: Store, task: str, *, run: str | None = None, but: Collection[str] = frozenset()
) -> dict[str, str]:
    """The examples that active filters (`but` these) leave out, with the first rule by name.

    With `run` findings in other runs' records do not count: another teacher's label is another one.
    """
    rows = store.connection.read(
        "select e.id as example, f.rule from filters a join flags f on f.rule = a.rule "
        "join examples e on e.position = f.example and e.task = a.task "
        "where a.task = :task "
        f"and (:run is null or f.run is null or f.run = {RUN_POSITION}) order by f.rule desc",
        task=task,
        run=run,
    )
    return {row["example"]: row["rule"] for row in rows if row["rule"] not in but}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
