"""The rows that benchmarks.store writes: made-up news with words as frequent as real ones are."""

from __future__ import annotations

import bisect
import functools
import itertools
import random
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from understudy.store import Example, Record, Run, Store, example_id, run_id
from understudy.store.statements import cells_of

TASK = "news"
CREATED = "2026-01-01T00:00:00+00:00"
SHARES = (0.6, 0.2, 0.2)  # of the records: the first run answers three fifths
CLASSES = {
    "emocao": ["Alegria", "Medo", "Neutro", "Raiva", "Surpresa", "Tristeza"],
    "polaridade": ["Positivo", "Negativo", "Neutro"],
}
SPLITS = ("train",) * 7 + ("validation", "calibration", "test")
_SYLLABLES = [a + b for a in "bcdfglmnprstvz" for b in ("a", "e", "i", "o", "ão", "ar")]
COLUMNS = {
    "examples": ["position", *Example.model_fields],
    "records": ["number", *Record.model_fields],
}


@functools.cache
def words() -> tuple[list[str], list[float]]:
    """20,000 words and their summed frequencies: the n-th is as frequent as 1/n (Zipf)."""
    rng = random.Random(1)
    made: dict[str, None] = {}
    while len(made) < 20_000:
        made["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4)))] = None
    return list(made), list(itertools.accumulate(1 / rank for rank in range(1, 20_001)))


def word_of_rank(share: float) -> str:
    """A word that stands at this share (0 to 1) of all written words."""
    names, summed = words()
    return names[bisect.bisect(summed, share * summed[-1])]


def text(rng: random.Random, count: int) -> str:
    """A sentence of this many words."""
    names, summed = words()
    return " ".join(rng.choices(names, cum_weights=summed, k=count)).capitalize() + "."


def runs() -> list[Run]:
    """The runs whose records are written, the first is the largest."""
    made = []
    for role, name in (("teacher", "gpt-4"), ("student", "label"), ("student", "reason_label")):
        identity: dict[str, Any] = {
            "task": TASK,
            "role": role,
            "model": name,
            "strategy": "answer",
            "target": "reason_label",
            "words": "0123456789abcdef",
            "answers": "fedcba9876543210",
            "parameters": {"temperature": 0.5},
        }
        made.append(Run(id=run_id(**identity), name=name, started=CREATED, **identity))
    return made


def inputs(number: int) -> dict[str, str]:
    """The three parts of a piece of news."""
    rng = random.Random(number)
    return {name: text(rng, 12) for name in ("f1", "f2", "f3")}


def answer(rng: random.Random) -> dict[str, Any]:
    """Three parts with an emotion and a polarity each."""
    return {
        part: {name: rng.choice(classes) for name, classes in CLASSES.items()}
        for part in ("f1", "f2", "f3")
    }


def examples(numbers: Sequence[int]) -> list[Example]:
    """The examples of these numbers, a third with gold."""
    made = []
    for number in numbers:
        texts = inputs(number)
        gold = answer(random.Random(-number)) if number % 3 == 0 else None
        split, group = SPLITS[number // 4 % 10], f"g{number // 4}"  # a group is in one split
        made.append(
            Example(
                id=example_id(texts), task=TASK, split=split, inputs=texts, gold=gold, group=group
            )
        )
    return made


def spread(total: int) -> list[tuple[Run, int]]:
    """Which run answers how many of the examples, from the first on."""
    return [(run, int(total * share)) for run, share in zip(runs(), SHARES, strict=True)]


def records(run: Run, numbers: Sequence[int]) -> list[Record]:
    """What the run answered to the examples of these numbers; one of fifty failed."""
    made = []
    for number in numbers:
        rng = random.Random(f"{run.name} {number}")
        said = answer(rng)
        fails = number % 50 == 7
        made.append(
            Record(
                run=run.id,
                example=example_id(inputs(number)),
                reasoning=None if fails else text(rng, 30),
                answer=None if fails else said,
                raw=str(said),
                error="ValidationError: f1" if fails else None,
                input_tokens=412,
                output_tokens=96,
                cost=0.00142,
                seconds=round(rng.uniform(0.4, 3), 3),
                confidence={"f1.emocao": round(rng.random(), 4), "f2.emocao": 0.5},
                model="gpt-4-0613",
                created=CREATED,
            )
        )
    return made


def example_cells(numbers: Sequence[int]) -> list[tuple[Any, ...]]:
    """The same examples as SQLite stores them."""
    made = zip(numbers, examples(numbers), strict=True)
    return [(number + 1, *cells_of(example)) for number, example in made]


def record_cells(run: Run, numbers: Sequence[int], *, position: int, before: int) -> Iterator[Any]:
    """The same records as SQLite stores them: run and example by position."""
    for number, record in zip(numbers, records(run, numbers), strict=True):
        yield (before + number + 1, position, number + 1, *cells_of(record)[2:])


def insert(table: str) -> str:
    """The plain statement that inserts all columns of a table."""
    names = ", ".join(f'"{name}"' for name in COLUMNS[table])
    return f"insert into {table} ({names}) values ({', '.join('?' * len(COLUMNS[table]))})"


def raw_connection(path: Path) -> sqlite3.Connection:
    """The file of a store with the runs in it, opened by sqlite3 with the store's own pragmas."""
    with Store(path) as store:
        for run in runs():
            store.start_run(run)
        (size,) = store.connection.read("pragma journal_size_limit")
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("foreign_keys = on", "synchronous = normal", f"journal_size_limit = {size[0]}"):
        connection.execute(f"pragma {pragma}")
    return connection
