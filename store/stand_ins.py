"""Stand-ins in production: their modes, their calibrations, and the calls they were asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .connection import StoreError
from .rows import Calibration, Call, Example, Record, Run, StandIn
from .statements import ADD_RECORD, insert_into, record_cells, row_of, values_of
from .store import PAGE, Store, add_example

_STAND_IN = "select name, task, mode, agreement, student, reason, changed from stand_ins"
_KEPT = ", ".join(f"{name} = excluded.{name}" for name in StandIn.model_fields if name != "name")
_SAVE = insert_into("stand_ins", StandIn, f"on conflict (name) do update set {_KEPT}")
_CALL_FIELDS = [name for name in Call.model_fields if name != "number"]
_ADD_CALL = (
    f"insert into calls ({', '.join(_CALL_FIELDS)}) select s.number, "
    + ", ".join(f":{name}" for name in _CALL_FIELDS[1:])
    + " from stand_ins s where s.name = :stand_in"
)
_CALLS = (
    "select "
    + ", ".join("s.name as stand_in" if n == "stand_in" else f"c.{n}" for n in Call.model_fields)
    + " from stand_ins s join calls c on c.stand_in = s.number where s.name = :name "
)
_CALIBRATION = ", ".join(
    {"student": "su.id as student", "teacher": "tu.id as teacher"}.get(name, f"c.{name}")
    for name in Calibration.model_fields
)

# Whether a student's answer to the call's text is the run's; null where no student's is kept. One
# that was kept only after the call is not the call's.
_OWN = (
    "select max(u.id = :student) from examples e join records r on r.example = e.position "
    "join runs u on u.position = r.run and u.role = 'student' "
    "where e.task = s.task and e.id = c.example and r.created <= c.at"
)

# `paid`: a cost is known; `free`: the student answered and nobody else was asked.
_TOTALS = """
select count(*) as calls, min(at) as first, max(at) as last,
coalesce(sum(answered_by = 'student'), 0) as by_student,
coalesce(sum(escalated), 0) as escalated, coalesce(sum(sampled), 0) as sampled,
coalesce(sum(error is not null), 0) as errors,
coalesce(sum(agreed is not null), 0) as compared, coalesce(sum(agreed), 0) as agreed,
coalesce(sum(agreed is not null and answered_by = 'student'), 0) as compared_answered,
coalesce(sum(agreed and answered_by = 'student'), 0) as agreed_answered,
sum(cost) as cost, count(cost) as paid, sum(input_tokens) as input_tokens,
sum(output_tokens) as output_tokens, count(input_tokens) as counted,
coalesce(sum(answered_by = 'student' and cost is null and not sampled), 0) as free
from calls c join stand_ins s on s.number = c.stand_in where s.name = :name
and (:since is null or at >= :since)
"""


@dataclass(frozen=True)
class Remembered:
    """One call with the row that it asked and what was answered; no example where no text is."""

    call: Call
    example: Example | None = None
    records: tuple[Record, ...] = ()


def stand_in(store: Store, name: str) -> StandIn | None:
    """The stand-in of this name; None where there is none."""
    rows = store.connection.read(f"{_STAND_IN} where name = :name", name=name)
    with store.connection.told():
        return row_of(StandIn, rows[0]) if rows else None


def stand_ins(store: Store) -> list[StandIn]:
    """Every stand-in, by name."""
    rows = store.connection.read(f"{_STAND_IN} order by name")
    with store.connection.told():
        return [row_of(StandIn, row) for row in rows]


def save_stand_in(store: Store, row: StandIn) -> None:
    """Remember a stand-in, over what was remembered under its name."""
    with store.connection.writing() as connection:
        connection.execute(_SAVE, values_of(row))


def replace_stand_in(store: Store, before: StandIn | None, after: StandIn) -> bool:
    """Remember `after` in the place of `before`, None for no row; False where another row stands
    there by now, or none any more."""
    with store.connection.writing() as connection:
        found = connection.execute(f"{_STAND_IN} where name = ?", (after.name,)).fetchone()
        if (row_of(StandIn, found) if found is not None else None) != before:
            return False
        connection.execute(_SAVE, values_of(after))
    return True


def save_calibration(store: Store, row: Calibration) -> int:
    """Remember a calibration beside the earlier ones; its number.

    Raises StoreError where the store does not have one of the runs.
    """
    values = values_of(row)
    with store.connection.writing() as connection:
        for role in ("student", "teacher"):
            select = "select position from runs where id = ?"
            found = connection.execute(select, (values[role],)).fetchone()
            if found is None:
                raise StoreError(f"{store.path} has no run {values[role]}")
            values[role] = found["position"]
        done = connection.execute(insert_into("calibrations", Calibration, ""), values)
        return int(done.lastrowid or 0)


def newest_calibration(
    store: Store, *, task: str, student: str, agreement: float | None = None
) -> Calibration | None:
    """The newest calibration of this student's run (for this agreement); None where none is.

    A newest one that was refused (no threshold) is returned too.
    """
    rows = store.connection.read(
        f"select {_CALIBRATION} from calibrations c join runs su on su.position = c.student "
        "join runs tu on tu.position = c.teacher where c.task = :task and su.id = :student "
        "and (:agreement is null or c.agreement = :agreement) order by c.number desc limit 1",
        task=task,
        student=student,
        agreement=agreement,
    )
    with store.connection.told():
        return row_of(Calibration, rows[0]) if rows else None


def add_remembered(
    store: Store, here: StandIn, runs: Iterable[Run], rows: Iterable[Remembered], *, now: str
) -> int:
    """Remember calls with their examples and records in one transaction; how many records are new.

    The stand-in is made where there is none of its name; one that is there keeps its mode. What a
    run answered to the same inputs before stays, as in `Store.add_record`; an example that is known
    keeps its split. The runs are finished `now`: whatever was asked has been answered. All or none.
    """
    new = 0
    known: dict[str, tuple[int | None, str | None]] = {}
    with store.connection.writing() as connection:
        insert = insert_into("stand_ins", StandIn, "on conflict (name) do nothing")
        connection.execute(insert, values_of(here))
        for run in runs:
            connection.execute(
                insert_into("runs", Run, "on conflict (id) do nothing"), values_of(run)
            )
            connection.execute("update runs set finished = ? where id = ?", (now, run.id))
        cursor = connection.cursor()
        for row in rows:
            if row.example is not None:
                add_example(cursor, row.example)
            for record in row.records:
                cells = record_cells(connection, record, runs=known)
                new += cursor.execute(ADD_RECORD, cells).rowcount
            _add_call(connection, store, row.call)
    return new


def iter_calls(store: Store, stand_in: str, since: str | None = None) -> Iterator[Call]:
    """The calls of a stand-in in the order of storing, a page at a time; `since` is a time (UTC,
    ISO 8601), and calls before it are left out."""
    after = 0
    statement = (
        f"{_CALLS} and c.number > :after and (:since is null or c.at >= :since) "
        "order by c.number limit :page"
    )
    while page := store.connection.read(
        statement, name=stand_in, after=after, since=since, page=PAGE
    ):
        with store.connection.told():
            yield from (row_of(Call, row) for row in page)
        after = page[-1]["number"]


def checked_since(
    store: Store, name: str, *, since: str, after: int = 0, student: str | None = None
) -> tuple[int, list[tuple[str, bool]]]:
    """The student's own answers that the teacher checked, of calls from `since` on whose number is
    above `after`: up to which number was looked, and (example, whether both agreed) in the order of
    storing. Calls whose text no row holds are left out, and those that another student than the run
    `student` answered, as the students' records of the text tell; without records (no text is
    stored) all count. The unary plus keeps SQLite from the index by time: what is new is at the end
    of the table."""
    (last,) = store.connection.read("select coalesce(max(number), 0) as number from calls")
    rows = store.connection.read(
        "select c.example, c.agreed from calls c join stand_ins s on s.number = +c.stand_in "
        "where s.name = :name and c.number > :after and c.number <= :last and +c.at >= :since "
        "and c.answered_by = 'student' and c.agreed is not null and c.example is not null "
        f"and (:student is null or coalesce(({_OWN}), 1)) order by c.number",
        name=name,
        after=after,
        last=last["number"],
        since=since,
        student=student,
    )
    return last["number"], [(row["example"], bool(row["agreed"])) for row in rows]


def call_totals(store: Store, name: str, since: str | None = None) -> dict[str, Any]:
    """The calls of a stand-in (since a time) by count, summed up by SQLite: `calls`, who answered
    (`by_student`, `escalated`), the `compared` and `agreed` (of all, and of those that the student
    answered), tokens and `cost` of the `paid`, and the `free`, which no teacher was asked."""
    (row,) = store.connection.read(_TOTALS, name=name, since=since)
    return dict(row)


def calibrations(store: Store, task: str) -> list[Calibration]:
    """Every calibration of the task's students, the newest first."""
    rows = store.connection.read(
        f"select {_CALIBRATION} from calibrations c join runs su on su.position = c.student "
        "join runs tu on tu.position = c.teacher where c.task = :task order by c.number desc",
        task=task,
    )
    with store.connection.told():
        return [row_of(Calibration, row) for row in rows]


def _add_call(connection: sqlite3.Connection, store: Store, call: Call) -> None:
    if not connection.execute(_ADD_CALL, values_of(call)).rowcount:
        raise StoreError(f"{store.path} has no stand-in {call.stand_in}; save it first")
