"""What stands behind a label: the words that were said, the teacher's terms, who learnt from it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal

from .connection import StoreError
from .rows import Terms, Training, fingerprint
from .statements import insert_into, row_of, values_of
from .store import Store

WordsKind = Literal["prompt", "schema"]
_TRAINING = (
    "select t.folder, t.name, t.task, t.base, t.target, u.id as run, t.rows_sha256, t.seed, "
    "t.created from trainings t join runs u on u.position = t.run"
)
# The time stays where the very student is remembered again.
_SAME_TRAINING = (
    "on conflict (folder, rows_sha256) do update set name = excluded.name, task = excluded.task, "
    "base = excluded.base, target = excluded.target, run = excluded.run, seed = excluded.seed, "
    "created = iif(base = excluded.base and target = excluded.target and run = excluded.run "
    "and seed = excluded.seed, created, excluded.created)"
)


def fingerprint_of(kind: WordsKind, text: str) -> str:
    """The fingerprint that a kept text must have. Raises ValueError where a prompt is no JSON.

    A prompt is kept as canonical JSON of its messages, a schema as the JSON text of itself.
    """
    return fingerprint(json.loads(text) if kind == "prompt" else text)


def save_words(store: Store, words: str, kind: WordsKind, text: str) -> bool:
    """Keep the text behind the fingerprint `words`, once; False where it was kept before.

    Raises StoreError where the text has another fingerprint.
    """
    with store.connection.told():
        found = fingerprint_of(kind, text)
    if found != words:
        raise StoreError(f"a {kind} with the fingerprint {found} is not the one of {words}")
    if store.connection.read("select 1 from words where fingerprint = :words", words=words):
        return False
    with store.connection.writing() as connection:
        done = connection.execute(
            "insert into words (fingerprint, kind, text) values (?, ?, ?) "
            "on conflict (fingerprint) do nothing",
            (words, kind, text),
        )
        return done.rowcount > 0


def words(store: Store, fingerprint: str) -> str | None:
    """The text behind a fingerprint of `Run.words` or `Run.answers`; None where none was kept."""
    rows = store.connection.read(
        "select text from words where fingerprint = :fingerprint", fingerprint=fingerprint
    )
    return str(rows[0]["text"]) if rows else None


def set_terms(store: Store, terms: Terms) -> None:
    """Note what a model's provider says on training with its outputs, over an earlier note."""
    with store.connection.writing() as connection:
        connection.execute(
            insert_into(
                "terms",
                Terms,
                "on conflict (model) do update set licence = excluded.licence, "
                "note = excluded.note, source = excluded.source, noted = excluded.noted",
            ),
            values_of(terms),
        )


def terms_of(store: Store, model: str) -> Terms | None:
    """What was noted of this model, None where nothing was."""
    rows = store.connection.read("select * from terms where model = :model", model=model)
    return row_of(Terms, rows[0]) if rows else None


def all_terms(store: Store) -> list[Terms]:
    """Every note, by the model's name."""
    return [row_of(Terms, row) for row in store.connection.read("select * from terms order by 1")]


def add_training(store: Store, training: Training, examples: Iterable[str]) -> int:
    """Remember a trained student and the records of `training.run` that taught it; its number.

    `examples` are the ids of what was taught; one that the run has no record of is no lesson. The
    same folder and rows again are the same training: its facts and lessons are replaced. Raises
    StoreError where the store does not have the run.
    """
    (run,) = store.connection.read(
        "select (select position from runs where id = :run) as position", run=training.run
    )
    if run["position"] is None:
        raise StoreError(f"{store.path} has no run {training.run}")
    facts = {**values_of(training), "run": run["position"]}
    insert = insert_into("trainings", Training, _SAME_TRAINING)
    with store.connection.writing() as connection:
        number = connection.execute(f"{insert} returning number", facts).fetchone()["number"]
        connection.execute("delete from lessons where training = ?", (number,))
        connection.executemany(
            "insert or ignore into lessons (training, record) select ?, r.number "
            "from examples e join records r on r.run = ? and r.example = e.position "
            "where e.task = ? and e.id = ?",
            ((number, run["position"], training.task, example) for example in examples),
        )
    return int(number)


def trainings(store: Store) -> list[Training]:
    """Every trained student, newest first."""
    rows = store.connection.read(f"{_TRAINING} order by t.created desc, t.number desc")
    return [row_of(Training, row) for row in rows]


def trainings_of(store: Store, record: int) -> list[Training]:
    """The students that learnt from the record of this number, oldest first."""
    rows = store.connection.read(
        f"{_TRAINING} join lessons l on l.training = t.number where l.record = :record "
        "order by t.number",
        record=record,
    )
    return [row_of(Training, row) for row in rows]


def taught_examples(store: Store, rows_sha256: str) -> set[str]:
    """The ids of the examples that taught the students whose rows have this digest."""
    rows = store.connection.read(
        "select distinct e.id from trainings t join lessons l on l.training = t.number "
        "join records r on r.number = l.record join examples e on e.position = r.example "
        "where t.rows_sha256 = :digest",
        digest=rows_sha256,
    )
    return {str(row["id"]) for row in rows}
