"""Which examples a run has yet to answer: a page at a time, so that there may be any number."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .rows import Example, Run
from .statements import RUN_POSITION, row_of
from .store import PAGE, Store

# A failure without any text brought nothing, so it is asked again; one that was paid for is not.
_PENDING = (
    f"from examples e left join records r on r.run = {RUN_POSITION} and r.example = e.position "
    "where e.task = :task and e.split = :split and e.position > :after and e.position <= :last "
    "and (:among is null or e.id <= :among) and (r.run is null or "
    "r.answer is null and (r.raw is null or :failed)) "
)


def iter_pending(
    store: Store,
    run: Run,
    *,
    splits: list[str] | None = None,
    limit: int | None = None,
    sample: int | None = None,
    failed: bool = False,
) -> Iterator[Example]:
    """The examples of its task that a run, started or not, has to answer.

    They come split by split, in each in their order. `limit` is for each split and counts what is
    answered, too. `sample` takes that many of all by chance, always the same ones: those with the
    smallest ids, which are hashes. With `failed`, rows whose answer was paid for and did not fit
    are asked again. The rows may be answered while they are read.
    """
    for scope in _scopes(store, run, splits, limit, sample):
        after = 0
        while page := store.connection.read(
            f"select e.* {_PENDING} order by e.position limit :page",
            **{**scope, "after": after, "failed": failed, "page": PAGE},
        ):
            yield from (row_of(Example, row) for row in page)
            after = page[-1]["position"]


def count_pending(
    store: Store,
    run: Run,
    *,
    splits: list[str] | None = None,
    limit: int | None = None,
    sample: int | None = None,
    failed: bool = False,
) -> int:
    """How many `iter_pending` gives."""
    total = 0
    for scope in _scopes(store, run, splits, limit, sample):
        (row,) = store.connection.read(
            f"select count(*) as n {_PENDING}", **{**scope, "after": 0, "failed": failed}
        )
        total += row["n"]
    return total


def _scopes(
    store: Store, run: Run, splits: list[str] | None, limit: int | None, sample: int | None
) -> Iterator[dict[str, object]]:
    """Per split what bounds its rows: the position of the last one, and the largest id."""
    named = list(store.splits(run.task)) if splits is None else splits
    among = None if sample is None else _largest_id(store, run.task, named, sample)
    for split in named:
        found = {"task": run.task, "split": split}
        (end,) = store.connection.read(
            "select max(position) as position from (select position from examples where "
            "task = :task and split = :split order by position limit :limit)",
            **{**found, "limit": -1 if limit is None else limit},
        )
        yield {**found, "run": run.id, "last": end["position"] or 0, "among": among}


def _largest_id(store: Store, task: str, splits: list[str], sample: int) -> str:
    (bound,) = store.connection.read(
        "select max(id) as id from (select id from examples where task = :task and "
        "split in (select value from json_each(:splits)) order by id limit :sample)",
        task=task,
        splits=json.dumps(splits),
        sample=sample,
    )
    return bound["id"] or ""
