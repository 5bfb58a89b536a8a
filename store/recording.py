"""A run that was made elsewhere: what it answered is remembered as a whole, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .rows import Example, Record, Run
from .statements import ADD_RECORD, RUN_POSITION, insert_into, record_cells, values_of
from .store import Store, add_example

_NEEDS_NO_ANSWER = (
    "select 1 from records r join examples e on e.position = r.example "
    f"where r.run = {RUN_POSITION} and e.task = :task and e.id = :example "
    "and (r.answer is not null or r.raw is not null)"
)


def add_recordings(
    store: Store,
    run: Run,
    pairs: Iterable[tuple[Example, Record]],
    *,
    finished: str,
    added: Counter[str] | None = None,
) -> int:
    """Remember a run with its examples and records, all or none; how many records are new.

    What the run has answered already stays. The pairs are taken one at a time, so there may be any
    number; the file is locked for other writers until the last one. `added` counts the examples
    as `add_example` names them. Raises StoreError.
    """
    new = 0
    counts = Counter[str]() if added is None else added
    runs: dict[str, tuple[int | None, str | None]] = {}
    with store.connection.writing() as connection:
        connection.execute(insert_into("runs", Run, "on conflict (id) do nothing"), values_of(run))
        cursor = connection.cursor()
        for example, record in pairs:
            counts[add_example(cursor, example)] += 1
            known = {"run": run.id, "task": example.task, "example": example.id}
            if cursor.execute(_NEEDS_NO_ANSWER, known).fetchone() is None:
                new += cursor.execute(
                    ADD_RECORD, record_cells(connection, record, runs=runs)
                ).rowcount
        connection.execute("update runs set finished = ? where id = ?", (finished, run.id))
    return new
