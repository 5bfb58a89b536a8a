"""What people said of the answers: accepted and corrected ones become gold, and can be undone."""

from __future__ import annotations

import datetime
import sqlite3

from .connection import StoreError
from .rows import Example, Record, Review, Run
from .statements import row_of, values_of
from .store import Store

# A review with its example's and its run's id in place of their positions.
_REVIEW = (
    "select r.id, e.id as example, u.id as run, r.verdict, r.reviewer, r.answer, r.reasoning, "
    "r.created, r.undone from reviews r join examples e on e.position = r.example "
    "left join runs u on u.position = r.run"
)
# One that stands and set a gold.
_STANDS = "r.undone is null and r.verdict != 'skip'"
_INSERT = (
    "insert into reviews (example, run, verdict, reviewer, answer, reasoning, gold_before, "
    "gold_by_before, created, undone) values (:position, "
    "(select position from runs where id = :run and task = :task), :verdict, :reviewer, :answer, "
    ":reasoning, :gold_before, :gold_by_before, :created, :undone)"
)


def add_review(store: Store, task: str, review: Review) -> Review:
    """Remember a review, and for accept and correct make its answer the example's gold; both or
    neither. Returns it with its id.

    The gold before is remembered for `undo_review`. Raises StoreError where the store has not the
    example or the run, or the answer is missing.
    """
    with store.connection.writing() as connection:
        return _add(connection, store, task, review)


def add_if_open(
    store: Store, task: str, review: Review, *, skips_after: int = 0
) -> tuple[Review, bool]:
    """The same, once: where somebody has accepted or corrected the example, nothing is done.

    Returns the review that stands, and whether it is this one. A skip is not added either where
    its reviewer has skipped the example in a review of an id above `skips_after`.
    """
    with store.connection.writing() as connection:
        found = connection.execute(
            f"{_REVIEW} where e.task = :task and e.id = :example and ({_STANDS} or "
            "r.undone is null and :verdict = 'skip' and r.reviewer = :reviewer "
            "and r.id > :skips_after) order by r.id desc limit 1",
            {**values_of(review), "task": task, "skips_after": skips_after},
        ).fetchone()
        if found is not None:
            return row_of(Review, found), False
        return _add(connection, store, task, review), True


def undo_review(store: Store, task: str, reviewer: str, id: int | None = None) -> Review | None:
    """Take back the reviewer's newest review of the task, or the one of this id; None where there
    is none that stands.

    The gold before comes back where the gold is still the one that this review set.
    """
    with store.connection.writing() as connection:
        found = connection.execute(
            f"{_REVIEW} where e.task = :task and r.reviewer = :reviewer and r.undone is null "
            "and (:id is null or r.id = :id) order by r.id desc limit 1",
            {"task": task, "reviewer": reviewer, "id": id},
        ).fetchone()
        if found is None:
            return None
        undone = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        connection.execute(
            "update reviews set undone = ? where id = ?",
            (undone, found["id"]),
        )
        if found["verdict"] != "skip":
            _give_back(connection, found["id"])
        return row_of(Review, found).model_copy(update={"undone": undone})


def reviews(store: Store, task: str) -> list[Review]:
    """Everything that was said of the task's examples, in order, what was undone too."""
    rows = store.connection.read(f"{_REVIEW} where e.task = :task order by r.id", task=task)
    with store.connection.told():
        return [row_of(Review, row) for row in rows]


def corrections(store: Store, task: str) -> dict[str, Review]:
    """Per example id the newest review that stands and gave it a gold."""
    rows = store.connection.read(
        f"{_REVIEW} where e.task = :task and {_STANDS} order by r.id", task=task
    )
    with store.connection.told():
        return {row["example"]: row_of(Review, row) for row in rows}


def closed_examples(
    store: Store, task: str, reviewer: str, *, skips_after: int = 0, after: int = 0
) -> set[str]:
    """The ids of the examples that `reviewer` need not be shown: accepted or corrected by anybody,
    or skipped by the reviewer in a review of an id above `skips_after`. Only reviews of an id above
    `after` count."""
    rows = store.connection.read(
        "select e.id from reviews r join examples e on e.position = r.example where r.id > :after "
        f"and e.task = :task and ({_STANDS} or r.undone is null and r.reviewer = :reviewer "
        "and r.id > :skips_after)",
        task=task,
        reviewer=reviewer,
        skips_after=skips_after,
        after=after,
    )
    return {row["id"] for row in rows}


def closing_review(
    store: Store, task: str, example: str, reviewer: str, *, skips_after: int = 0
) -> Review | None:
    """The newest review for which `closed_examples` has the example, None where it is open."""
    rows = store.connection.read(
        f"{_REVIEW} where e.task = :task and e.id = :example and ({_STANDS} or "
        "r.undone is null and r.reviewer = :reviewer and r.id > :skips_after) "
        "order by r.id desc limit 1",
        task=task,
        example=example,
        reviewer=reviewer,
        skips_after=skips_after,
    )
    with store.connection.told():
        return row_of(Review, rows[0]) if rows else None


def newest_review(store: Store) -> int:
    """The id of the newest review of any task, 0 where there is none."""
    (row,) = store.connection.read("select coalesce(max(id), 0) as id from reviews")
    return int(row["id"])


def answered_example(
    store: Store, task: str, example: str
) -> tuple[Example, list[tuple[Run, Record]]] | None:
    """One example and what each run answered to it, newest run first; None where it is unknown."""
    read = store.connection.read
    found = read("select * from examples where task = :task and id = :id", task=task, id=example)
    if not found:
        return None
    rows = read(
        "select r.*, u.id as run_id from records r join runs u on u.position = r.run "
        "where r.example = :position "
        "order by coalesce(u.finished, u.started) desc, u.position desc",
        position=found[0]["position"],
    )
    with store.connection.told():
        answers = [
            row_of(Record, {**dict(row), "run": row["run_id"], "example": example}) for row in rows
        ]
        return row_of(Example, found[0]), [(store.run(one.run), one) for one in answers]


def _add(connection: sqlite3.Connection, store: Store, task: str, review: Review) -> Review:
    if review.verdict != "skip" and review.answer is None:
        raise StoreError(f"a review that says {review.verdict} needs an answer; give one")
    row = connection.execute(
        "select position, gold, gold_by from examples where task = ? and id = ?",
        (task, review.example),
    ).fetchone()
    if row is None:
        raise StoreError(f"{store.path} has no example {review.example} of task {task}; add it")
    known = "select 1 from runs where id = ? and task = ?"
    if review.run is not None and not connection.execute(known, (review.run, task)).fetchone():
        raise StoreError(f"{store.path} has no run {review.run} of task {task}; start it first")
    values = values_of(review)
    before = {"gold_before": row["gold"], "gold_by_before": row["gold_by"]}
    number = connection.execute(
        _INSERT, {**values, **before, "task": task, "position": row["position"]}
    ).lastrowid
    if review.verdict != "skip":
        connection.execute(
            "update examples set gold = ?, gold_by = ? where position = ?",
            (values["answer"], review.reviewer, row["position"]),
        )
    return review.model_copy(update={"id": number})


def _give_back(connection: sqlite3.Connection, number: int) -> None:
    """What the review of this number covered stands again: under the review after it, or as gold.

    A later review remembers as its gold before what this one had set; it now remembers what was
    there before this one.
    """
    row = connection.execute("select * from reviews where id = ?", (number,)).fetchone()
    before = (row["gold_before"], row["gold_by_before"])
    later = connection.execute(
        f"select r.id from reviews r where r.example = ? and r.id > ? and {_STANDS} "
        "order by r.id limit 1",
        (row["example"], number),
    ).fetchone()
    if later is not None:
        connection.execute(
            "update reviews set gold_before = ?, gold_by_before = ? where id = ?",
            (*before, later["id"]),
        )
        return
    connection.execute(
        "update examples set gold = ?, gold_by = ? where position = ? and gold = ? and gold_by = ?",
        (*before, row["example"], row["answer"], row["reviewer"]),
    )
