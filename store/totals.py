"""Counts and sums over whole runs and splits, for reports and `store stats`: the file adds up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from .rows import Row
from .statements import RUN_POSITION, UNREPORTED
from .store import Store


class RunTotals(Row):
    """What a run's records add up to; a sum is None where no record says it.

    `failed` rows have no answer; `cost` is in US dollars; `seconds` is wall time summed over rows.
    """

    run: str
    name: str
    task: str
    role: str
    model: str
    rows: int
    failed: int
    attempts: int
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost: float | None
    seconds: float


_SUMMED = list(RunTotals.model_fields)[7:]
_TOTALS = (
    "select u.id as run, u.name, u.task, u.role, u.model, s.* from runs u left join "
    "(select run as position, count(*) as rows, count(*) - count(answer) as failed, "
    + ", ".join(f"sum({name}) as {name}" for name in _SUMMED)
    + " from records group by run) s on s.position = u.position "
    "where (:task is null or u.task = :task) order by u.position"
)


def run_totals(store: Store, task: str | None = None) -> list[RunTotals]:
    """The totals of every run (of a task), in the order they were started."""
    found = []
    for row in store.connection.read(_TOTALS, task=task):
        facts = {name: row[name] for name in RunTotals.model_fields}
        for name in ("rows", "failed", "attempts", "seconds"):
            facts[name] = facts[name] or 0  # a run without a record
        found.append(RunTotals(**facts))
    return found


class SplitTotals(Row):
    """How many examples a task's split holds, and how many of them have gold."""

    task: str
    split: str
    examples: int
    gold: int
    corrected: int


def split_totals(store: Store, task: str | None = None) -> list[SplitTotals]:
    """The totals of every split (of a task), in the order their first examples came."""
    rows = store.connection.read(
        "select task, split, count(*) as examples, count(gold) as gold, "
        "count(gold_by) as corrected from examples where (:task is null or task = :task) "
        "group by task, split order by min(position)",
        task=task,
    )
    return [SplitTotals(**dict(row)) for row in rows]


def record_splits(store: Store, run_id: str) -> dict[str, int]:
    """How many rows of a run each split holds, in the order their first examples came."""
    rows = store.connection.read(
        "select e.split, count(*) as n from records r join examples e on e.position = r.example "
        f"where r.run = {RUN_POSITION} group by e.split order by min(e.position)",
        run=run_id,
    )
    return {row["split"]: row["n"] for row in rows}


def answer_counts(store: Store, run_id: str, paths: Sequence[str]) -> dict[str, Counter[str]]:
    """Per path of the answer how often the run said each class, the most frequent first.

    A class that is no text stands as JSON (`true`, `3`); rows without an answer, and answers
    without the path, are not counted.
    """
    statement = f"from records where run = {RUN_POSITION} and answer is not null"
    return _counts(store, "answer", statement, paths, run=run_id)


def gold_counts(
    store: Store, task: str, paths: Sequence[str], *, split: str | None = None
) -> dict[str, Counter[str]]:
    """The same of the gold of a task's examples (of one split)."""
    statement = (
        "from examples where task = :task and gold is not null "
        "and (:split is null or split = :split)"
    )
    return _counts(store, "gold", statement, paths, task=task, split=split)


def _counts(
    store: Store, column: str, statement: str, paths: Sequence[str], **values: str | None
) -> dict[str, Counter[str]]:
    """One pass for all paths: together they take few different values."""
    if not paths:
        return {}
    asked = {f"path{n}": _json_path(path) for n, path in enumerate([*paths, paths[0]])}
    together = f"json_extract({column}, {', '.join(f':{name}' for name in asked)})"
    rows = store.connection.read(
        f"select {together} as classes, count(*) as n {statement} group by classes",
        **asked,
        **values,
    )
    counts: dict[str, Counter[str]] = {path: Counter() for path in paths}
    for row in rows:
        for path, value in zip(paths, json.loads(row["classes"]), strict=False):
            if value is not None:
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                counts[path][text] += row["n"]
    return {path: Counter(dict(counts[path].most_common())) for path in paths}


def _json_path(path: str) -> str:
    """A dotted path as SQLite asks for it."""
    return "$" + "".join(f'."{name}"' for name in path.split("."))


class Spent(Row):
    """What a run has spent at most: US dollars, and tokens in and out.

    Calls that may have been billed and did not say so (`details.unreported_calls`) count with their
    worst case. `unpriced_input` and `unpriced_output` are the tokens of rows without a cost.
    """

    usd: float
    tokens: int
    unpriced_input: int
    unpriced_output: int


def spent_by(store: Store, run_id: str) -> Spent:
    """What a run has spent so far."""
    (row,) = store.connection.read(
        f"select total(cost) + total(details ->> '$.{UNREPORTED}.usd') as usd, "
        "cast(total(input_tokens) + total(output_tokens) "
        f"+ total(details ->> '$.{UNREPORTED}.tokens') as integer) as tokens, "
        "cast(total(iif(cost is null, input_tokens, 0)) as integer) as unpriced_input, "
        "cast(total(iif(cost is null, output_tokens, 0)) as integer) as unpriced_output "
        f"from records where run = {RUN_POSITION}",
        run=run_id,
    )
    return Spent(**dict(row))


def unpriced(store: Store, run_id: str) -> int:
    """How many of a run's rows have been asked at a cost that nobody knows."""
    (row,) = store.connection.read(
        "select count(*) as n from records "
        f"where run = {RUN_POSITION} and cost is null and attempts > 0",
        run=run_id,
    )
    return int(row["n"])


def count_answered(store: Store, run_id: str) -> int:
    """How many rows of a run have an answer, or a failure that was paid for (`Store.answered`)."""
    (row,) = store.connection.read(
        f"select count(*) as n from records where run = {RUN_POSITION} "
        "and (answer is not null or raw is not null)",
        run=run_id,
    )
    return int(row["n"])
