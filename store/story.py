"""Everything that the store knows of one record, as data: `why` is it what it is."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from . import provenance
from .connection import StoreError
from .statements import values_of
from .store import Store

NAMED = 5  # candidates that an error names
SHORTEST = 3  # characters that begin an id; fewer would mean anybody
_LAST = "\U0010ffff"  # no id goes on behind it
_SPLIT_UP = {"inputs", "gold", "gold_before", "parameters", "versions", "detail"} | {
    "answer",
    "confidence",
    "votes",
    "details",
}


def find_records(store: Store, asked: str) -> list[int]:
    """The numbers of the records that `asked` names, in the order of their runs.

    It is a record's number, RUN:EXAMPLE with beginnings of both ids, or an example's id or the
    beginning of one, for all its records; a beginning has SHORTEST characters or more. Raises
    StoreError, one line that names candidates, where nothing or more than one thing is meant.
    """
    asked = asked.strip()
    if asked.isascii() and asked.isdigit() and len(asked) < 19:
        found = store.connection.read(
            "select number from records where number = :number", number=int(asked)
        )
        if found:
            return [int(asked)]
    run, colon, example = asked.rpartition(":")
    return _of_run(store, run, example) if colon else _of_example(store, asked)


def find_examples(store: Store, asked: str) -> list[str]:
    """The ids of the examples that `asked` names, as `find_records` takes it, answered or not; also
    the hash of a question whose text was never kept. Raises StoreError."""
    asked = asked.strip()
    number = asked.isascii() and asked.isdigit() and len(asked) < 19
    if ":" in asked or (number and _is_record(store, int(asked))):
        found = store.connection.read(
            "select distinct e.id from records r join examples e on e.position = r.example "
            "where r.number in (select value from json_each(:numbers))",
            numbers=json.dumps(find_records(store, asked)),
        )
        return [row["id"] for row in found]
    named = store.connection.read(
        "select id as name from examples where id >= :from and id < :to union "
        "select example from calls where example >= :from and example < :to order by 1 limit :most",
        **_range(asked),
    )
    return [str(_only(named, what="record or example", asked=asked, store=store)["name"])]


def _is_record(store: Store, number: int) -> bool:
    select = "select 1 from records where number = :number"
    return bool(store.connection.read(select, number=number))


def why(store: Store, number: int) -> dict[str, Any]:
    """The story of the record of this number, as JSON data.

    Keys: `record`, `example`, `run` (who, with which parameters), `words` (the texts behind the
    run's fingerprints, None where they were not kept), `terms` of the model, `corrections` (what
    people said of the example, in order), `flags`, `trainings` (the students that it taught) and
    `others` (what other runs answered to the same example). Raises StoreError where there is none.
    """
    found = store.connection.read("select * from records where number = :number", number=number)
    if not found:
        raise StoreError(f"{store.path} has no record {number}")
    position, example = found[0]["run"], found[0]["example"]
    run = _one(store, "select * from runs where position = :at", at=position)
    terms = provenance.terms_of(store, run["model"])
    left_out = ("run", "example", "position")
    return {
        "record": _data(found[0], without=left_out),
        "example": _one(store, "select * from examples where position = :at", at=example),
        "run": run,
        "words": {
            name: {"fingerprint": run[name], "text": provenance.words(store, run[name])}
            for name in ("words", "answers")
        },
        "terms": terms and values_of(terms),
        "corrections": _many(store, _REVIEWS, example=example),
        "flags": _many(store, _FLAGS, example=example),
        "trainings": [values_of(training) for training in provenance.trainings_of(store, number)],
        "others": _many(store, _OTHERS, example=example, number=number),
    }


_REVIEWS = (
    "select v.id, v.verdict, v.reviewer, u.id as run, v.answer, v.reasoning, v.gold_before, "
    "v.gold_by_before, v.created, v.undone from reviews v left join runs u on u.position = v.run "
    "where v.example = :example order by v.id"
)
_FLAGS = (
    "select f.rule, u.id as run, f.score, f.detail, f.created, "
    "exists (select 1 from filters t where t.task = e.task and t.rule = f.rule) as filtered "
    "from flags f join examples e on e.position = f.example "
    "left join runs u on u.position = f.run where f.example = :example order by f.rule"
)
_OTHERS = (
    "select r.number, u.id as run, u.name, u.role, u.model, r.answer, r.error from records r "
    "join runs u on u.position = r.run where r.example = :example and r.number <> :number "
    "order by r.run"
)


def _of_run(store: Store, run: str, example: str) -> list[int]:
    runs = store.connection.read(
        "select position, id as name from runs where id >= :from and id < :to "
        "or name = :from order by id limit :most",
        **_range(run),
    )
    position = _only(runs, what="run", asked=run, store=store)["position"]
    records = store.connection.read(
        "select r.number, e.id as name from runs u join examples e on e.task = u.task "
        "and e.id >= :from and e.id < :to "
        "join records r on r.run = u.position and r.example = e.position "
        "where u.position = :run order by e.id limit :most",
        run=position,
        **_range(example),
    )
    what = f"record in run {runs[0]['name']} of an example"
    return [int(_only(records, what=what, asked=example, store=store)["number"])]


def _of_example(store: Store, asked: str) -> list[int]:
    examples = store.connection.read(
        "select e.position, e.id as name, e.task from examples e where e.task in "
        "(select task from runs) and e.id >= :from and e.id < :to order by e.id limit :most",
        **_range(asked),
    )
    if len({row["name"] for row in examples}) > 1 or not examples:
        _only(examples, what="record or example", asked=asked, store=store)
    numbers = [
        int(row["number"])
        for example in examples  # tasks may share an input, and with it the example's id
        for row in store.connection.read(
            "select number from records where example = :at order by run", at=example["position"]
        )
    ]
    if not numbers:
        raise StoreError(f"example {examples[0]['name']} has no record; nobody answered it yet")
    return numbers


def _range(prefix: str) -> dict[str, Any]:
    end = _LAST if len(prefix) >= SHORTEST else "\1"  # shorter: only the very id
    return {"from": prefix, "to": prefix + end, "most": NAMED + 1}


def _only(rows: list[sqlite3.Row], *, what: str, asked: str, store: Store) -> sqlite3.Row:
    """The one row, or the one that has the very name; else StoreError names the candidates."""
    exact = [row for row in rows if row["name"] == asked]
    if len(rows) == 1 or len(exact) == 1:
        return (exact or rows)[0]
    if not rows and len(asked) < SHORTEST:
        raise StoreError(
            f"{store.path} has no {what} {asked!r}; give a record's number, RUN:EXAMPLE, or "
            f"{SHORTEST} characters or more of an id"
        )
    if not rows:
        raise StoreError(
            f"{store.path} has no {what} {asked[:80]!r}; give a record's number, RUN:EXAMPLE, "
            "or an example's id (understudy store search finds them)"
        )
    names = ", ".join(row["name"][:40] for row in rows[:NAMED])
    more = ", ..." if len(rows) > NAMED else ""
    raise StoreError(f"{asked[:80]!r} begins more than one {what}: {names}{more}; write more of it")


def _one(store: Store, statement: str, **values: Any) -> dict[str, Any]:
    return _data(store.connection.read(statement, **values)[0], without=("position",))


def _many(store: Store, statement: str, **values: Any) -> list[dict[str, Any]]:
    rows = store.connection.read(statement, **values)
    return [_data(row, without=("example", "position")) for row in rows]


def _data(row: sqlite3.Row, *, without: tuple[str, ...]) -> dict[str, Any]:
    """The row as JSON data: the columns that hold JSON text are read."""
    return {
        name: json.loads(row[name]) if name in _SPLIT_UP and row[name] is not None else row[name]
        for name in row.keys()  # noqa: SIM118 - a sqlite3.Row iterates over its values
        if name not in without
    }
